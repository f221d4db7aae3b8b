"""What follows from a run that failed."""

from __future__ import annotations

from typing import Final

import structlog

from reverie.errors import IdentityRevoked, LoopDetected, ReverieError, ScriptCrashed, Unavailable
from reverie.jobs.ledger import Settlement
from reverie.jobs.payload import PayloadUnreadable
from reverie.jobs.retry import WARN_FROM, backoff_of, gives_up, pause_before_retry
from reverie.jobs.settle import crashed, error_map, failed, released, retried
from reverie.jobs.work import WorkerOptions
from reverie.model import JSON, Job

CRASH_PAUSE: Final = 1.0
"""Seconds until a job whose child died is due again."""

log = structlog.get_logger()


class TriedTooOften(ReverieError):
    """The job had as many tries as it may before this run."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.name} has been attempted too many times.")


def tries_of(job: Job, options: WorkerOptions) -> int:
    return options.tries if job.tries is None else job.tries


def judge(job: Job, error: Exception, options: WorkerOptions, *, begun: bool) -> Settlement:
    """Failed for good, tried again later, or given back.

    Args:
        begun: the script had begun, so whatever went wrong counts.
    """
    cause = error_map(error, job=job)
    match error:
        case TriedTooOften() | PayloadUnreadable() | IdentityRevoked():
            return failed(job, cause, tried=False)
        case LoopDetected():
            return failed(job, cause)
        case ScriptCrashed():
            return crashed(job, cause, pause=CRASH_PAUSE, max_crashes=options.max_crashes)
        case Unavailable() if not begun:
            return released(job, pause=CRASH_PAUSE)
        case _:
            return _another_try(job, cause, options)


def _another_try(job: Job, cause: dict[str, JSON], options: WorkerOptions) -> Settlement:
    attempts, tries = job.attempts + 1, tries_of(job, options)
    if gives_up(attempts=attempts, tries=tries):
        return failed(job, cause)
    if tries == 0 and attempts >= WARN_FROM:
        log.warning("job.tried_often", job=job.id, name=job.name, attempts=attempts)
    backoff = backoff_of(options.backoff, options.delay)
    return retried(
        job, cause, pause=pause_before_retry(attempts=attempts, tries=tries, delay=job.delay, backoff=backoff)
    )
