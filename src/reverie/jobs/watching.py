"""Waiting for a job to move: one shared look for all who wait, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
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


class _Waiter:
    """Somebody who waits for one job.

    Attributes:
        job: as it was last seen; None once it is gone.
        moved: set when it is another than the waiter took.
    """

    __slots__ = ("job", "moved")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.moved = asyncio.Event()

    def see(self, job: Job | None) -> None:
        if _mark(job) != _mark(self.job):
            self.job = job
            self.moved.set()


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
        async with contextlib.aclosing(self.moves(job_id)) as moves:
            return await self._within(_last(moves), seconds)

    async def moved(self, job: Job, seconds: float) -> Job:
        """The job once it differs from *job*, without payload; *job* itself when it has not moved within the time.

        Raises:
            NotFound, QueueUnavailable: as from `ended`.
        """
        async with contextlib.aclosing(self.moves(job.id)) as moves:
            return await self._within(_other(moves, job), seconds) or job

    async def moves(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job as it is, then at each change of status, counters, priority or due time; ends after its end.

        Without payload. To be closed by who leaves early. Ends after `stop` too.

        Raises:
            NotFound: there is none, or no more.
            QueueUnavailable: the store could not be reached at the beginning.
        """
        found = await self._queue.ledger.get_many([job_id])
        if not found:
            raise NotFound(f"There is no job {job_id!r}.")
        if found[0].status in ENDED:
            yield found[0]
            return
        waiter = _Waiter(found[0])
        self._waiters.setdefault(job_id, set()).add(waiter)
        # What happened since that look is found by the next one, whatever the store says about changes.
        self._anew = True
        self._look_out()
        try:
            while (job := waiter.job) is not None:
                yield job
                if job.status in ENDED or self._stopped:
                    return
                await waiter.moved.wait()
                waiter.moved.clear()
                if self._stopped:
                    return
            raise NotFound(f"There is no job {job_id!r} any more.")
        finally:
            self._leave(job_id, waiter)

    def stop(self) -> None:
        """Let everybody who waits go, now and from now on."""
        self._stopped = True
        for waiter in self._everybody():
            waiter.moved.set()

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
        looked_at = self._clock.monotonic()
        while self._waiters:
            await self._clock.sleep(ASK_EVERY if self._changes else LOOK_EVERY)
            now = self._clock.monotonic()
            # Asked before the look: a change between the two is looked at twice rather than never.
            asked = self._ask()
            if self._anew or asked is None or asked != state or now - looked_at >= LOOK_ANYWAY:
                state, looked_at, self._anew = asked, now, False
                if not await self._look():
                    await self._clock.sleep(LOOK_ANYWAY)
                    self._anew = True

    def _ask(self) -> int | None:
        try:
            return self._changes() if self._changes else None
        except DatabaseError:
            return None

    async def _look(self) -> bool:
        """One query for everybody; False when the store could not be reached."""
        # Who comes during the query has looked later than it, and must not be told what was before.
        asking = {job_id: list(waiters) for job_id, waiters in self._waiters.items()}
        if not asking:
            return True
        try:
            jobs = {job.id: job for job in await self._queue.ledger.get_many(list(asking))}
        except QueueUnavailable:
            return False
        for job_id, waiters in asking.items():
            for waiter in waiters:
                waiter.see(jobs.get(job_id))
        return True

    async def _within(self, wanted: asyncio.Task[Job | None], seconds: float) -> Job | None:
        """What *wanted* gives, or None after some seconds; nothing goes on afterwards."""
        timer: asyncio.Task[Job | None] = asyncio.create_task(self._nothing_after(seconds))
        try:
            await asyncio.wait({wanted, timer}, return_when=asyncio.FIRST_COMPLETED)
            return wanted.result() if wanted.done() else None
        finally:
            timer.cancel()
            wanted.cancel()
            await asyncio.gather(timer, wanted, return_exceptions=True)

    async def _nothing_after(self, seconds: float) -> Job | None:
        await self._clock.sleep(seconds)
        return None


def _mark(job: Job | None) -> object:
    """What a move changes."""
    if job is None:
        return None
    return (job.status, job.attempts, job.crashes, job.epoch, job.priority, job.due_at)


def _last(moves: AsyncIterator[Job]) -> asyncio.Task[Job | None]:
    async def last() -> Job | None:
        async for job in moves:
            if job.status in ENDED:
                return job
        return None

    return asyncio.create_task(last())


def _other(moves: AsyncIterator[Job], known: Job) -> asyncio.Task[Job | None]:
    async def other() -> Job | None:
        async for job in moves:
            if _mark(job) != _mark(known):
                return job
        return None

    return asyncio.create_task(other())
