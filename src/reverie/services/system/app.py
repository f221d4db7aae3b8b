"""``system/app``: an API key, and the role of whoever comes with it alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from sqlalchemy import select

from reverie.database import Connection, Value
from reverie.model import JSON, Request
from reverie.services.system.fields import ID, STAMPS, Field, Invalid, accept, shown, stored
from reverie.services.system.lookup import lookups_of
from reverie.services.system.records import Records
from reverie.services.system.relations import BelongsTo, Row
from reverie.services.system.resource import flag
from reverie.services.system.role import Roles
from reverie.store import tables
from reverie.store.apps import make_api_key
from reverie.store.store import Store

_KEY: Final = re.compile(r"[A-Za-z0-9]{64,255}")
_AT_AN_URL: Final = 2


class Apps(Records):
    name = "app"
    table = tables.app
    fields: ClassVar[tuple[Field, ...]] = (
        ID,
        Field(name="name", required=True, limit=64),
        Field(name="api_key"),
        Field(name="description", limit=255),
        Field(name="is_active", kind="boolean", nullable=False, default=False),
        Field(name="type", kind="integer", nullable=False, default=0),
        Field(name="path", limit=255),
        Field(name="url", limit=255),
        Field(name="storage_service_id", kind="integer"),
        Field(name="storage_container", limit=255),
        Field(name="requires_fullscreen", kind="boolean", nullable=False, default=False),
        Field(name="allow_fullscreen_toggle", kind="boolean", nullable=False, default=True),
        Field(name="toggle_location", nullable=False, limit=64, default="top"),
        Field(name="role_id", kind="integer"),
        *STAMPS,
        Field(name="launch_url", computed=True, always=True),
    )

    def __init__(self, store: Store) -> None:
        role = BelongsTo(name="role_by_role_id", table=tables.role, column="role_id", fields=Roles.fields)
        super().__init__(store, {role.name: role, **lookups_of("app_id")})

    def show(self, row: Row) -> dict[str, JSON]:
        return {**shown(self.fields, row), "launch_url": launch_url(row)}

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values = stored(self.fields, accept(self.fields, sent, creating=row is None))
        key = values.pop("api_key", None)
        if row is None:
            values["api_key"] = key if key and not await self.taken(connection, key) else make_api_key()
        elif flag(request, "regenerate"):
            values["api_key"] = make_api_key()
        elif key and key != row["api_key"]:
            if await self.taken(connection, key):
                raise Invalid({"api_key": "The field 'api_key' must be unique."})
            values["api_key"] = key
        if isinstance(key, str) and not _KEY.fullmatch(key):
            raise Invalid({"api_key": "The field 'api_key' must be at least 64 letters and digits."})
        return values

    async def taken(self, connection: Connection, key: Value) -> bool:
        query = select(self.table.c.id).where(self.table.c.api_key == key)
        return await self.store.fetch_one(query, connection) is not None


def launch_url(row: Row) -> str:
    """Where the app starts; ``""`` for one without a page of its own."""
    url = row["url"]
    return url if row["type"] == _AT_AN_URL and isinstance(url, str) else ""
