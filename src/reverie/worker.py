"""Take a job, run it, settle it.

The worker supervises and never runs user code itself. A job passes through five steps: started, resolved, performed,
settled, reported; the platform hands in how one is resolved and performed. Whatever a run does, the worker settles it
under the epoch of its claim and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import structlog

from reverie.clock import Clock
from reverie.errors import LeaseLost, QueueUnavailable
from reverie.jobs.batch import Batcher
from reverie.jobs.leases import LeaseKeeper
from reverie.jobs.ledger import Lease, Settlement, WorkerRecord
from reverie.jobs.performing import perform_within
from reverie.jobs.process import memory_in_use, worker_name
from reverie.jobs.queue import Queue
from reverie.jobs.retry import gives_up
from reverie.jobs.settle import finished, lease_of, released, skipped
from reverie.jobs.tending import tend
from reverie.jobs.verdict import TriedTooOften, judge, tries_of
from reverie.jobs.work import Done, Perform, Performed, Report, Skipped, Step, Stop, WorkerOptions
from reverie.model import Job

T = TypeVar("T")

LONELY_FROM: Final = 2
"""Crashes after which a job runs without neighbours."""
LONGEST_TROUBLE: Final = 10.0
"""Seconds at most between two attempts to reach the store."""
SETTLE_WITHIN: Final = 5.0
"""Seconds at most for handing over results at the end; what is not taken by then is found by its lease."""


@dataclass(slots=True, eq=False)
class _Run:
    """A job in this worker's hands."""

    job: Job
    since: float
    alone: bool = False
    begun: bool = False
    lost: bool = False
    settling: bool = False
    task: asyncio.Task[None] | None = None


