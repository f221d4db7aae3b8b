"""Where a scenario's queue lives: a ledger and a transport that several processes can open."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from reverie.clock import Clock, SystemClock
from reverie.jobs.address import parse_address
from reverie.jobs.connections import STANDARD, Connections, ConnectionSettings
from reverie.jobs.ledger import Ledger
from reverie.jobs.ledgers.postgresql import PostgresqlLedger
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Queue
from reverie.jobs.transport import Transport
from reverie.jobs.transports.database import DatabaseTransport
from reverie.jobs.transports.postgresql import PostgresqlTransport
from reverie.jobs.transports.redis import RedisBroker
from reverie.postgresql.database import PostgresqlDatabase
from reverie.sqlite import SqliteDatabase, driver_module
from reverie.store.migrate import migrate
from tests.postgres import PostgresServer, postgres_server
from tests.redis_server import RedisServer, redis_server

PAIRS: Final = ("sqlite+database", "sqlite+redis", "postgresql+database", "postgresql+redis")
FILE: Final = "reverie.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Addresses of one queue; a process that is told them can open it.

    Attributes:
        folder: the data folder. postgres, redis: URLs, or "" where the pair has none.
        host: two names make two hosts, which do not see each other's sockets and locks.
    """

    folder: str
    postgres: str = ""
    redis: str = ""
    host: str = "wake"

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Place:
        return cls(**json.loads(text))

    def on_host(self, host: str) -> Place:
        return replace(self, host=host)

    @contextlib.asynccontextmanager
    async def open(self, clock: Clock | None = None) -> AsyncIterator[Queue]:
        clock = clock or SystemClock()
        folder = Path(self.folder)
        database: SqliteDatabase | PostgresqlDatabase
        ledger: Ledger
        transport: Transport
        if self.postgres:
            database = PostgresqlDatabase(self.postgres)
            ledger = PostgresqlLedger(database, clock)
            transport = PostgresqlTransport(database, folder / self.host)
        else:
            database = SqliteDatabase(folder / FILE)
            ledger = SqliteLedger(database, clock)
            transport = DatabaseTransport(database, folder / self.host)
        connections, brokers = Connections(), {}
        if self.redis:
            address = parse_address(self.redis)
            woken = ConnectionSettings(name="database", driver="redis", address=address)
            connections = Connections([*STANDARD, woken])
            brokers = {"database": RedisBroker("database", address)}
        queue = Queue(ledger, transport, connections, clock, brokers)
        try:
            yield queue
        finally:
            await queue.close()
            await database.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows straight from the store, past everything of ours."""
        if self.postgres:
            return _apart(self.postgres, sql)
        driver: Any = driver_module()
        path = Path(self.folder) / FILE
        connection = driver.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
            return found
        finally:
            connection.close()

    def settings(self) -> dict[str, str]:
        """For the real commands."""
        settings = {"REVERIE_DATA_DIR": self.folder}
        if self.postgres:
            settings["REVERIE_DATABASE_URL"] = self.postgres
        if self.redis:
            # The connection called ``database`` is always one: the default one is another here.
            settings |= {
                "REVERIE_QUEUE_CONNECTION": "far",
                "REVERIE_QUEUE_FAR_DRIVER": "redis",
                "REVERIE_QUEUE_FAR_URL": self.redis,
            }
        return settings


def _apart(url: str, sql: str) -> list[tuple[Any, ...]]:
    async def asked() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(asked())).result()


@dataclass(frozen=True, slots=True)
class Ground:
    """A place and the servers under it, to be hurt."""

    place: Place
    postgres: PostgresServer | None = None
    database: str = ""
    redis: RedisServer | None = None


@contextlib.contextmanager
def ground(pair: str, folder: Path) -> Iterator[Ground]:
    """Servers of one's own for *pair*, and a migrated store; all gone afterwards."""
    ledger, transport = pair.split("+")
    data = folder / "data"
    data.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if ledger == "postgresql" else None
        redis = stack.enter_context(redis_server(folder / "redis")) if transport == "redis" else None
        database = postgres.new_database() if postgres is not None else ""
        if postgres is None:
            migrate(data / FILE)
        yield Ground(
            Place(
                folder=str(data),
                postgres=postgres.url(database) if postgres is not None else "",
                redis=redis.url if redis is not None else "",
            ),
            postgres,
            database,
            redis,
        )
