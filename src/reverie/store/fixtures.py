"""Events kept with what a script is expected to make of them; what they hold is sealed."""

from __future__ import annotations

from sqlalchemy import select

from reverie.store.store import Record, Store
from reverie.store.tables import script_fixture


async def fixture_by_id(store: Store, fixture_id: int) -> Record | None:
    return await store.fetch_one(select(script_fixture).where(script_fixture.c.id == fixture_id))


async def fixtures_of(store: Store, key: str | None = None) -> list[Record]:
    """Those of one script, or all, by script and name."""
    query = select(script_fixture).order_by(script_fixture.c.script, script_fixture.c.name)
    return await store.fetch(query if key is None else query.where(script_fixture.c.script == key))
