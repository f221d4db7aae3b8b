"""The queue: one meaning for every verb, whatever keeps the jobs and whatever wakes the workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from reverie.clock import Clock
from reverie.errors import KeyReused, LeaseLost, QueueUnavailable, ReverieError
from reverie.jobs.connections import Connections
from reverie.jobs.ids import JobIds
from reverie.jobs.ledger import Lease, Ledger, Settlement, Swept, WorkerRecord
from reverie.jobs.settle import error_map, failed, finished, lease_of, released, skipped
from reverie.jobs.transport import Broker, Transport
from reverie.jobs.wakeups import Wakeups
from reverie.model import JSON, Job, JobStatus

DAY: Final = 86400.0
PURGED_AT_ONCE: Final = 1000
ROLL_CALL_EVERY: Final = 5.0
"""Seconds between two looks who the workers are; whether they live is looked at by `take_back` each time."""


NAMED: Final = 20
"""Jobs that one line of the log names."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long jobs stay after their end, in seconds; `most_done` the newest done ones that stay in any case."""

    done: float = 7 * DAY
    failed: float = 30 * DAY
    most_done: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A job to be pushed; the fields are those of `Job`. None for connection and queue means the default ones."""

    kind: str
    script: str
    name: str
    payload: bytes
    connection: str | None = None
    queue: str | None = None
    delay: float | None = None
    priority: int = 0
    tries: int | None = None
    timeout: float | None = None
    hops: int = 1
    stamp: int = 0
    verb: str = ""
    service: str = ""
    user_id: int | None = None
    role_id: int | None = None
    app_id: int | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What makes a job only once, however often it is pushed.

    Attributes:
        key: who pushes, and what he calls it; 64 characters at most.
        digest: of what is pushed: another one under the same key is a mistake.
        keep_for: seconds that the key stands for the job.
    """

    key: str
    digest: str
    keep_for: float = DAY


class Meter(Protocol):
    """Is told what a worker's queue does that no report tells."""

    def claimed(self, seconds: float) -> None:
        """A claim took jobs."""
        ...

    def swept(self, swept: Swept) -> None: ...


