"""Looks at the queue for /metrics, seldom enough that looking costs little whatever is in it."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from reverie.errors import Unavailable
from reverie.jobs.metrics import Measured, Measures
from reverie.jobs.queue import Queue
from reverie.store.store import Store
from reverie.store.tallies import sums, turns

FRESH_FOR: Final = 1.0
"""Seconds for which a look serves everybody who asks."""
REST: Final = 20.0
"""A look that took long serves so many times longer: whatever is counted, looking takes a twentieth of the time."""

log = structlog.get_logger()


class Gauge:
    """One for each process that answers /metrics."""

    def __init__(self, queue: Queue, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._last: Measures | None = None
        self._good_until = float("-inf")
        self._looking = asyncio.Lock()

    async def measure(self) -> Measures | None:
        """The queue as it was a moment ago; None when the store cannot be reached."""
        clock = self._store.clock
        async with self._looking:
            if clock.monotonic() < self._good_until:
                return self._last
            began = clock.monotonic()
            try:
                self._last = await self._look()
            except Unavailable as error:
                log.warning("metrics.store_away", cause=str(error.__cause__ or error))
                self._last = None
            ended = clock.monotonic()
            self._good_until = ended + max(FRESH_FOR, REST * (ended - began))
            return self._last

    async def _look(self) -> Measures:
        ledger = self._queue.ledger
        return Measures(
            now=self._store.clock.now(),
            counts=await ledger.counts(),
            workers=await ledger.workers(),
            turns=await turns(self._store),
            sums=await sums(self._store),
            store=await ledger.measures() if isinstance(ledger, Measured) else {},
        )
