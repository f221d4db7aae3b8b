"""The queue as every pair of ledger and transport; a new pair is one line in `PAIRS`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reverie.clock import SystemClock
from reverie.database import Database
from reverie.jobs.connections import Connections
from reverie.jobs.ledger import Ledger
from reverie.jobs.ledgers.postgresql import PostgresqlLedger
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Queue
from reverie.jobs.transport import Transport
from reverie.jobs.transports.database import DatabaseTransport
from reverie.jobs.transports.postgresql import PostgresqlTransport
from reverie.postgresql import PostgresqlDatabase
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate


@dataclass(frozen=True)
class Servers:
    """Addresses of what runs for the bench; empty when it does not."""

    postgresql: str = ""
    redis: str = ""


PAIRS: Mapping[str, Mapping[str, str]] = {
    "sqlite+database": {},
    "postgresql+database": {"REVERIE_DATABASE_URL": "{postgresql}"},
}
"""Each pair, and the settings of an instance on it; ``{postgresql}`` and ``{redis}`` stand for the addresses."""


def environment(pair: str, folder: Path, servers: Servers) -> dict[str, str]:
    """The settings of an instance on a pair, with its data in *folder*."""
    known = {"postgresql": servers.postgresql, "redis": servers.redis}
    made = {name: value.format(**known) for name, value in PAIRS[pair].items()}
    return {"REVERIE_DATA_DIR": str(folder / "data"), **made}


def prepare(pair: str, folder: Path, servers: Servers) -> None:
    """Make the store. Not inside an event loop."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    migrate(servers.postgresql if pair.startswith("postgresql") else _file(folder))


def _file(folder: Path) -> Path:
    return folder / "data" / "reverie.sqlite"


@contextlib.asynccontextmanager
async def opened(pair: str, folder: Path, servers: Servers, *, synchronous: str = "FULL") -> AsyncIterator[Queue]:
    """The queue alone, as an instance builds it, on the store that `prepare` made.

    Args:
        synchronous: of SQLite.
    """
    clock = SystemClock()
    wake = folder / "data" / "wake"
    database: Database
    ledger: Ledger
    transport: Transport
    if pair.startswith("postgresql"):
        database = server = PostgresqlDatabase(servers.postgresql)
        ledger, transport = PostgresqlLedger(server, clock), PostgresqlTransport(server, wake)
    else:
        database = SqliteDatabase(_file(folder), synchronous=synchronous)
        ledger, transport = SqliteLedger(database, clock), DatabaseTransport(database, wake)
    queue = Queue(ledger, transport, Connections(), clock)
    try:
        yield queue
    finally:
        await queue.close()
        await database.close()
