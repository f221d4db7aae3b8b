"""Facts of the instance by name: set-up link, what operators told the workers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select, update

from reverie.database import Connection
from reverie.store.store import Store
from reverie.store.tables import fact

ANSWERS_AT: Final = "api.answers_at"
"""Where the API was last started, as an address for clients on its machine."""


async def get_fact(store: Store, name: str, connection: Connection | None = None) -> str | None:
    value = await store.scalar(select(fact.c.value).where(fact.c.name == name), connection)
    return value if isinstance(value, str) else None


async def put_fact(store: Store, name: str, value: str | None, *, told: bool = False) -> None:
    """Keep a fact; None forgets it. With *told* every process hears of it at once, as of a change of settings."""

    async def work(connection: Connection) -> None:
        if value is None:
            await store.execute(delete(fact).where(fact.c.name == name), connection)
        elif not await store.execute(update(fact).where(fact.c.name == name).values(value=value), connection):
            await store.execute(insert(fact).values(name=name, value=value), connection)

    await store.write(work, settings=told)


async def facts_named(store: Store, prefix: str) -> dict[str, str]:
    """Every fact whose name begins with *prefix*, by name."""
    # There are few, and what a pattern means differs between databases.
    named = {str(row["name"]): row["value"] for row in await store.fetch(select(fact))}
    return {name: value for name, value in named.items() if name.startswith(prefix) and isinstance(value, str)}


async def claim_fact(store: Store, name: str, value: str) -> str:
    """Keep *value* unless there is one already; the one that is kept. Two processes get the same answer."""

    async def work(connection: Connection) -> str:
        known = await get_fact(store, name, connection)
        if known is None:
            await store.execute(delete(fact).where(fact.c.name == name), connection)
            await store.execute(insert(fact).values(name=name, value=value), connection)
        return value if known is None else known

    return await store.write(work, settings=False)
