"""The interface to the truth about jobs.

Its life is drawn in docs/explanation/job-states.md. Every claim raises a job's epoch; whoever settles a job names the
epoch of his claim, and is told when it is no longer his. All times are Unix seconds of the store's clock; what is due
or expired is decided by that clock alone. With a ledger on SQLite it is the clock of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from reverie.database import Connection
from reverie.jobs.finding import Finding
from reverie.model import JSON, Attempt, Job, JobStatus

ENDED = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SKIPPED)
"""Where nothing happens any more, unless somebody retries the job."""


class Lease(NamedTuple):
    """A claim on a job: nobody else may run it until the lease ends."""

    job_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of a claimed job; made by the functions of ``jobs/settle.py``.

    Attributes:
        status: DONE, FAILED, SKIPPED or WAITING.
        outcome: how this run is kept in the job's history: done, failed, retried, crashed, released, skipped.
        tried: the script had its say: `attempts` grows. `crashed`: it was lost with its process: `crashes` grows.
        ran: seconds since the script began, where `Ledger.start_many` was not told of it; else None.
        pause: seconds until a WAITING job is due again; None leaves its due time, and so its place, as it was.
        error: as `reverie.jobs.settle.error_map` makes it, or None.
        output: the end of what the script printed.
        result: what the run answered, sealed; None keeps nothing.
    """

    lease: Lease
    status: JobStatus
    outcome: str
    tried: bool = False
    crashed: bool = False
    ran: float | None = None
    pause: float | None = None
    error: JSON = None
    output: str = ""
    result: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found: jobs whose lease had ended.

    Attributes:
        released: not begun, due again at no cost.
        crashed: begun, due again with one crash more.
        failed: begun, and lost once too often.
    """

    released: int = 0
    crashed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Jobs of a queue in a state, DELAYED apart from WAITING; `oldest_due` is the earliest due time among them."""

    connection: str
    queue: str
    status: JobStatus
    jobs: int
    oldest_due: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What ended in a queue since a moment.

    Attributes:
        ended: runs that ended their job, `failed` among them.
        waited, ran: mean seconds from being due to the beginning, and from there to the end; None when unknown.
        since: from when it counts, where that is later than asked for because so many ended; else None.
    """

    connection: str
    queue: str
    ended: int
    failed: int
    waited: float | None
    ran: float | None
    since: float | None = None


class Kept(NamedTuple):
    """What an idempotency key stands for: a job, and a digest of the call that made it."""

    job_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None does not filter. A WAITING filter leaves out DELAYED ones.

    Attributes:
        statuses: any of these; empty does not filter.
        before, after: of the moment a job was queued. `ended_before`: of its end.
        text: stands in the type or the message of its error, in whatever case.
    """

    status: JobStatus | None = None
    statuses: tuple[JobStatus, ...] = ()
    connection: str | None = None
    queue: str | None = None
    script: str | None = None
    verb: str | None = None
    service: str | None = None
    user_id: int | None = None
    role_id: int | None = None
    app_id: int | None = None
    before: float | None = None
    after: float | None = None
    ended_before: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who runs a job; `began` None until the script begins."""

    worker: str
    began: float | None
    leased_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker that says it is there; `connection` and `queues` None mean all."""

    name: str
    host: str
    process: int
    connection: str | None = None
    queues: tuple[str, ...] | None = None
    started_at: float = 0.0
    seen_at: float = 0.0


