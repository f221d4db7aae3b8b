"""Event scripts as stored."""

from __future__ import annotations

import json
from typing import cast

from sqlalchemy import select

from reverie.model import JSON
from reverie.store.records import EventScriptRecord
from reverie.store.store import Record, Store
from reverie.store.tables import event_script, service


async def event_script_by_name(store: Store, name: str) -> EventScriptRecord | None:
    """The script of that name in whatever case, active or not."""
    row = await store.fetch_one(select(event_script).where(event_script.c.lower_name == name.lower()))
    return record_of(row) if row else None


async def active_event_scripts(store: Store) -> dict[str, EventScriptRecord]:
    """Every active script by its name in lower case."""
    rows = await store.fetch(select(event_script).where(event_script.c.is_active))
    return {cast("str", row["lower_name"]): record_of(row) for row in rows}


async def active_script_names(store: Store) -> frozenset[str]:
    """The names of all active scripts, in lower case."""
    rows = await store.fetch(select(event_script.c.lower_name).where(event_script.c.is_active))
    return frozenset(cast("str", row["lower_name"]) for row in rows)


async def languages_in_use(store: Store) -> frozenset[str]:
    """The types of all active event scripts, and of all active services: script services are among them."""
    found: set[str] = set()
    for table in (event_script, service):
        rows = await store.fetch(select(table.c.type).where(table.c.is_active).distinct())
        found |= {cast("str", row["type"]) for row in rows}
    return frozenset(found)


def record_of(row: Record) -> EventScriptRecord:
    return EventScriptRecord(
        name=cast("str", row["name"]),
        type=cast("str", row["type"]),
        content=cast("str | None", row["content"]) or "",
        linked="" if row["storage_service_id"] else cast("str | None", row["storage_path"]) or "",
        config=decoded(cast("str | None", row["config"])),
        is_active=bool(row["is_active"]),
        allow_event_modification=bool(row["allow_event_modification"]),
        version=cast("int", row["version"]),
    )


def decoded(text: str | None) -> dict[str, JSON]:
    """The column ``config`` as a map, whether a map was sent or a text that holds one; else empty."""
    value: JSON = text
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
