"""``system/lookup``: names that settings and scripts replace by values; and the lookups of a role, an app or a user.

A private value is stored sealed and shown as `MASK`, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, and_, select

from reverie.database import Connection, Value
from reverie.errors import BadRequest
from reverie.model import JSON, Request
from reverie.services.system.fields import ID, MASK, STAMPS, Field, Invalid, accept, shown, stored
from reverie.services.system.records import Records
from reverie.services.system.relations import HasMany, Row
from reverie.store import tables
from reverie.store.lookups import seal_value
from reverie.store.store import Store

TAKEN: Final = "Lookup name can not be modified to one that already exists."
OWNERS: Final = ("app_id", "role_id", "user_id")

_OWN: Final = (
    Field(name="name", required=True, limit=255),
    Field(name="value"),
    Field(name="private", kind="boolean", nullable=False, default=False, always=True),
    Field(name="description"),
)


class Lookups(Records):
    name = "lookup"
    table = tables.lookup
    fields: ClassVar[tuple[Field, ...]] = (ID, *_OWN, *STAMPS)

    def scope(self) -> ColumnElement[bool]:
        return nobodys()

    def show(self, row: Row) -> dict[str, JSON]:
        return masked(shown(self.fields, row))

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values = stored(self.fields, accept(self.fields, sent, creating=row is None))
        await refuse_taken(self.store, connection, values.get("name"), row, nobodys())
        return seal(self.store, values, row)


@dataclass(frozen=True, kw_only=True)
class LookupsOf(HasMany):
    """The lookups of one owner, as a relation."""

    async def values(
        self, store: Store, connection: Connection, values: Mapping[str, JSON], row: Row | None
    ) -> dict[str, Value]:
        columns = stored(self.fields, values)
        theirs = self.table.c[self.column] == columns[self.column]
        await refuse_taken(store, connection, columns.get("name"), row, theirs)
        return seal(store, columns, row)

    def show(self, row: Row) -> dict[str, JSON]:
        return masked(shown(self.fields, row))


def lookups_of(column: str) -> dict[str, LookupsOf]:
    """The relation over *column*, such as ``role_id``, under its name and the older one."""
    owner = Field(name=column, kind="integer")
    relation = LookupsOf(
        name=f"lookup_by_{column}", table=tables.lookup, column=column, fields=(ID, owner, *_OWN, *STAMPS)
    )
    return {relation.name: relation, f"{column.removesuffix('_id')}_lookup_by_{column}": relation}


def nobodys() -> ColumnElement[bool]:
    """Lookups of the instance."""
    return and_(*(tables.lookup.c[owner].is_(None) for owner in OWNERS))


def masked(record: dict[str, JSON]) -> dict[str, JSON]:
    if record.get("private"):
        record["value"] = MASK
    return record


async def refuse_taken(
    store: Store, connection: Connection, name: Value, row: Row | None, among: ColumnElement[bool]
) -> None:
    """Raise BadRequest when another lookup of the same owner has that name."""
    if name is None:
        return
    table = tables.lookup
    others = select(table.c.id).where(among, table.c.name == name)
    if row is not None:
        others = others.where(table.c.id != row["id"])
    if await store.fetch_one(others, connection) is not None:
        raise BadRequest(TAKEN)


def seal(store: Store, values: dict[str, Value], row: Row | None) -> dict[str, Value]:
    """*values* with the value sealed when the lookup is private; the mask keeps what is there.

    Raises:
        Invalid: a private lookup becomes public without a new value, which would show the old one.
    """
    was_private = row is not None and bool(row["private"])
    private = bool(values.get("private", was_private))
    if was_private and values.get("value") == MASK:
        del values["value"]
    if was_private and not private and "value" not in values:
        raise Invalid({"value": "The field 'value' is required when a lookup stops being private."})
    if private and not was_private and row is not None and "value" not in values:
        values["value"] = row["value"]
    value = values.get("value")
    if private and isinstance(value, str):
        values["value"] = seal_value(store.sealer, value)
    return values