class Worker:
    """Serves a queue until told to stop.

    Args:
        perform: resolves and runs one job.
        on_report: told of every step, for the lines of the command line.
        memory: MiB in use by this process.
    """

    def __init__(
        self,
        queue: Queue,
        perform: Perform,
        options: WorkerOptions,
        clock: Clock,
        *,
        on_report: Callable[[Report], None] = lambda report: None,
        memory: Callable[[], float] = memory_in_use,
    ) -> None:
        self._queue = queue
        self._perform = perform
        self._options = options
        self._clock = clock
        self._on_report = on_report
        self._memory = memory
        self.name = worker_name(options.name)
        self.turned_at = clock.monotonic()
        self._log = structlog.get_logger().bind(worker=self.name)
        self._runs: dict[Lease, _Run] = {}
        self._lonely: list[_Run] = []
        self._busy = 0  # runs being performed; those that only wait for the store leave their place to others
        self._taken = 0
        self._ended = 0
        self._empty = False
        self._slept = False
        self._born = self._last_job = self._next_start = clock.monotonic()
        self._stir = asyncio.Event()
        self._drain_until: float | None = None
        self._marks: Batcher[Lease, bool] = Batcher(self._flush_marks)
        self._settlements: Batcher[Settlement, bool] = Batcher(self._flush_settlements)
        self._keeper: LeaseKeeper | None = None

    # -- the whole

    async def run(self) -> Stop:
        """Serve until `drain` is called or an option says stop; why it stopped. Survives a store that is away."""
        self._born = self._last_job = self._clock.monotonic()
        await self._patiently(self._join)
        tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(tend(self._queue, self._options, self._clock, on_freed=self._stir.set)),
        ]
        for task in tasks:
            task.add_done_callback(self._helper_ended)
        try:
            stop = await self._turns()
            await self._finish_runs()
            return stop
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_up_runs()
            await self._leave()

    def _helper_ended(self, task: asyncio.Task[None]) -> None:
        """None ends by itself: without it the worker would go on half blind, so let another take its place."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("worker.helper_failed", exc_info=error)
            self.drain()

    def drain(self) -> None:
        """Claim nothing more; let what runs end within the grace, and give back the rest. Twice does nothing new."""
        if self._drain_until is None:
            self._drain_until = self._clock.monotonic() + self._options.grace
            self._log.info("worker.draining", running=len(self._runs))
        self._stir.set()

    async def _join(self) -> None:
        options = self._options
        here = WorkerRecord(name=self.name, host=socket.gethostname(), process=os.getpid())
        await self._queue.ledger.register(replace(here, connection=options.connection, queues=options.queues))
        await self._queue.transport.join(self.name)
        loop = asyncio.get_running_loop()
        self._keeper = LeaseKeeper(
            self._queue.ledger,
            self.name,
            on_lost=lambda lease: loop.call_soon_threadsafe(self._drop_lost, lease),
            lease=options.lease,
            renew_every=options.lease / 3,
        )
        self._keeper.start()
        self._log.info("worker.started", connection=options.connection, queues=options.queues)

    async def _leave(self) -> None:
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.close)
        with contextlib.suppress(QueueUnavailable):
            await self._queue.ledger.bury(self.name)
        await self._queue.transport.leave()
        self._log.info("worker.stopped", jobs=self._ended)

    async def _turns(self) -> Stop:
        while True:
            self.turned_at = self._clock.monotonic()
            self._stir.clear()
            try:
                took = await self._take()
                if (stop := self._reason_to_stop()) is not None:
                    return stop
                if not took:
                    await self._idle()
            except QueueUnavailable as error:
                await self._after_trouble(error)

    def _reason_to_stop(self) -> Stop | None:
        """The first that holds, in the contract's order."""
        options, now = self._options, self._clock.monotonic()
        quiet = not self._runs
        reasons = (
            (self._drain_until is not None, Stop.DRAINED),
            (options.memory > 0 and self._memory() >= options.memory, Stop.MEMORY),
            (options.once and quiet and (self._taken > 0 or self._slept), Stop.ONCE),
            (options.stop_when_empty and quiet and self._empty, Stop.EMPTY),
            (0 < options.stop_when_empty_for <= now - self._last_job and quiet and self._empty, Stop.EMPTY),
            (0 < options.max_time <= now - self._born, Stop.MAX_TIME),
            (0 < options.max_jobs <= self._ended, Stop.MAX_JOBS),
        )
        return next((stop for holds, stop in reasons if holds), None)

    async def _finish_runs(self) -> None:
        """Wait for what runs; once draining, no longer than the grace, and then give the rest back."""
        for run in self._lonely:
            run.task = asyncio.create_task(self._give_back(run))
        self._lonely.clear()
        while self._runs and (left := self._grace_left()) > 0:
            self._stir.clear()
            await self._stirred_within(left)
        await self._give_up_runs()

    async def _give_up_runs(self) -> None:
        """Stop what still runs and give it back; results that the store does not take soon are dropped."""
        for run in self._runs.values():
            if run.task is not None and not run.settling:
                run.task.cancel()
        if tasks := [run.task for run in self._runs.values() if run.task is not None]:
            _, late = await asyncio.wait(tasks, timeout=SETTLE_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _grace_left(self) -> float:
        return 3600.0 if self._drain_until is None else self._drain_until - self._clock.monotonic()

    async def _give_back(self, run: _Run) -> None:
        run.settling = True
        await self._settlements.add(released(run.job))
        self._forget(run)

    # -- taking

    async def _take(self) -> int:
        """Claim what fits and set it going; how many."""
        if self._lonely and not self._busy:
            self._go(self._lonely.pop(0), alone=True)
            return 1
        room = self._room()
        if room < 1:
            return 0
        options = self._options
        jobs = await self._queue.claim(
            worker=self.name,
            limit=room,
            lease=options.lease,
            connection=options.connection,
            queues=options.queues,
        )
        self._empty = not jobs
        self._taken += len(jobs)
        for job in jobs:
            run = _Run(job, self._clock.monotonic())
            self._runs[lease_of(job)] = run
            if self._keeper is not None:
                self._keeper.hold(lease_of(job))
            if job.crashes >= LONELY_FROM:
                self._lonely.append(run)
            else:
                self._go(run)
        return len(jobs)

    def _room(self) -> int:
        options = self._options
        if self._drain_until is not None or self._lonely or any(run.alone for run in self._runs.values()):
            return 0
        # Runs that wait for the store do not hold a place, but they do not pile up without end either.
        room = min(options.concurrency - self._busy, 4 * options.concurrency - len(self._runs))
        if options.max_jobs:
            room = min(room, options.max_jobs - self._taken)
        if options.once:
            room = min(room, 1 - self._taken)
        if options.rest > 0:
            room = min(room, 1 if self._clock.monotonic() >= self._next_start else 0)
        return room

    async def _idle(self) -> None:
        """Wait until something stirs, or a job is due, or it is time to look again."""
        options = self._options
        pause = options.sleep * random.uniform(0.8, 1.2)
        if options.once:
            pause = options.sleep
        elif self._room() > 0:
            due = await self._queue.ledger.next_due(options.connection, options.queues)
            # What is due now and was not taken is held by somebody's ended lease, and a sweep comes soon.
            pause = pause if due is None else min(pause, max(due, 0.05))
        if options.rest > 0:
            pause = min(pause, max(self._next_start - self._clock.monotonic(), 0.01))
        stirred = await self._stirred_within(pause)
        self._slept = self._slept or not stirred

    async def _stirred_within(self, seconds: float) -> bool:
        if self._stir.is_set():
            return True
        waits = {asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._stir.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._stir.is_set()

    # -- one job

    def _go(self, run: _Run, *, alone: bool = False) -> None:
        run.alone = alone
        self._busy += 1
        self._next_start = self._clock.monotonic() + self._options.rest
        run.task = asyncio.create_task(self._work_on(run))

    async def _work_on(self, run: _Run) -> None:
        try:
            self._report(run, Step.RUNNING)
            try:
                settlement = await self._perform_and_judge(run)
            finally:
                self._busy -= 1
                run.settling = True
                self._stir.set()
            lost = settlement is None or await self._settlements.add(settlement)
            self._report(run, Step.LOST if settlement is None or lost else Step(settlement.outcome), settlement)
        except asyncio.CancelledError:
            self._report(run, Step.LOST)  # the store did not take the result in time; the lease will end
        finally:
            self._forget(run)

    async def _perform_and_judge(self, run: _Run) -> Settlement | None:
        """Perform, and what follows from how it went; None when the job is another's by now."""
        job = run.job
        try:
            match await self._performed(run):
                case Done(output=output):
                    return finished(job, output=output)
                case Skipped(reason=reason):
                    return skipped(job, reason)
        except asyncio.CancelledError:
            return None if run.lost else released(job)
        except LeaseLost:
            return None
        except Exception as error:  # noqa: BLE001, RUF100 - one job's failure, whatever it is, must not stop the others
            return judge(run.job, error, self._options, begun=run.begun)

    async def _performed(self, run: _Run) -> Performed:
        job = run.job
        if gives_up(attempts=job.attempts, tries=tries_of(job, self._options)):
            raise TriedTooOften(job)

        async def mark() -> None:
            if await self._marks.add(lease_of(job)):
                raise LeaseLost(f"job {job.id} was taken before its script began")
            run.begun = True

        limit = self._options.timeout if job.timeout is None else job.timeout
        return await perform_within(limit, self._perform, job, alone=run.alone, mark=mark)

    def _report(self, run: _Run, step: Step, settlement: Settlement | None = None) -> None:
        seconds = self._clock.monotonic() - run.since
        if step not in (Step.RUNNING, Step.DONE):
            cause = settlement.error if settlement is not None and isinstance(settlement.error, dict) else {}
            known = {"error": cause.get("message"), "type": cause.get("type"), "line": cause.get("line")}
            self._log.warning(f"job.{step}", job=run.job.id, name=run.job.name, seconds=round(seconds, 3), **known)
        self._on_report(Report(step=step, job=run.job, seconds=seconds, settlement=settlement))

    def _forget(self, run: _Run) -> None:
        lease = lease_of(run.job)
        if self._keeper is not None:
            self._keeper.drop(lease)
        self._runs.pop(lease, None)
        self._ended += 1
        self._empty = False
        self._last_job = self._clock.monotonic()
        self._stir.set()

    def _drop_lost(self, lease: Lease) -> None:
        """Somebody else has the job now, or it was cancelled: stop its run, drop its result."""
        run = self._runs.get(lease)
        if run is None or run.settling:
            return
        run.lost = True
        if run.task is not None:
            run.task.cancel()
        else:
            self._lonely.remove(run)
            self._report(run, Step.LOST)
            self._forget(run)

    async def _flush_marks(self, leases: list[Lease]) -> Sequence[bool]:
        lost = set(await self._queue.ledger.start_many(leases))
        return [lease in lost for lease in leases]

    async def _flush_settlements(self, settlements: list[Settlement]) -> Sequence[bool]:
        """Hand over results; as long as the store is away, they wait. The fence sorts out what comes too late."""
        lost = set(await self._patiently(lambda: self._queue.ledger.settle_many(settlements)))
        return [one.lease in lost for one in settlements]

    # -- beside the turns

    async def _watch(self) -> None:
        while True:
            await self._queue.transport.wait()
            self._stir.set()

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await step()
            except QueueUnavailable as error:
                await self._after_trouble(error)

    async def _after_trouble(self, error: QueueUnavailable) -> None:
        self._log.error("worker.store_away", cause=str(error.__cause__ or error))
        await self._clock.sleep(random.uniform(0.1, 1) * min(LONGEST_TROUBLE, max(self._options.sleep, 1.0)))