class Queue:
    """Named connections over a ledger and a transport.

    Args:
        transport: wakes the workers of every connection that has no broker.
        brokers: by the name of their connection.

    Attributes:
        meter: whoever counts; None where nobody does.
    """

    def __init__(
        self,
        ledger: Ledger,
        transport: Transport,
        connections: Connections,
        clock: Clock,
        brokers: Mapping[str, Broker] | None = None,
    ) -> None:
        self.ledger = ledger
        self.transport = Wakeups(transport, brokers or {})
        self.connections = connections
        self._clock = clock
        self._ids = JobIds(clock)
        self.meter: Meter | None = None
        self._workers: list[WorkerRecord] = []
        self._roll_call_at = float("-inf")

    # -- in

    def make(self, draft: Draft) -> Job:
        """The job that *draft* becomes, stored nowhere yet.

        Raises:
            UnknownConnection
        """
        connection = self.connections.find(draft.connection)
        now = self._clock.now()
        return Job(
            id=self._ids.make(),
            kind=draft.kind,
            script=draft.script,
            name=draft.name,
            connection=connection.name,
            queue=draft.queue or connection.queue,
            status=JobStatus.DELAYED if draft.delay and draft.delay > 0 else JobStatus.WAITING,
            priority=draft.priority,
            delay=draft.delay,
            tries=draft.tries,
            timeout=draft.timeout,
            hops=draft.hops,
            stamp=draft.stamp,
            verb=draft.verb,
            service=draft.service,
            user_id=draft.user_id,
            role_id=draft.role_id,
            app_id=draft.app_id,
            trace=draft.trace,
            created_at=now,
            due_at=now + max(draft.delay or 0.0, 0.0),
            payload=draft.payload,
        )

    async def push(
        self, draft: Draft, *, run_now: Callable[[Job], Awaitable[object]] | None = None, once: Once | None = None
    ) -> Job | None:
        """Keep a job; when this returns it is durable, and a worker is on its way.

        A ``sync`` connection has run it when this returns. A ``null`` connection keeps nothing, and returns None.

        Args:
            run_now: runs a job of a ``sync`` connection to its end; what it raises reaches who pushed.
            once: when its key stands for a job already, that one is returned, as far as it is known: with the id of
                the old and the rest of *draft*.

        Raises:
            UnknownConnection, QueueUnavailable
            KeyReused: the key stands for something else.
            ReverieError: from the run, on a ``sync`` connection; the job is kept as failed.
        """
        job = self.make(draft)
        match self.connections.find(job.connection).driver:
            case "null":
                return None
            case "sync":
                return await self._push_sync(job, run_now, once)
            case "database" | "redis" if once is not None:
                return await self._push_once(job, once)
            case "database" | "redis":
                await self.ledger.create_many([job])
                log.debug("job.pushed", job=job.id, name=job.name, connection=job.connection, queue=job.queue)
                await self.announce(job)
                return job

    async def _push_once(self, job: Job, once: Once) -> Job:
        kept = await self.ledger.create_once(job, key=once.key, digest=once.digest, keep_for=once.keep_for)
        if kept is None:
            await self.announce(job)
            return job
        if kept.digest != once.digest:
            raise KeyReused
        return replace(job, id=kept.job_id)

    async def _push_sync(self, job: Job, run_now: Callable[[Job], Awaitable[object]] | None, once: Once | None) -> Job:
        if run_now is None:
            raise QueueUnavailable(f"The [{job.connection}] queue connection cannot run jobs here.", retry_after=None)
        try:
            await run_now(job)
        except ReverieError as error:
            # Without the key: what failed may be sent again under it.
            await self._keep_ended(job, JobStatus.FAILED, error_map(error, job=job), None)
            raise
        return await self._keep_ended(job, JobStatus.DONE, None, once)

    async def _keep_ended(self, job: Job, status: JobStatus, error: JSON, once: Once | None) -> Job:
        ended = replace(job, status=status, attempts=1, finished_at=self._clock.now(), error=error)
        if once is None:
            await self.ledger.create_many([ended])
        else:
            # It has run; of two at the same moment the second leaves no trace but its effects.
            await self.ledger.create_once(ended, key=once.key, digest=once.digest, keep_for=once.keep_for)
        return ended

    async def announce(self, *jobs: Job) -> None:
        """Wake the workers for jobs that were stored by `Ledger.create`, after that transaction's commit."""
        for connection, queue in {(job.connection, job.queue) for job in jobs}:
            await self.transport.announce(connection, queue)

    async def announce_to_all(self) -> None:
        """Wake every worker, whatever it serves, as when an operator has told something to all."""
        for name in self.connections.names():
            await self.transport.announce(name, self.connections.first_queue(name))

    # -- claimed

    async def claim(
        self,
        *,
        worker: str,
        limit: int = 1,
        lease: float = 30.0,
        connection: str | None = None,
        queues: Sequence[str] | None = None,
        thorough: bool = False,
    ) -> list[Job]:
        """`Ledger.claim` with the connection's own queue as the first one."""
        first = self.connections.first_queue(connection)
        began = self._clock.monotonic()
        jobs = await self.ledger.claim(
            worker=worker,
            limit=limit,
            lease=lease,
            connection=connection,
            queues=queues,
            first=first,
            thorough=thorough,
        )
        if jobs:
            log.debug("job.claimed", worker=worker, jobs=len(jobs))
            if self.meter is not None:
                self.meter.claimed(self._clock.monotonic() - began)
        return jobs

    async def start(self, job: Job) -> None:
        """Note that the job's script begins now.

        Raises:
            LeaseLost
        """
        self._must_hold(await self.ledger.start_many([lease_of(job)]))

    async def extend(self, job: Job, *, worker: str, lease: float = 30.0) -> None:
        """Hold on to a job for *lease* seconds from now.

        Raises:
            LeaseLost
        """
        self._must_hold(await self.ledger.extend_many(worker, [lease_of(job)], lease=lease))

    async def finish(self, job: Job, *, output: str = "") -> None:
        """The script ran to its end. Raises LeaseLost."""
        await self.settle(finished(job, output=output))

    async def release(self, job: Job, *, pause: float | None = None) -> None:
        """Give a job back with no counter changed. Raises LeaseLost."""
        await self.settle(released(job, pause=pause))
        await self.announce(job)

    async def fail(self, job: Job, error: JSON) -> None:
        """The job has failed for good. Raises LeaseLost."""
        await self.settle(failed(job, error))

    async def skip(self, job: Job, reason: str) -> None:
        """There is nothing to run any more. Raises LeaseLost."""
        await self.settle(skipped(job, reason))

    async def settle(self, settlement: Settlement) -> None:
        """End a run.

        Raises:
            LeaseLost: the job is another's now, or has ended; nothing was changed.
        """
        self._must_hold(await self.ledger.settle_many([settlement]))

    @staticmethod
    def _must_hold(lost: Sequence[Lease]) -> None:
        if lost:
            raise LeaseLost(f"job {lost[0].job_id} is no longer held under epoch {lost[0].epoch}")

    # -- by hand

    async def cancel(self, ids: Sequence[str]) -> list[Job]:
        """End jobs that wait or run; whose script runs is stopped within seconds. Those it ended."""
        jobs = await self.ledger.cancel(ids)
        log.info("job.cancelled", jobs=_ids(jobs))
        return jobs

    async def retry(self, ids: Sequence[str]) -> list[Job]:
        """Make failed, cancelled and skipped jobs due now, as if never tried. Those it did."""
        jobs = await self.ledger.retry(ids)
        log.info("job.requeued", jobs=_ids(jobs))
        await self.announce(*jobs)
        return jobs

    async def pause(self, connection: str, queue: str) -> None:
        await self.ledger.pause(connection, queue)
        log.info("queue.paused", connection=connection, queue=queue)

    async def resume(self, connection: str, queue: str) -> None:
        await self.ledger.resume(connection, queue)
        log.info("queue.resumed", connection=connection, queue=queue)
        await self.transport.announce(connection, queue)

    # -- kept in order

    async def take_back(self, *, max_crashes: int) -> Swept:
        """Free what dead and hanging workers hold: at once if their process is known to have ended."""
        now = self._clock.monotonic()
        if now >= self._roll_call_at:
            self._roll_call_at = now + ROLL_CALL_EVERY
            self._workers = await self.ledger.workers()
        silent_since = self._clock.now() - DAY
        for worker in tuple(self._workers):
            gone = self.transport.gone(worker.name)
            if gone or worker.seen_at < silent_since:
                await self.ledger.bury(worker.name)
                self._workers.remove(worker)
            if gone:
                self.transport.clear(worker.name)
        swept = await self.ledger.sweep(max_crashes=max_crashes)
        if self.meter is not None:
            self.meter.swept(swept)
        return swept

    async def purge(self, retention: Retention) -> int:
        """Delete one batch of what has been kept long enough; how many. Call again while there are some."""
        now = self._clock.now()
        purged = await self.ledger.purge(
            status=JobStatus.DONE,
            ended_before=now - retention.done,
            most=retention.most_done,
            limit=PURGED_AT_ONCE,
        )
        for status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SKIPPED):
            purged += await self.ledger.purge(status=status, ended_before=now - retention.failed, limit=PURGED_AT_ONCE)
        if purged:
            log.info("job.purged", jobs=purged)
        return purged

    async def close(self) -> None:
        await self.transport.close()


def _ids(jobs: Sequence[Job]) -> list[str]:
    """For the log: all of a few, else some and how many more."""
    named = [job.id for job in jobs[:NAMED]]
    return named if len(jobs) <= NAMED else [*named, f"and {len(jobs) - NAMED} more"]
