"""What a worker tells the ledger, many jobs at a time, and again and again while the store is away."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import structlog

from reverie.clock import Clock
from reverie.errors import QueueUnavailable
from reverie.jobs.batch import Batcher
from reverie.jobs.ledger import Lease, Settlement
from reverie.jobs.queue import Queue

T = TypeVar("T")

LONGEST_TROUBLE: Final = 10.0
"""Seconds at most between two attempts to reach the store."""
NOTE_AFTER: Final = 0.005
"""Seconds, to twice as many, after which a run is noted that goes on: what ends before costs no write for that."""

log = structlog.get_logger()


class Handover:
    """Args:
    pause: seconds, roughly, between two attempts to reach the store.
    on_lost: called with each lease that turned out to be lost when its beginning was noted.
    """

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        *,
        worker: str,
        pause: float,
        on_lost: Callable[[Lease], object] = lambda lease: None,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._worker = worker
        self._pause = min(LONGEST_TROUBLE, max(pause, 1.0))
        self._marks: Batcher[Lease, bool] = Batcher(self._mark)
        self._settlements: Batcher[Settlement, bool] = Batcher(self._settle)
        self._on_lost = on_lost
        self._notes: dict[Lease, float] = {}  # monotonic seconds of a beginning that is not on its way yet
        self._noting: asyncio.Task[None] | None = None

    async def begin(self, lease: Lease) -> bool:
        """Note that a job's script begins; True if the job is no longer ours. Raises QueueUnavailable."""
        return await self._marks.add(lease)

    def note(self, lease: Lease) -> None:
        """Note soon that a job's script begins, however long the store is away; `on_lost` if it is no longer ours.

        A run that is settled before needs no note of its own: its settlement tells how long it ran.
        """
        self._notes[lease] = self._clock.monotonic()
        if self._noting is None:
            self._noting = asyncio.create_task(self._note_all())

    async def settle(self, settlement: Settlement) -> bool:
        """End a run, however long the store is away; True if the job is no longer ours."""
        began = self._notes.pop(settlement.lease, None)
        if began is not None:
            settlement = replace(settlement, ran=self._clock.monotonic() - began)
        return await self._settlements.add(settlement)

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat *step* until the store is there."""
        while True:
            try:
                return await step()
            except QueueUnavailable as error:
                await self.after_trouble(error)

    async def after_trouble(self, error: QueueUnavailable) -> None:
        log.error("worker.store_away", worker=self._worker, cause=str(error.__cause__ or error))
        await self._clock.sleep(random.uniform(0.1, 1) * self._pause)

    async def close(self) -> None:
        """Note nothing more."""
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)

    async def _note_all(self) -> None:
        try:
            while begun := list(self._notes):
                await asyncio.sleep(NOTE_AFTER)
                leases = [lease for lease in begun if self._notes.pop(lease, None) is not None]
                lost = await self.patiently(partial(self._queue.ledger.start_many, leases)) if leases else ()
                for lease in lost:
                    self._on_lost(lease)
        finally:
            self._noting = None

    async def _mark(self, leases: list[Lease]) -> Sequence[bool]:
        lost = set(await self._queue.ledger.start_many(leases))
        return [lease in lost for lease in leases]

    async def _settle(self, settlements: list[Settlement]) -> Sequence[bool]:
        # The fence sorts out what comes too late. Where there was no answer, it may have been done all the same.
        tries = itertools.count()
        lost = set(await self.patiently(lambda: self._queue.ledger.settle_many(settlements, again=next(tries) > 0)))
        return [one.lease in lost for one in settlements]
