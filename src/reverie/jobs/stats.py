"""The queues in figures, as the command line and the API show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.jobs.ledger import Count, WorkerRecord
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.jobs.speed import UNKNOWN, Speed, measure
from reverie.model import Job, JobStatus

ALIVE: Final = 60.0
"""Seconds since a worker was last seen, beyond which it counts as gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """One queue.

    Attributes:
        jobs: how many are in each state; states without a job are left out.
        oldest_due: when the longest waiting job was due; None when none waits.
        speed: how fast it is of late.
        workers: how many are there that serve it.
    """

    connection: str
    queue: str
    jobs: Mapping[JobStatus, int]
    oldest_due: float | None
    paused: bool
    workers: int
    speed: Speed = UNKNOWN

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended."""
        return sum(self.jobs.get(one, 0) for one in (JobStatus.WAITING, JobStatus.DELAYED, JobStatus.RUNNING))


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
    speeds = await measure(queue.ledger, now)
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
                speed=speeds.get((connection, each), UNKNOWN),
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
