"""The queue as every pair of ledger and transport; a new pair is one line in `PAIRS`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reverie.app import job_brokers, job_drivers
from reverie.clock import SystemClock
from reverie.config import Settings, read_settings
from reverie.jobs.connections import Connections
from reverie.jobs.queue import Queue
from reverie.prepare import bring_up_to_date
from reverie.sqlite import SqliteDatabase
from reverie.store.opening import open_database


@dataclass(frozen=True)
class Servers:
    """Addresses of what runs for the bench; empty when it does not."""

    postgresql: str = ""
    redis: str = ""


_ON_POSTGRESQL = {"REVERIE_DATABASE_URL": "{postgresql}"}
_BY_REDIS = {"REVERIE_QUEUE_REDIS_DRIVER": "redis", "REVERIE_QUEUE_REDIS_URL": "{redis}", "QUEUE_CONNECTION": "redis"}
PAIRS: Mapping[str, Mapping[str, str]] = {
    "sqlite+database": {},
    "sqlite+redis": _BY_REDIS,
    "postgresql+database": _ON_POSTGRESQL,
    "postgresql+redis": _ON_POSTGRESQL | _BY_REDIS,
}
"""Each pair, and the settings of an instance on it; ``{postgresql}`` and ``{redis}`` stand for the addresses."""


def environment(pair: str, folder: Path, servers: Servers) -> dict[str, str]:
    """The settings of an instance on a pair, with its data in *folder*."""
    known = {"postgresql": servers.postgresql, "redis": servers.redis}
    made = {name: value.format(**known) for name, value in PAIRS[pair].items()}
    return {"REVERIE_DATA_DIR": str(folder / "data"), **made}


def prepare(pair: str, folder: Path, servers: Servers) -> Settings:
    """The settings of an instance whose store is there. Not inside an event loop."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REVERIE_", "QUEUE_"))}
    settings = read_settings(clean | environment(pair, folder, servers))
    bring_up_to_date(settings)
    return settings


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, synchronous: str = "FULL") -> AsyncIterator[Queue]:
    """The queue of an instance, alone.

    Args:
        synchronous: of SQLite.
    """
    clock = SystemClock()
    file = settings.store.file
    database = open_database(settings.store) if file is None else SqliteDatabase(file, synchronous=synchronous)
    ledger, transport = job_drivers(database, settings.data_dir / "wake", clock)
    connections = Connections(settings.queue_connections, default=settings.queue_connection)
    queue = Queue(ledger, transport, connections, clock, job_brokers(settings))
    try:
        yield queue
    finally:
        await queue.close()
        await database.close()
