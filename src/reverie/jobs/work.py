"""The values between a worker, the platform that runs jobs for it, and the command line that shows them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from reverie.jobs.ledger import Settlement
from reverie.jobs.queue import Retention
from reverie.model import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker serves; seconds and MiB; 0 means without limit. The defaults are those of ``reverie up``.

    Attributes:
        connection: None serves every connection that has a job.
        queues: strict order; None serves every queue that has a job, the default one first.
        tries, timeout: for jobs that do not say.
        backoff: pauses between tries, the last repeats; each is at least `delay`.
        sleep: longest pause between two looks for a job; wake-ups and due times cut it short.
        concurrency: jobs performed at the same time.
        memory: of this process; at or above it the worker stops.
        rest: least time between the starts of two jobs.
        lease: a job is held this long at a time, renewed at a third of it.
        grace: how long running jobs may go on after `Worker.drain`.
        max_crashes: a job lost with its process this often has failed; counted apart from tries.
        force: maintenance mode does not stop it from taking jobs.
        listens: it is a listener: an order to restart does not end it, and too much memory only after a job.
    """

    name: str = "default"
    connection: str | None = None
    queues: tuple[str, ...] | None = None
    tries: int = 3
    timeout: float = 60.0
    backoff: tuple[float, ...] = (1.0, 5.0, 30.0)
    delay: float = 0.0
    sleep: float = 3.0
    concurrency: int = 2
    memory: float = 0.0
    rest: float = 0.0
    once: bool = False
    stop_when_empty: bool = False
    stop_when_empty_for: float = 0.0
    max_jobs: int = 0
    max_time: float = 0.0
    lease: float = 30.0
    grace: float = 30.0
    max_crashes: int = 3
    force: bool = False
    listens: bool = False
    retention: Retention = field(default_factory=Retention)


class Stop(StrEnum):
    """Why a worker stopped."""

    DRAINED = "drained"
    MEMORY = "memory"
    RESTART = "restart"
    ONCE = "once"
    EMPTY = "empty"
    MAX_TIME = "max-time"
    MAX_JOBS = "max-jobs"

    @property
    def exit_code(self) -> int:
        return 12 if self is Stop.MEMORY else 0


@dataclass(frozen=True, slots=True)
class Done:
    """The script ran to its end; `output` is what it printed, `result` what it answered, sealed, if that is kept."""

    output: str = ""
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was nothing to run: the script is gone or inactive."""

    reason: str


Performed: TypeAlias = Done | Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One run of a job, as its performer sees it.

    Attributes:
        attempt: which try this is, from 1; crashes do not count.
        timeout: seconds the script may run, for the engine to enforce; None for ever.
        alone: it was lost twice with its process: no other job runs beside it.
        begin: to be awaited right before user code starts; from there on a lost worker counts as a crash. Raises
            LeaseLost when the job is another's by now, and then nothing must run.
        holds: whether the run may still act for the job. Cheap; asked before every call that its script makes.
    """

    job: Job
    attempt: int
    timeout: float | None
    alone: bool
    begin: Callable[[], Awaitable[None]]
    holds: Callable[[], bool] = lambda: True


class Perform(Protocol):
    async def __call__(self, turn: Turn) -> Performed:
        """Open the payload, resolve the script, run it.

        Raises:
            PayloadUnreadable, LoopDetected: the job fails at once.
            ScriptCrashed: the child died: counted as a crash, not as a try.
            Unavailable: before `begin`: the job is given back and nothing counted.
            LeaseLost: from `begin`; to be passed on.
            Exception: anything else is a try that failed.
            asyncio.CancelledError: the run was given up; user code must have ended when this is raised on.
        """
        ...


class Step(StrEnum):
    """What a worker reports of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    RETRIED = "retried"
    CRASHED = "crashed"
    RELEASED = "released"
    SKIPPED = "skipped"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A step of a job, `seconds` after it was taken; `settlement` tells its state and error from then on."""

    step: Step
    job: Job
    seconds: float
    settlement: Settlement | None = None
