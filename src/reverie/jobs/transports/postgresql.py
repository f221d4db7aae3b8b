"""Wake-ups through PostgreSQL, between hosts; between the processes of one host also through its sockets.

    reverie_queue    the channel of all queues; what is notified on it only says *look*

A notification is sent after the commit it tells of, on a connection of its own: inside a transaction it would take a
lock that all commits of the cluster wait for. Each process sends at most 20 a second for each queue, the first at once.
Whatever gets lost is found by the worker's own looks, every ``--sleep`` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from reverie.database import DatabaseError
from reverie.jobs.finding import Finding
from reverie.jobs.transports.database import DatabaseTransport
from reverie.postgresql.database import PostgresqlDatabase

CHANNEL: Final = "reverie_queue"
BETWEEN: Final = 0.05
"""Seconds between two notifications of one queue."""
MOST_QUEUES: Final = 1000
"""Queues whose last notification is remembered."""
WITHIN: Final = 2.0

# Nobody waits for it and nothing is lost with it: its commit need not reach the disk.
_NOTIFY: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')"

log = structlog.get_logger()


class PostgresqlTransport:
    """`Transport` through *database*, and through sockets in *folder*, which also tell who is gone on this host."""

    def __init__(self, database: PostgresqlDatabase, folder: Path) -> None:
        self._database = database
        self._local = DatabaseTransport(None, folder)
        self._unlisten: Callable[[], None] | None = None
        self._told_at: dict[tuple[str, str], float] = {}
        self._due: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    # -- being woken

    async def join(self, worker: str) -> None:
        await self._local.join(worker)
        if self._unlisten is None:
            self._unlisten = self._database.listen(CHANNEL, self._local.stir)

    async def leave(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self._local.leave()

    async def wait(self) -> None:
        await self._local.wait()

    # -- waking

    async def announce(self, connection: str, queue: str) -> None:
        if self._closed:
            return
        await self._local.announce(connection, queue)
        self._due.add((connection, queue))
        if self._task is None:
            self._task = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        """Tell other hosts what is due to be told, each queue no sooner than it may be told again."""
        try:
            while self._due:
                now = time.monotonic()
                ready = [one for one in self._due if now - self._told_at.get(one, 0.0) >= BETWEEN]
                for one in ready:
                    self._due.discard(one)
                    if len(self._told_at) >= MOST_QUEUES:
                        self._told_at.clear()
                    self._told_at[one] = now
                    await self._database.statement(_NOTIFY, (CHANNEL,), within=WITHIN)
                if not ready:
                    oldest = min(self._told_at[one] for one in self._due)
                    await asyncio.sleep(max(oldest + BETWEEN - now, 0.001))
        except DatabaseError as error:
            self._due.clear()
            log.warning("queue.not_announced", cause=str(error))
        finally:
            self._task = None

    # -- who is gone

    def gone(self, worker: str) -> bool:
        """Known for workers of this host only; for others their leases tell."""
        return self._local.gone(worker)

    def clear(self, worker: str) -> None:
        self._local.clear(worker)

    async def examine(self) -> list[Finding]:
        return []

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.leave()
        await self._local.close()
