"""The queues in figures, as the command line and the API show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.jobs.ledger import Count, Rate, WorkerRecord
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.model import Job, JobStatus

ALIVE: Final = 60.0
"""Seconds since a worker was last seen, beyond which it counts as gone."""
MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What ended in a queue within the last `seconds`.

    Attributes:
        failed: of those that `ended`.
        waited, ran: mean seconds of one job; None when nothing is known.
    """

    seconds: float
    ended: int = 0
    failed: int = 0
    waited: float | None = None
    ran: float | None = None

    @property
    def per_second(self) -> float:
        return self.ended / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """One queue.

    Attributes:
        jobs: how many are in each state; states without a job are left out.
        oldest_due: when the longest waiting job was due; None when none waits.
        one_minute, five_minutes: what ended lately.
        workers: how many are there that serve it.
    """

    connection: str
    queue: str
    jobs: Mapping[JobStatus, int]
    oldest_due: float | None
    one_minute: Lately
    five_minutes: Lately
    paused: bool
    workers: int

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended."""
        return sum(self.jobs.get(one, 0) for one in (JobStatus.WAITING, JobStatus.DELAYED, JobStatus.RUNNING))

    @property
    def speed(self) -> float | None:
        """Jobs a second of late; None when none ended within five minutes."""
        lately = self.one_minute if self.one_minute.ended else self.five_minutes
        return lately.per_second or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """All queues that have jobs, are paused, or are served by name; `at` in Unix seconds."""

    at: float
    queues: Sequence[QueueStats]
    workers: Sequence[WorkerRecord]
    maintenance: bool


async def stats(queue: Queue, signals: Signals, now: float) -> Stats:
    """Look at everything once.

    Raises:
        QueueUnavailable
    """
    counts = await queue.ledger.counts()
    one = _by_queue(await queue.ledger.rates(since=now - MINUTE), now, MINUTE)
    five = _by_queue(await queue.ledger.rates(since=now - 5 * MINUTE), now, 5 * MINUTE)
    workers = await queue.ledger.workers()
    paused = set(await queue.ledger.paused())
    served = {(one.connection, each) for one in workers if one.connection for each in one.queues or ()}
    names = {(count.connection, count.queue) for count in counts} | paused | served
    return Stats(
        at=now,
        queues=[
            QueueStats(
                connection=connection,
                queue=each,
                jobs=_jobs(counts, connection, each),
                oldest_due=_oldest_due(counts, connection, each),
                one_minute=one.get((connection, each), Lately(seconds=MINUTE)),
                five_minutes=five.get((connection, each), Lately(seconds=5 * MINUTE)),
                paused=(connection, each) in paused,
                workers=len(serving(workers, connection, each, now)),
            )
            for connection, each in sorted(names)
        ],
        workers=workers,
        maintenance=await signals.maintenance(),
    )


def is_alive(worker: WorkerRecord, now: float) -> bool:
    return now - worker.seen_at < ALIVE


def serving(workers: Iterable[WorkerRecord], connection: str, queue: str, now: float) -> list[WorkerRecord]:
    """Those that are there and take jobs of a queue."""
    return [
        one
        for one in workers
        if one.connection in (None, connection) and (one.queues is None or queue in one.queues) and is_alive(one, now)
    ]


def of_job(known: Stats, job: Job) -> QueueStats | None:
    """The figures of the queue that a job is in."""
    return next((one for one in known.queues if (one.connection, one.queue) == (job.connection, job.queue)), None)


def _jobs(counts: Sequence[Count], connection: str, queue: str) -> dict[JobStatus, int]:
    return {one.status: one.jobs for one in counts if (one.connection, one.queue) == (connection, queue)}


def _oldest_due(counts: Sequence[Count], connection: str, queue: str) -> float | None:
    waiting = (
        one.oldest_due
        for one in counts
        if (one.connection, one.queue, one.status) == (connection, queue, JobStatus.WAITING)
    )
    return next(waiting, None)


def _by_queue(rates: Sequence[Rate], now: float, seconds: float) -> dict[tuple[str, str], Lately]:
    return {
        (one.connection, one.queue): Lately(
            seconds=seconds if one.since is None else max(now - one.since, 0.001),
            ended=one.ended,
            failed=one.failed,
            waited=one.waited,
            ran=one.ran,
        )
        for one in rates
    }
