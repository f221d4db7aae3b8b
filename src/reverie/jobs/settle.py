"""What becomes of a job after a run: one function for each way it can end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reverie.errors import ReverieError, ScriptError, ScriptTimeout
from reverie.jobs.ledger import Lease, Settlement
from reverie.model import JSON, Job, JobStatus

KEPT_OUTPUT: Final = 64 * 1024
"""Characters kept of what a script printed: the end of it."""
KEPT_IN_ERROR: Final = 4 * 1024
NOWHERE: Final[Mapping[str, JSON]] = {"line": None, "column": None, "excerpt": "", "source": "", "output": ""}
"""Of an error that has no place in a script."""


def lease_of(job: Job) -> Lease:
    return Lease(job.id, job.epoch)


def finished(job: Job, *, output: str = "", result: bytes | None = None) -> Settlement:
    return Settlement(
        lease=lease_of(job),
        status=JobStatus.DONE,
        outcome="done",
        tried=True,
        output=_tail(output, KEPT_OUTPUT),
        result=result,
    )


def failed(job: Job, error: JSON, *, tried: bool = True) -> Settlement:
    """*tried* False: it failed before its script had a say, as when its payload cannot be opened."""
    return Settlement(lease=lease_of(job), status=JobStatus.FAILED, outcome="failed", tried=tried, error=error)


def retried(job: Job, error: JSON, *, pause: float) -> Settlement:
    return Settlement(
        lease=lease_of(job), status=JobStatus.WAITING, outcome="retried", tried=True, pause=pause, error=error
    )


def crashed(job: Job, error: JSON, *, pause: float, max_crashes: int) -> Settlement:
    """Lost with its process: due again, or failed when that happened *max_crashes* times."""
    crashes = job.crashes + 1
    if crashes < max_crashes:
        return Settlement(
            lease=lease_of(job), status=JobStatus.WAITING, outcome="crashed", crashed=True, pause=pause, error=error
        )
    cause = {**error, "message": f"{error.get('message')} (crash {crashes})"} if isinstance(error, dict) else error
    return Settlement(lease=lease_of(job), status=JobStatus.FAILED, outcome="crashed", crashed=True, error=cause)


def released(job: Job, *, pause: float | None = None) -> Settlement:
    """Given back with no counter changed."""
    return Settlement(lease=lease_of(job), status=JobStatus.WAITING, outcome="released", pause=pause)


def skipped(job: Job, reason: str) -> Settlement:
    """Its script is gone or inactive."""
    return Settlement(
        lease=lease_of(job), status=JobStatus.SKIPPED, outcome="skipped", error={"type": "Skipped", "message": reason}
    )


def error_map(error: BaseException, *, job: Job) -> dict[str, JSON]:
    """``{"type", "message", "line", "column", "excerpt", "source", "output"}`` of whatever ended a run.

    What is unknown is None or empty.

    With ``script`` and ``version`` of what failed, where that is known; with ``status_code`` and ``code`` where they
    are not 500, for who waits for the answer.
    """
    message = (error.message if isinstance(error, ReverieError) else str(error))[:KEPT_IN_ERROR]
    if isinstance(error, ScriptTimeout) and "timed out" not in message:
        message = f"{job.name} has timed out: {message}"
    if not isinstance(error, ScriptError):
        kind = type(error).__name__
        return {"type": kind, "message": message, **NOWHERE, **_answered(error)}
    return {
        "type": error.kind or type(error).__name__,
        "message": message,
        "line": error.line,
        "column": error.column,
        "excerpt": error.excerpt[:KEPT_IN_ERROR],
        "source": error.source[:KEPT_IN_ERROR],
        "output": _tail(error.output, KEPT_IN_ERROR),
        **({"script": error.script, "version": error.version} if error.script else {}),
        **_answered(error),
    }


def _answered(error: BaseException) -> dict[str, JSON]:
    """How a call would be answered that ends with this error, if not as usual."""
    if not isinstance(error, ReverieError) or (error.status == 500 and error.code == 500):
        return {}
    return {"status_code": error.status, "code": error.code}


def _tail(text: str, most: int) -> str:
    """The end of *text*; half a surrogate pair becomes ``?``, since no database stores it."""
    return text[-most:].encode(errors="replace").decode()
