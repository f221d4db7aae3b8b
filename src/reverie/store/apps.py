"""Apps, by their key."""

from __future__ import annotations

import secrets
from typing import cast

from sqlalchemy import select

from reverie.store.records import AppRecord
from reverie.store.store import Store
from reverie.store.tables import app


def make_api_key() -> str:
    """64 hexadecimal digits."""
    return secrets.token_hex(32)


async def app_by_key(store: Store, key: str) -> AppRecord | None:
    row = await store.fetch_one(
        select(app.c.id, app.c.name, app.c.api_key, app.c.is_active, app.c.role_id).where(app.c.api_key == key)
    )
    if row is None:
        return None
    return AppRecord(
        id=cast("int", row["id"]),
        name=cast("str", row["name"]),
        api_key=key,
        is_active=bool(row["is_active"]),
        role_id=cast("int | None", row["role_id"]),
    )
