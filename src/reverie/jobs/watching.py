"""Waiting for a job to move: one shared look for all who wait, and none while nobody does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.ledger import ENDED
from reverie.jobs.queue import Queue
from reverie.model import Job

ASK_EVERY: Final = 0.02
"""Seconds between two questions to a store that can say cheaply whether anything changed."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at one that cannot."""
LOOK_ANYWAY: Final = 1.0
"""Seconds after which there is a look in any case: that a delayed job has become due is no change in the store."""
PATIENCE: Final = 2.0
"""Seconds that one look may take."""


class _Waiter:
    """Somebody who waits for one job.

    Attributes:
        job: as it was last seen; None once it is gone.
        until: when, in monotonic seconds, it wakes although nothing moved.
        woken: set when it may go on.
    """

    __slots__ = ("job", "until", "woken")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.until = math.inf
        self.woken = asyncio.Event()

    def see(self, job: Job | None) -> None:
        if _mark(job) != _mark(self.job):
            self.job = job
            self.woken.set()


class JobWatch:
    """Tells when jobs move. Of moves between two looks the last one is seen.

    While the store cannot be reached nothing moves, and nobody is told.

    Args:
        changes: `Database.changes` of the ledger's database, where every commit moves it; None where none tells.
    """

    def __init__(self, queue: Queue, clock: Clock, changes: Callable[[], int] | None = None) -> None:
        self._queue = queue
        self._clock = clock
        self._changes = changes
        self._waiters: dict[str, set[_Waiter]] = {}
        self._anew = False
        self._stopped = False
        self._looking: asyncio.Task[None] | None = None

    @property
    def watched(self) -> int:
        """How many jobs somebody waits for."""
        return len(self._waiters)

    async def ended(self, job_id: str, seconds: float) -> Job | None:
        """The job, without payload, once it has ended; None when it has not within the time, or after `stop`.

        Raises:
            NotFound: there is none, or no more.
            QueueUnavailable: the store could not be reached at the beginning.
        """
        async with aclosing(self.moves(job_id, seconds=seconds)) as moves:
            async for job in moves:
                if job.status in ENDED:
                    return job
        return None

    async def moved(self, known: Job, seconds: float) -> Job:
        """The job, without payload, once it differs from *known*; *known* itself when it has not within the time.

        Raises:
            NotFound, QueueUnavailable: as from `ended`.
        """
        async with aclosing(self.moves(known.id, seconds=seconds)) as moves:
            async for job in moves:
                if _mark(job) != _mark(known):
                    return job
        return known

    async def look(self, job_id: str) -> Job:
        """The job as it is now, without payload. Raises NotFound, QueueUnavailable."""
        for job in await self._queue.ledger.get_many([job_id]):
            return job
        raise NotFound(f"There is no job {job_id!r}.")

    async def moves(
        self, job_id: str, *, seconds: float = math.inf, again: float = math.inf
    ) -> AsyncGenerator[Job, None]:
        """The job as it is, then at each change of status, counters, priority or due time; ends after its end.

        Without payload. To be closed by who leaves early. `stop` ends it too.

        Args:
            seconds: it ends after this long in any case.
            again: without a move the job comes again after this long.

        Raises:
            NotFound: there is none, or no more.
            QueueUnavailable: the store could not be reached at the beginning.
        """
        found = await self.look(job_id)
        if found.status in ENDED:
            yield found
            return
        now = self._clock.monotonic
        waiter, end = _Waiter(found), now() + seconds
        self._waiters.setdefault(job_id, set()).add(waiter)
        # What happened since that look is found by the next one, whatever the store says about changes.
        self._anew = True
        self._look_out()
        try:
            while (job := waiter.job) is not None:
                yield job
                if job.status in ENDED:
                    return
                waiter.until = min(now() + again, end)
                if not self._stopped:
                    await waiter.woken.wait()
                if self._stopped or (now() >= end and waiter.job is job):
                    return
                waiter.woken.clear()
            raise NotFound(f"There is no job {job_id!r} any more.")
        finally:
            self._leave(job_id, waiter)

    def stop(self) -> None:
        """Let everybody who waits go, now and from now on."""
        self._stopped = True
        for waiter in self._everybody():
            waiter.woken.set()

    async def close(self) -> None:
        """`stop`, and look no more. Twice does nothing."""
        self.stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    # -- looking

    def _look_out(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())

    def _leave(self, job_id: str, waiter: _Waiter) -> None:
        others = self._waiters[job_id]
        others.discard(waiter)
        if not others:
            del self._waiters[job_id]

    def _everybody(self) -> list[_Waiter]:
        return [waiter for waiters in self._waiters.values() for waiter in waiters]

    async def _keep_looking(self) -> None:
        state: int | None = None
        look_at, away = self._clock.monotonic(), False
        while True:
            await self._clock.sleep(ASK_EVERY if self._changes else LOOK_EVERY)
            if not self._waiters:
                return
            now = self._clock.monotonic()
            # Asked before the look: a change between the two is looked at twice rather than never.
            asked = self._ask()
            moved = self._anew or asked is None or asked != state
            if now >= look_at or (moved and not away):
                state, self._anew = asked, False
                away = not await self._look()
                look_at = now + LOOK_ANYWAY
            self._wake()

    def _ask(self) -> int | None:
        """A number that another than last time makes a look worth while."""
        try:
            return self._changes() if self._changes else None
        except DatabaseError:
            return None

    async def _look(self) -> bool:
        """One query for everybody; False when the store could not be reached."""
        # Who comes during the query has looked later than it, and must not be told what was before.
        asking = {job_id: list(waiters) for job_id, waiters in self._waiters.items()}
        try:
            async with asyncio.timeout(PATIENCE):
                jobs = {job.id: job for job in await self._queue.ledger.get_many(list(asking))}
        except (QueueUnavailable, TimeoutError):
            return False
        for job_id, waiters in asking.items():
            for waiter in waiters:
                waiter.see(jobs.get(job_id))
        return True

    def _wake(self) -> None:
        now = self._clock.monotonic()
        for waiter in self._everybody():
            if waiter.until <= now:
                waiter.woken.set()


def _mark(job: Job | None) -> object:
    """What a move changes."""
    if job is None:
        return None
    return (job.status, job.attempts, job.crashes, job.epoch, job.priority, job.due_at)
