"""``system/role``: a set of permissions, with the rows that grant them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from reverie.database import Connection, Value
from reverie.model import JSON
from reverie.services.system.fields import ID, STAMPS, Field, Invalid, stored
from reverie.services.system.lookup import lookups_of
from reverie.services.system.records import Records
from reverie.services.system.relations import HasMany, Relation, Row, Through
from reverie.services.system.user_role import UserRoles
from reverie.store import tables
from reverie.store.store import Store

ACCESS_FIELDS: Final = (
    ID,
    Field(name="role_id", kind="integer"),
    Field(name="service_id", kind="integer"),
    Field(name="component", limit=255),
    Field(name="verb_mask", kind="integer", nullable=False, default=0),
    Field(name="requestor_mask", kind="integer", nullable=False, default=0),
    Field(name="filters", kind="json"),
    Field(name="filter_op", nullable=False, limit=32, default="AND"),
    *STAMPS,
)
_OF_A_SERVICE: Final = (
    ID,
    Field(name="name"),
    Field(name="label"),
    Field(name="description"),
    Field(name="is_active", kind="boolean"),
    Field(name="type"),
    Field(name="mutable", kind="boolean"),
    Field(name="deletable", kind="boolean"),
    *STAMPS,
)
_FILTER_KEYS: Final = ("name", "operator")


@dataclass(frozen=True, kw_only=True)
class AccessRows(HasMany):
    """What a role may do, row by row."""

    async def values(
        self, store: Store, connection: Connection, values: Mapping[str, JSON], row: Row | None
    ) -> dict[str, Value]:
        check_filters(values.get("filters"))
        operator = values.get("filter_op")
        if operator is not None and str(operator).upper() not in ("AND", "OR"):
            raise Invalid({"filter_op": "The field 'filter_op' must be AND or OR."})
        return stored(self.fields, values)

    def show(self, row: Row) -> dict[str, JSON]:
        record = HasMany.show(self, row)
        record["filters"] = record["filters"] or []
        return record


def check_filters(filters: JSON) -> None:
    """Raises Invalid unless *filters* is a list of ``{"name", "operator", "value"}``, or nothing."""
    if filters is None:
        return
    fine = isinstance(filters, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in _FILTER_KEYS) for one in filters
    )
    if not fine:
        raise Invalid({"filters": "The field 'filters' must be a list of objects with 'name', 'operator' and 'value'."})


class Roles(Records):
    name = "role"
    table = tables.role
    fields: ClassVar[tuple[Field, ...]] = (
        ID,
        Field(name="name", required=True, limit=64),
        Field(name="description", limit=255, cut=True),
        Field(name="is_active", kind="boolean", nullable=False, default=False),
        *STAMPS,
    )

    def __init__(self, store: Store) -> None:
        access = AccessRows(
            name="role_service_access_by_role_id",
            table=tables.role_service_access,
            column="role_id",
            fields=ACCESS_FIELDS,
        )
        services = Through(
            name="service_by_role_service_access",
            table=tables.service,
            link=tables.role_service_access,
            near="role_id",
            far="service_id",
            fields=_OF_A_SERVICE,
        )
        users = UserRoles(column="role_id")
        relations: list[Relation] = [access, services, users]
        super().__init__(store, {**{relation.name: relation for relation in relations}, **lookups_of("role_id")})
