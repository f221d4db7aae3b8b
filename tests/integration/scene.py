"""A queue on PostgreSQL by the server's own clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from reverie.clock import SystemClock
from reverie.database import Connection
from reverie.jobs.connections import Connections
from reverie.jobs.ledgers.postgresql import PostgresqlLedger
from reverie.jobs.queue import Queue
from reverie.jobs.transports.postgresql import PostgresqlTransport
from reverie.postgresql.database import PostgresqlDatabase


@contextlib.asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[Queue]:
    """The queue by the server's own clock."""
    database = PostgresqlDatabase(url)
    queue = Queue(
        PostgresqlLedger(database, SystemClock()),
        PostgresqlTransport(database, folder / "wake"),
        Connections(),
        SystemClock(),
    )
    try:
        yield queue
    finally:
        await queue.close()
        await database.close()


async def one(connection: Connection) -> object:
    return (await connection.fetch("SELECT 1"))[0][0]


async def hearing(database: PostgresqlDatabase) -> None:
    """Return when notifications arrive."""
    for _ in range(500):
        if database._listener.hears:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never listened")
