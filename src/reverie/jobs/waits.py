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
from reverie.jobs.ledger import Ledger, Rate
from reverie.model import JobStatus
from reverie.store import tables
from reverie.store.store import Store

WINDOWS: Final = (60.0, 6.0, 1.0)
"""Seconds back over which speed is measured: the longest that the ledger sees whole."""
MOST_SEEN: Final = 10_000
"""Ended jobs that `Ledger.rates` looks at; with so many the window was too long."""
LOOK_EVERY: Final = 1.0
SHARE: Final = 20.0
"""A look that took long is not repeated before this many times as long."""
FIRST_LOOK: Final = 0.05
"""Seconds that the very first caller waits for figures."""
LONGEST: Final = 86400.0
LONGEST_GUESS: Final = 60.0
"""Seconds told at most where nothing has ended lately, so that nobody knows."""

Place = tuple[str, str]
"""Connection and queue."""
_job: Final = tables.job

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast the queues are, by connection and queue, measured over the last *seconds*."""

    seconds: float
    rates: Mapping[Place, Rate]

    def per_second(self, place: Place) -> float:
        rate = self.rates.get(place)
        return 0.0 if rate is None else rate.ended / self.seconds


NOTHING: Final = Speed(seconds=WINDOWS[0], rates={})


async def measure(ledger: Ledger, now: float) -> Speed:
    """Over the longest window of which the ledger sees every job; with none in a shorter one, at least what it sees."""
    found: Speed | None = None
    for seconds in WINDOWS:
        rates = await ledger.rates(since=now - seconds)
        if found is not None and not rates:
            break
        found = Speed(seconds=seconds, rates={(rate.connection, rate.queue): rate for rate in rates})
        if sum(rate.ended for rate in rates) < MOST_SEEN:
            break
    return found or NOTHING


def estimate(waiting: int, place: Place, speed: Speed) -> float:
    """Seconds until a job is through that is queued behind *waiting* others."""
    per_second = speed.per_second(place)
    if not per_second:
        return min(float(waiting), LONGEST_GUESS)
    rate = speed.rates[place]
    return min(waiting / per_second + (rate.ran or 0.0), LONGEST)


@dataclass(slots=True)
class _Figures:
    """What the last look found; it holds until *until* on the monotonic clock."""

    waiting: Mapping[Place, int] = field(default_factory=dict)
    speed: Speed = NOTHING
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
        """Seconds until a job is through that is queued now; 0 when nobody is ahead of it."""
        if self._look is None and self._clock.monotonic() >= self._figures.until:
            first = self._figures.until == float("-inf")
            self._look = asyncio.create_task(self._see())
            if first:
                await asyncio.wait([self._look], timeout=FIRST_LOOK)
        place = (connection, queue)
        return estimate(self._figures.waiting.get(place, 0), place, self._figures.speed)

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
            speed = await measure(self._ledger, now)
            took = self._clock.monotonic() - began
            self._figures = _Figures(waiting, speed, self._clock.monotonic() + max(LOOK_EVERY, took * SHARE))
        except (Unavailable, DatabaseError) as error:
            log.warning("queue.wait_unknown", cause=str(error))
            self._figures.until = self._clock.monotonic() + LOOK_EVERY
        finally:
            self._look = None

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
