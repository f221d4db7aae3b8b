"""A real queue on a file of its own, and a clock that only a test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.postgres import database_url

from reverie.clock import Clock
from reverie.jobs.connections import Connections
from reverie.jobs.ledgers.postgresql import PostgresqlLedger
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Draft, Queue
from reverie.jobs.transport import Broker
from reverie.jobs.transports.database import DatabaseTransport
from reverie.jobs.transports.postgresql import PostgresqlTransport
from reverie.model import Job
from reverie.postgresql.database import PostgresqlDatabase
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate

NOON = 1_714_644_000.0


class MovingClock:
    """Stands still until it is moved; sleepers wake when their time has come."""

    def __init__(self, moment: float = NOON) -> None:
        self.moment = moment
        self.drift = 0.0  # of the wall clock against the monotonic one
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self.moment + self.drift

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.moment + seconds, next(self._count), woken))
        await woken.wait()

    def move(self, seconds: float) -> None:
        self.moment += seconds
        while self._sleepers and self._sleepers[0][0] <= self.moment:
            heapq.heappop(self._sleepers)[2].set()


def draft(  # noqa: PLR0913, RUF100 - the fields of a job
    name: str = "service:echo",
    *,
    connection: str | None = None,
    queue: str | None = None,
    delay: float | None = None,
    priority: int = 0,
    tries: int | None = None,
    payload: bytes = b"sealed",
) -> Draft:
    return Draft(
        kind="script.service",
        script="service:7",
        name=name,
        payload=payload,
        connection=connection,
        queue=queue,
        delay=delay,
        priority=priority,
        tries=tries,
    )


async def push(queue: Queue, wanted: Draft) -> Job:
    job = await queue.push(wanted)
    assert job is not None
    return job


@asynccontextmanager
async def sqlite_queue(folder: Path, clock: Clock) -> AsyncIterator[Queue]:
    """The queue that lives in *folder*; open it twice to have two processes' worth of it."""
    migrate(folder / "store.db")
    database = SqliteDatabase(folder / "store.db", synchronous="NORMAL")
    queue = Queue(SqliteLedger(database, clock), DatabaseTransport(database, folder / "wake"), Connections(), clock)
    try:
        yield queue
    finally:
        await queue.close()
        await database.close()


@asynccontextmanager
async def postgresql_queue(
    folder: Path, clock: Clock, connections: Connections | None = None, brokers: Mapping[str, Broker] | None = None
) -> AsyncIterator[Queue]:
    """The queue in a database that belongs to *folder*; open it twice to have two processes' worth of it."""
    address = folder / "postgresql.url"
    async with AsyncExitStack() as stack:
        if not address.exists():
            address.write_text(stack.enter_context(database_url()))
            stack.callback(address.unlink)
        database = PostgresqlDatabase(address.read_text())
        stack.push_async_callback(database.close)
        # The server's clock: it does not jump with the host's.
        ledger = PostgresqlLedger(database, clock, now=clock.monotonic)
        transport = PostgresqlTransport(database, folder / "wake")
        queue = Queue(ledger, transport, connections or Connections(), clock, brokers or {})
        stack.push_async_callback(queue.close)
        yield queue


async def until(
    condition: Callable[[], Awaitable[bool]], clock: MovingClock | None = None, *, step: float = 0.5, turns: int = 2000
) -> None:
    """Let things happen until *condition* holds, moving *clock* a little between two looks."""
    for _ in range(turns):
        if await condition():
            return
        await asyncio.sleep(0.002)
        if clock is not None:
            clock.move(step)
    raise AssertionError("it never happened")