class Ledger(Protocol):
    """Keeps jobs. Any method may be called from the event loop of any thread.

    Raises:
        QueueUnavailable: (every method) the store cannot be reached; nothing was taken and nothing was changed.
    """

    # -- the life of a job

    async def create(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Add jobs inside the caller's unit of work: they are there if and only if his transaction is."""
        ...

    async def create_many(self, jobs: Sequence[Job]) -> None:
        """Add jobs, all or none; when this returns they are durable."""
        ...

    async def create_once(self, job: Job, *, key: str, digest: str, keep_for: float) -> Kept | None:
        """Add a job unless *key* stands for one already: None when it was added, else what the key stands for.

        The key is kept for *keep_for* seconds, whatever becomes of the job. Of two callers at once, one adds.
        """
        ...

    async def claim(
        self,
        *,
        worker: str,
        limit: int,
        lease: float,
        connection: str | None = None,
        queues: Sequence[str] | None = None,
        first: str = "default",
        thorough: bool = False,
    ) -> list[Job]:
        """Take up to *limit* due jobs; an empty list at once when there is none.

        Within a queue: higher priority first, then the one due first, then the older. Paused queues are left alone.

        Args:
            worker: who takes them.
            lease: seconds the claim holds unless extended; after that the job is due again, under a higher epoch.
            connection: None for every connection that has a job.
            queues: strict order: the second is looked at when the first has nothing. None for every queue that has a
                job: the one called *first* before all others, then the queue whose head has waited longest.
            thorough: an empty list must mean that nothing is due. Else a ledger whose looks have become slow may for a
                few seconds miss what lies where nothing was found lately.
        """
        ...

    async def start_many(self, leases: Sequence[Lease]) -> list[Lease]:
        """Note that the scripts of these jobs begin now: from here on a lost lease is a crash. Those lost already."""
        ...

    async def extend_many(self, worker: str, leases: Sequence[Lease], *, lease: float) -> list[Lease]:
        """Hold on to jobs for *lease* seconds from now, and show that *worker* is alive. Those that are lost."""
        ...

    async def held(self, worker: str) -> set[Lease]:
        """The jobs that *worker* holds, ended leases included as long as nobody else took the job."""
        ...

    async def settle_many(self, settlements: Sequence[Settlement], *, again: bool = False) -> list[Lease]:
        """End runs, each on its own. Those whose lease was lost: for them nothing was changed.

        Args:
            again: an earlier attempt got no answer and may have been stored: what it stored is not lost.
        """
        ...

    async def cancel(self, ids: Sequence[str]) -> list[Job]:
        """End jobs that wait or run; who runs one loses the lease. Those it ended, without payload."""
        ...

    async def retry(self, ids: Sequence[str]) -> list[Job]:
        """Make failed, cancelled and skipped jobs due now, as if never tried. Those it did, without payload."""
        ...

    async def prioritise(self, ids: Sequence[str], priority: int) -> list[Job]:
        """Give jobs that wait another priority. Those it did, without payload."""
        ...

    async def clear(self, connection: str, queue: str, *, limit: int = 1000) -> int:
        """Delete up to *limit* jobs of a queue that have not ended, running ones too; who runs one loses the lease.

        How many; call it again while that is *limit*.
        """
        ...

    async def forget(self, ids: Sequence[str]) -> list[str]:
        """Delete jobs that have ended. The ids of those it did."""
        ...

    async def sweep(self, *, max_crashes: int) -> Swept:
        """Take back what dead or hanging workers hold: see `Swept`. Cheap when there is nothing."""
        ...

    async def next_due(self, connection: str | None = None, queues: Sequence[str] | None = None) -> float | None:
        """Seconds until the next waiting job is due or the next lease ends, 0 if that is past; None: neither is."""
        ...

    # -- queues and workers

    async def pause(self, connection: str, queue: str) -> None:
        """Let nobody take from a queue until `resume`. Running jobs go on."""
        ...

    async def resume(self, connection: str, queue: str) -> None: ...

    async def paused(self) -> list[tuple[str, str]]:
        """Connection and queue of each pause."""
        ...

    async def register(self, worker: WorkerRecord) -> None:
        """Say that a worker is there."""
        ...

    async def workers(self) -> list[WorkerRecord]: ...

    async def bury(self, worker: str) -> None:
        """A worker has ended: forget it, and end the leases it still holds, so that a sweep takes them back now."""
        ...

    # -- looking

    async def get(self, job_id: str) -> Job:
        """One job with its payload.

        Raises:
            NotFound
        """
        ...

    async def get_many(self, ids: Sequence[str]) -> list[Job]:
        """Those of these jobs that there are, without payload, in no order."""
        ...

    async def attempts(self, job_id: str) -> list[Attempt]:
        """The runs of a job, oldest first."""
        ...

    async def holder(self, job_id: str) -> Holder | None:
        """Who runs a job; None when nobody does."""
        ...

    async def ahead(self, job: Job) -> int:
        """How many due jobs of its queue are taken before *job*, which waits; of very many, 100,000."""
        ...

    async def result(self, job_id: str) -> bytes | None:
        """What the run of a job answered, sealed; None when nothing was kept."""
        ...

    async def find(self, where: JobFilter, *, limit: int = 100, offset: int = 0) -> list[Job]:
        """Jobs without payload, newest first."""
        ...

    async def counts(self) -> list[Count]: ...

    async def rates(self, *, since: float) -> list[Rate]:
        """What ended after a moment, by queue; of very many, the newest 10,000."""
        ...

    async def examine(self) -> list[Finding]:
        """Look for what an operator should know about the store. Changes nothing and never raises."""
        ...

    async def purge(self, *, status: JobStatus, ended_before: float, most: int | None = None, limit: int = 1000) -> int:
        """Delete up to *limit* jobs that ended in *status* before a moment, or are older than the newest *most*.

        Idempotency keys whose time is over go too.

        How many; call it again while that is *limit*.
        """
        ...
