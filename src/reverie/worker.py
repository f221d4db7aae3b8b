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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from reverie.clock import Clock
from reverie.errors import LeaseLost, QueueUnavailable
from reverie.jobs.bell import Bell
from reverie.jobs.handover import Handover
from reverie.jobs.held import Held, log_step
from reverie.jobs.leases import LeaseKeeper, real_time
from reverie.jobs.ledger import Lease, Settlement, WorkerRecord
from reverie.jobs.outlook import Outlook
from reverie.jobs.pace import Pace
from reverie.jobs.performing import perform_within
from reverie.jobs.process import memory_in_use, worker_name
from reverie.jobs.queue import Queue
from reverie.jobs.retry import gives_up
from reverie.jobs.settle import finished, lease_of, released, skipped
from reverie.jobs.signals import Obedience, Signals
from reverie.jobs.stopping import Tally, counts_each, reason_to_stop, room
from reverie.jobs.tending import tend
from reverie.jobs.verdict import TriedTooOften, judge, tries_of
from reverie.jobs.work import Done, Perform, Performed, Report, Skipped, Step, Stop, WorkerOptions

LONELY_FROM: Final = 2
"""Crashes after which a job runs without neighbours."""
FRESH_FOR: Final = 0.05
"""Seconds after a claim, and at most a third of the lease, in which nobody can have taken or ended the job unseen."""
SETTLE_WITHIN: Final = 5.0
"""Seconds at most for handing over results at the end; what is not taken by then is found by its lease."""


