"""How long a job that is queued now will wait: what is ahead of it, over how fast jobs end.

Whoever queues must not pay for the answer, however many jobs wait: the figures are those of a look at the whole queue
that is made beside the calls, no more than once a second, and that takes no more than a twentieth of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy import func, select

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import Unavailable
from reverie.jobs.ledger import Ledger
from reverie.jobs.speed import UNKNOWN, Place, Speed, measure
from reverie.model import JobStatus
from reverie.store import tables
from reverie.store.store import Store

LOOK_EVERY: Final = 1.0
SHARE: Final = 20.0
"""A look that took long is not repeated before this many times as long."""
FIRST_LOOK: Final = 0.05
"""Seconds that the very first caller waits for figures."""
_job: Final = tables.job

log = structlog.get_logger()


@dataclass(slots=True)
class _Figures:
    """What the last look found; it holds until *until* on the monotonic clock."""

    waiting: Mapping[Place, int] = field(default_factory=dict)
    speeds: Mapping[Place, Speed] = field(default_factory=dict)
    until: float = float("-inf")


class Waits:
    """The estimate for every queue, from figures that are about a second old."""

    def __init__(self, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._figures = _Figures()
        self._look: asyncio.Task[None] | None = None

    async def of(self, connection: str, queue: str) -> float:
        """Seconds until a job is through that is queued now."""
        if self._look is None and self._clock.monotonic() >= self._figures.until:
            first = self._figures.until == float("-inf")
            self._look = asyncio.create_task(self._see())
            if first:
                await asyncio.wait([self._look], timeout=FIRST_LOOK)
        place = (connection, queue)
        figures = self._figures
        return figures.speeds.get(place, UNKNOWN).until_through(figures.waiting.get(place, 0))

    async def _see(self) -> None:
        began = self._clock.monotonic()
        try:
            now = self._clock.now()
            query = (
                select(_job.c.connection, _job.c.queue, func.count().label("jobs"))
                .where(_job.c.status == JobStatus.WAITING.value, _job.c.due_at <= now)
                .group_by(_job.c.connection, _job.c.queue)
            )
            waiting = {
                (str(row["connection"]), str(row["queue"])): int(str(row["jobs"]))
                for row in await self._store.fetch(query)
            }
            speeds = await measure(self._ledger, now)
            took = self._clock.monotonic() - began
            self._figures = _Figures(waiting, speeds, self._clock.monotonic() + max(LOOK_EVERY, took * SHARE))
        except (Unavailable, DatabaseError) as error:
            log.warning("queue.wait_unknown", cause=str(error))
            self._figures.until = self._clock.monotonic() + LOOK_EVERY
        finally:
            self._look = None

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
