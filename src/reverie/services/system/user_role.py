"""Which role a user has in an app: the rows behind ``user_to_app_to_role_by_...``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select

from reverie.database import Connection, Value
from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.system.fields import ID, Field, stored
from reverie.services.system.relations import HasMany, Row
from reverie.store import tables
from reverie.store.store import Store

TWICE: Final = "Multiple user-to-app-to-role assignment. You can only have a single user-to-app-to-role assignment."
_FIELDS: Final = (
    ID,
    Field(name="user_id", kind="integer"),
    Field(name="app_id", kind="integer"),
    Field(name="role_id", kind="integer"),
)


class UserRoles(HasMany):
    """One row for each user and app; seen from the user or from the role."""

    def __init__(self, column: str) -> None:
        table = tables.user_to_app_to_role
        super().__init__(name=f"user_to_app_to_role_by_{column}", table=table, column=column, fields=_FIELDS)

    async def values(
        self, store: Store, connection: Connection, values: Mapping[str, JSON], row: Row | None
    ) -> dict[str, Value]:
        columns = stored(self.fields, values)
        whole = {**(row or {}), **columns}
        same = select(self.table.c.id).where(
            self.table.c.user_id == whole.get("user_id"), self.table.c.app_id == whole.get("app_id")
        )
        if row is not None:
            same = same.where(self.table.c.id != row["id"])
        if await store.fetch_one(same, connection) is not None:
            raise BadRequest(TWICE)
        return columns