class Worker:
    """Serves a queue until told to stop.

    Args:
        perform: resolves and runs one job.
        on_report: told of every step, for the lines of the command line.
        memory: MiB in use by this process.
        signals: what operators say; None: nobody says anything.
        languages: of the scripts that run here, for `signals`.
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
        signals: Signals | None = None,
        languages: Sequence[str] = (),
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
        self._runs: dict[Lease, Held] = {}
        self._lonely: list[Held] = []
        self._alone: Held | None = None  # the one of them that runs
        self._ahead: deque[Held] = deque()  # claimed, not begun: they cost nothing when they are lost
        self._pace = Pace(options.concurrency)
        # Who ends when nothing is left must know that nothing is left.
        self._thorough = options.stop_when_empty or options.stop_when_empty_for > 0
        self._outlook = Outlook(lambda: queue.ledger.next_due(options.connection, options.queues))
        now = clock.monotonic()
        self._tally = Tally(born=now, last_job=now, next_start=now)
        self._obedience = Obedience(
            signals, self.name, clock, force=options.force, restarts=not options.listens, languages=languages
        )
        self._stir = Bell(clock)
        self._drain_until: float | None = None
        self._handover = Handover(queue, clock, worker=self.name, pause=options.sleep, on_lost=self._drop_lost)
        self._keeper: LeaseKeeper | None = None

    # -- the whole

    async def run(self) -> Stop:
        """Serve until `drain` is called or an option says stop; why it stopped. Survives a store that is away."""
        self._tally.born = self._tally.last_job = self._clock.monotonic()
        await self._handover.patiently(self._join)
        tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(
                tend(self._queue, self._options, self._clock, on_freed=self._stir.ring, heed=self._heed)
            ),
        ]
        for task in tasks:
            task.add_done_callback(self._helper_ended)
        try:
            stop = await self._turns()
            await self._finish_runs()
            return Stop.DRAINED if stop is Stop.RESTART and self._drain_until is not None else stop
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_up_runs()
            await self._handover.close()
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
        self._stir.ring()

    def retire(self) -> None:
        """Claim nothing more, and end when what runs has ended, however long that takes."""
        self._obedience.orders.leave = Stop.RESTART
        self._stir.ring()

    async def _join(self) -> None:
        options = self._options
        here = WorkerRecord(name=self.name, host=socket.gethostname(), process=os.getpid())
        await self._queue.ledger.register(replace(here, connection=options.connection, queues=options.queues))
        await self._obedience.begin(self._queue.ledger.workers)
        await self._queue.transport.join(self.name, connection=options.connection, queues=options.queues)
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
        await self._obedience.end()
        await self._queue.transport.leave()
        self._log.info("worker.stopped", jobs=self._tally.ended)

    async def _turns(self) -> Stop:
        while (stop := self._reason_to_stop()) is None:
            self.turned_at = self._clock.monotonic()
            self._stir.hush()
            try:
                if not await self._take() and self._reason_to_stop() is None:
                    await self._idle()
            except QueueUnavailable as error:
                await self._handover.after_trouble(error)
        return stop

    def _reason_to_stop(self) -> Stop | None:
        leave = self._obedience.orders.leave if self._drain_until is None else Stop.DRAINED
        now, quiet = self._clock.monotonic(), not self._runs
        return reason_to_stop(self._options, self._tally, now, quiet=quiet, leave=leave, memory=self._memory)

    async def _finish_runs(self) -> None:
        """Wait for what runs; once draining, no longer than the grace, and then give the rest back."""
        for run in (*self._lonely, *self._ahead):
            run.task = asyncio.create_task(self._give_back(run))
        self._lonely.clear()
        self._ahead.clear()
        while self._runs and (left := self._grace_left()) > 0:
            self._stir.hush()
            await self._stir.within(left)
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

    async def _give_back(self, run: Held) -> None:
        run.settling = True
        await self._handover.settle(released(run.job))
        self._forget(run)

    # -- taking

    async def _take(self) -> int:
        """Claim what fits and set it going; how many."""
        if self._lonely and not self._tally.busy:
            self._go(self._lonely.pop(0), alone=True)
            return 1
        room = self._room()
        if room < 1 or not (self._thorough or await self._outlook.may_find()):
            return 0
        options, asked, began = self._options, real_time(), self._clock.monotonic()
        jobs = await self._queue.claim(
            worker=self.name,
            limit=room,
            lease=options.lease,
            connection=options.connection,
            queues=options.queues,
            thorough=self._thorough,
        )
        self._pace.note_claim(self._clock.monotonic() - began)
        self._tally.empty = not jobs
        self._tally.taken += len(jobs)
        for job in jobs:
            run = Held(job, self._clock.monotonic(), self._keeper)
            self._runs[lease_of(job)] = run
            if self._keeper is not None:
                self._keeper.hold(lease_of(job), since=asked)
            (self._lonely if job.crashes >= LONELY_FROM else self._ahead).append(run)
        self._start_ahead()
        return len(jobs)

    def _start_ahead(self) -> None:
        """Fill free places with what was claimed."""
        while self._ahead and self._may_start() and self._tally.busy < self._options.concurrency:
            self._go(self._ahead.popleft())

    def _may_start(self) -> bool:
        """Whether anything may begin: not while draining, nor beside a job that must be alone or waits to be."""
        return self._drain_until is None and not self._lonely and self._alone is None

    def _room(self) -> int:
        if self._obedience.orders.idle or not self._may_start():
            return 0
        now, ahead = self._clock.monotonic(), len(self._ahead)
        most_ahead = 0 if counts_each(self._options) else self._pace.ahead()
        return room(self._options, self._tally, now, runs=len(self._runs), ahead=ahead, most_ahead=most_ahead)

    def _needs_turn(self) -> bool:
        """Whether a turn would find something to do. One costs as much as a third of an empty run."""
        return not self._ahead or not self._may_start() or self._room() > 0

    async def _idle(self) -> None:
        """Wait until something stirs, or a job is due, or it is time to look again."""
        options = self._options
        pause = options.sleep * random.uniform(0.8, 1.2)
        if options.once:
            pause = max(0.0, self._tally.born + options.sleep - self._clock.monotonic())
        elif self._room() > 0:
            pause = await self._outlook.pause(pause)
        if options.rest > 0:
            pause = min(pause, max(self._tally.next_start - self._clock.monotonic(), 0.01))
        stirred = await self._stir.within(pause)
        if stirred:
            self._outlook.stirred()
        # However often something stirs, a worker that looks once does not stay for ever.
        enough = options.once and self._clock.monotonic() >= self._tally.born + options.sleep
        self._tally.slept = self._tally.slept or enough or not stirred

    # -- one job

    def _go(self, run: Held, *, alone: bool = False) -> None:
        run.alone = alone
        if alone:
            self._alone = run
        self._tally.busy += 1
        self._tally.next_start = self._clock.monotonic() + self._options.rest
        run.task = asyncio.create_task(self._work_on(run))

    async def _work_on(self, run: Held) -> None:
        try:
            self._report(run, Step.RUNNING)
            began = self._clock.monotonic()
            try:
                settlement = await self._perform_and_judge(run)
            finally:
                self._tally.busy -= 1
                self._tally.performed += 1
                self._pace.note(self._clock.monotonic() - began)
                run.settling = True
                self._start_ahead()
                if self._needs_turn() or self._reason_to_stop() is not None:
                    self._stir.ring()
            lost = settlement is None or await self._handover.settle(settlement)
            self._report(run, Step.LOST if settlement is None or lost else Step(settlement.outcome), settlement)
        except asyncio.CancelledError:
            self._report(run, Step.LOST)  # the store did not take the result in time; the lease will end
        finally:
            self._forget(run)

    async def _perform_and_judge(self, run: Held) -> Settlement | None:
        """Perform, and what follows from how it went; None when the job is another's by now."""
        job = run.job
        try:
            match await self._performed(run):
                case Done(output=output, result=result):
                    return finished(job, output=output, result=result)
                case Skipped(reason=reason):
                    return skipped(job, reason)
        except asyncio.CancelledError:
            return None if run.lost else released(job)
        except LeaseLost:
            return None
        except Exception as error:  # noqa: BLE001, RUF100 - one job's failure, whatever it is, must not stop the others
            return judge(run.job, error, self._options, begun=run.begun)

    async def _performed(self, run: Held) -> Performed:
        job = run.job
        if gives_up(attempts=job.attempts, tries=tries_of(job, self._options)):
            raise TriedTooOften(job)

        async def mark() -> None:
            run.begun = True
            if job.epoch == 1 and self._clock.monotonic() - run.since < min(FRESH_FOR, self._options.lease / 3):
                # Nobody else can have it yet, so the script need not wait for the note. A job that takes its worker
                # down at once is noted before it begins the next time.
                self._handover.note(lease_of(job))
            elif await self._handover.begin(lease_of(job)):
                raise LeaseLost(f"job {job.id} was taken before its script began")

        limit = self._options.timeout if job.timeout is None else job.timeout
        return await perform_within(limit, self._perform, job, alone=run.alone, mark=mark, holds=run.holds)

    def _report(self, run: Held, step: Step, settlement: Settlement | None = None) -> None:
        report = Report(step=step, job=run.job, seconds=self._clock.monotonic() - run.since, settlement=settlement)
        log_step(self._log, report)
        self._on_report(report)

    def _forget(self, run: Held) -> None:
        lease = lease_of(run.job)
        if self._keeper is not None:
            self._keeper.drop(lease)
        self._runs.pop(lease, None)
        if self._alone is run:
            self._alone = None
        self._tally.ended += 1
        self._tally.empty = False
        self._tally.last_job = self._clock.monotonic()
        if self._needs_turn():
            self._stir.ring()

    def _drop_lost(self, lease: Lease) -> None:
        """Somebody else has the job now, or it was cancelled: stop its run, drop its result."""
        run = self._runs.get(lease)
        if run is None or run.settling:
            return
        run.lost = True
        if run.task is not None:
            run.task.cancel()
        else:
            (self._lonely if run in self._lonely else self._ahead).remove(run)
            self._report(run, Step.LOST)
            self._forget(run)

    # -- beside the turns

    async def _watch(self) -> None:
        while True:
            await self._queue.transport.wait()
            self._stir.ring()
            await self._heed(woken=True)

    async def _heed(self, *, woken: bool = False) -> None:
        """Learn what operators want; what was claimed already is run all the same."""
        if await self._obedience.look(woken=woken):
            self._stir.ring()
