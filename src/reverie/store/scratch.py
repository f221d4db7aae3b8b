"""The scratch map of scripts (`platform.store`): one map for each script, entries that expire, the last write wins."""

from __future__ import annotations

import json
from typing import Final, cast

from sqlalchemy import delete, insert, select, update

from reverie.database import Connection
from reverie.model import JSON
from reverie.store.store import Store
from reverie.store.tables import script_value

KEPT_FOR: Final = 15 * 60.0
"""Seconds an entry lives after it was set."""


async def get_value(store: Store, script: str, name: str) -> tuple[bool, JSON]:
    """Whether the entry is there, and its value."""
    column = script_value.c
    text = await store.scalar(
        select(column.value).where(column.script == script, column.name == name, column.expires_at > store.clock.now())
    )
    return (True, cast("JSON", json.loads(text))) if isinstance(text, str) else (False, None)


async def set_value(store: Store, script: str, name: str, value: JSON, *, kept_for: float = KEPT_FOR) -> None:
    """Keep *value* for *kept_for* seconds."""
    column = script_value.c
    now = store.clock.now()
    values = {"value": json.dumps(value), "expires_at": now + kept_for}

    async def work(connection: Connection) -> None:
        await store.execute(delete(script_value).where(column.expires_at <= now), connection)
        same = (column.script == script, column.name == name)
        if not await store.execute(update(script_value).where(*same).values(values), connection):
            await store.execute(insert(script_value).values(script=script, name=name, **values), connection)

    await store.write(work, settings=False)
