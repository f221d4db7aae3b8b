"""Rows of the ledger's tables as values and back; the same on every database."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from reverie.database import Row, Value
from reverie.jobs.ledger import Count, Rate, WorkerRecord
from reverie.model import JSON, Attempt, Job, JobStatus

COLUMNS: Final = (
    "id, kind, script, name, connection, queue, status, priority, delay, tries, timeout, attempts, crashes, epoch,"
    " hops, stamp, verb, service, user_id, role_id, app_id, trace, created_at, due_at, finished_at, error"
)
"""Of table `job`, in the order that `job_of` reads."""


def job_of(row: Row, now: float, payload: bytes = b"") -> Job:
    """A job from a row of `COLUMNS`; one that waits for a time to come shows as delayed."""
    status = JobStatus(str(row[6]))
    due_at = number(row[23])
    return Job(
        id=str(row[0]),
        payload=payload,
        kind=str(row[1]),
        script=str(row[2]),
        name=str(row[3]),
        connection=str(row[4]),
        queue=str(row[5]),
        status=JobStatus.DELAYED if status is JobStatus.WAITING and due_at > now else status,
        priority=int(number(row[7])),
        delay=None if row[8] is None else number(row[8]),
        tries=None if row[9] is None else int(number(row[9])),
        timeout=None if row[10] is None else number(row[10]),
        attempts=int(number(row[11])),
        crashes=int(number(row[12])),
        epoch=int(number(row[13])),
        hops=int(number(row[14])),
        stamp=int(number(row[15])),
        verb=str(row[16]),
        service=str(row[17]),
        user_id=None if row[18] is None else int(number(row[18])),
        role_id=None if row[19] is None else int(number(row[19])),
        app_id=None if row[20] is None else int(number(row[20])),
        trace=str(row[21]),
        created_at=number(row[22]),
        due_at=due_at,
        finished_at=None if row[24] is None else number(row[24]),
        error=json_of(row[25]),
    )


def row_of(job: Job) -> tuple[Value, ...]:
    """The opposite of `job_of`."""
    return (
        job.id,
        job.kind,
        job.script,
        job.name,
        job.connection,
        job.queue,
        JobStatus.WAITING.value if job.status is JobStatus.DELAYED else job.status.value,
        job.priority,
        job.delay,
        job.tries,
        job.timeout,
        job.attempts,
        job.crashes,
        job.epoch,
        job.hops,
        job.stamp,
        job.verb,
        job.service,
        job.user_id,
        job.role_id,
        job.app_id,
        job.trace,
        job.created_at,
        job.due_at,
        job.finished_at,
        json_text(job.error),
    )


def number(value: Value) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a number was expected, not {type(value).__name__}")
    return value


def json_text(value: JSON) -> str | None:
    """JSON as it is stored; None stays NULL. Half a surrogate pair, which a script may print, is escaped."""
    if value is None:
        return None
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value)


def json_of(value: Value) -> JSON:
    if value is None:
        return None
    found: JSON = json.loads(str(value))
    return found


def bytes_of(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def attempt_of(row: Row) -> Attempt:
    """Of number, started_at, ended_at, outcome, error, worker, output."""
    return Attempt(
        number=int(number(row[0])),
        started_at=number(row[1]),
        ended_at=number(row[2]),
        outcome=str(row[3]),
        error=json_of(row[4]),
        worker=str(row[5] or ""),
        output=str(row[6] or ""),
    )


def count_of(row: Row) -> Count:
    """Of connection, queue, status, how many, earliest due time."""
    return Count(
        connection=str(row[0]),
        queue=str(row[1]),
        status=JobStatus(str(row[2])),
        jobs=int(number(row[3])),
        oldest_due=number(row[4]),
    )


def rate_of(row: Row) -> Rate:
    """Of connection, queue, ended, failed, waited, ran, since."""
    return Rate(
        connection=str(row[0]),
        queue=str(row[1]),
        ended=int(number(row[2])),
        failed=int(number(row[3])),
        waited=None if row[4] is None else number(row[4]),
        ran=None if row[5] is None else number(row[5]),
        since=None if row[6] is None else number(row[6]),
    )


def worker_of(row: Row) -> WorkerRecord:
    """Of name, host, process, connection, queues, started_at, seen_at."""
    return WorkerRecord(
        name=str(row[0]),
        host=str(row[1]),
        process=int(number(row[2])),
        connection=None if row[3] is None else str(row[3]),
        queues=None if row[4] is None else tuple(str(row[4]).split(",")),
        started_at=number(row[5]),
        seen_at=number(row[6]),
    )
