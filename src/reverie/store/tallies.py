"""What workers have counted: sums that live longer than any of them.

A worker adds what has changed since it last did, so nothing is counted twice and nothing of an ended worker vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from sqlalchemy import Insert, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from reverie.database import Connection
from reverie.store.store import Store
from reverie.store.tables import worker_metric

Place: TypeAlias = "tuple[str, str]"
"""A series, and its labels as JSON."""

SUMS: Final = ""
TURNED: Final = "turned"
_KEPT: Final = 86400.0
_key = (worker_metric.c.worker, worker_metric.c.series, worker_metric.c.labels)


async def add_sums(store: Store, changes: Mapping[Place, float], *, worker: str, turned_at: float) -> None:
    """Add *changes* to the sums, and note when *worker* last went round, in Unix seconds.

    Raises:
        StoreUnavailable: nothing was added.
    """

    async def work(connection: Connection) -> None:
        # In one order, so that two workers on a server's database cannot wait for each other.
        for (series, labels), value in sorted(changes.items()):
            row: dict[str, str | float] = {"worker": SUMS, "series": series, "labels": labels, "value": value}
            await store.execute(_upsert(store, row, add=True), connection)
        row = {"worker": worker, "series": TURNED, "labels": "[]", "value": turned_at}
        await store.execute(_upsert(store, row, add=False), connection)

    await store.write(work, settings=False)


def _upsert(store: Store, row: Mapping[str, str | float], *, add: bool) -> Insert:
    insert = postgresql_insert if store.database.dialect == "postgresql" else sqlite_insert
    statement = insert(worker_metric).values(**row)
    value = statement.excluded.value
    changed = {"value": worker_metric.c.value + value if add else value}
    return cast("Insert", statement.on_conflict_do_update(index_elements=list(_key), set_=changed))


async def sums(store: Store) -> dict[Place, float]:
    """Every sum of all workers."""
    rows = await store.fetch(
        select(worker_metric.c.series, worker_metric.c.labels, worker_metric.c.value).where(
            worker_metric.c.worker == SUMS
        )
    )
    return {(cast("str", row["series"]), cast("str", row["labels"])): cast("float", row["value"]) for row in rows}


async def turns(store: Store) -> dict[str, float]:
    """When each worker last went round, in Unix seconds; those that were killed stand here for a day."""
    rows = await store.fetch(
        select(worker_metric.c.worker, worker_metric.c.value).where(
            worker_metric.c.worker != SUMS, worker_metric.c.series == TURNED
        )
    )
    return {cast("str", row["worker"]): cast("float", row["value"]) for row in rows}


async def forget_turns(store: Store, worker: str) -> None:
    """A worker has ended; those that were killed long ago are forgotten with it."""
    gone = (worker_metric.c.worker == worker) | (worker_metric.c.value < store.clock.now() - _KEPT)

    async def work(connection: Connection) -> None:
        await store.execute(delete(worker_metric).where(worker_metric.c.worker != SUMS, gone), connection)

    await store.write(work, settings=False)
