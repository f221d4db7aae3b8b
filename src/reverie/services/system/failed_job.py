"""``system/failed_job``: the jobs that failed for good, as operators know that list; for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from sqlalchemy import ColumnElement

from reverie.clock import Clock
from reverie.jobs.queue import Queue
from reverie.model import JSON, Context, Job, JobStatus, Request, Response
from reverie.services.system import job_rows
from reverie.services.system.fields import Field, moment
from reverie.services.system.job_records import JobRecords
from reverie.services.system.relations import Row
from reverie.services.system.resource import administrators_only
from reverie.store.store import Store

FIELDS: Final = (
    Field(name="id"),
    Field(name="uuid"),
    Field(name="connection"),
    Field(name="queue"),
    Field(name="payload", kind="json"),
    Field(name="exception"),
    Field(name="failed_at", kind="time"),
)
_COLUMNS: Final[Mapping[str, str]] = {"uuid": "id", "exception": "error", "failed_at": "finished_at"}
"""Fields whose column is called otherwise."""
RETRY: Final[dict[str, JSON]] = {"action": "retry"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJobs:
    store: Store
    queue: Queue
    clock: Clock

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "the list of failed jobs")
        # A caller learns of the failure of a job that ran inside his call, so it is no job to be tried again.
        inside = [name for name in self.queue.connections.names() if self.queue.connections.find(name).driver == "sync"]
        narrow = [
            job_rows.has_status(JobStatus.FAILED, self.clock.now()),
            job_rows.TABLE.c.connection.not_in(inside),
        ]
        return await FailedRecords(self.store, self.queue, self.clock, context.caller, narrow=narrow).handle(
            request, context, path
        )


class FailedColumns(job_rows.JobColumns):
    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.fields = {field.name: field for field in FIELDS if field.comparable}

    def column(self, name: str) -> ColumnElement[Any]:
        return job_rows.TABLE.c[_COLUMNS.get(name, name)]


class FailedRecords(JobRecords):
    name = "failed_job"
    fields: ClassVar[tuple[Field, ...]] = FIELDS

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method == "POST":
            # There is nothing else that a failed job is posted for.
            request = request if request.payload else replace(request, payload=RETRY)
            return await (self.change_one(request, context, path[0]) if path else self.change_many(request, context))
        return await super().handle(request, context, path)

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        return await super().prepare({**RETRY, **sent}, creating=creating)

    def show(self, row: Row) -> dict[str, JSON]:
        job = job_rows.job_of(row, self.now)
        return {
            "id": job.id,
            "uuid": job.id,
            "connection": job.connection,
            "queue": job.queue,
            "payload": payload(job),
            "exception": exception(job.error),
            "failed_at": moment(job.finished_at),
        }

    def columns(self) -> FailedColumns:
        return FailedColumns(self.now)

    def newest_first(self, request: Request) -> tuple[ColumnElement[Any], ...]:
        return (self.table.c.finished_at.desc(), self.table.c.id.desc())


def payload(job: Job) -> JSON:
    """What the job was, without what it holds: that is sealed."""
    return {
        "uuid": job.id,
        "displayName": job.name,
        "job": job.kind,
        "maxTries": job.tries,
        "timeout": job.timeout,
        "backoff": None,
        "delay": job.delay,
        "attempts": job.attempts,
        "createdAt": int(job.created_at),
        "data": {"script": job.script, "hops": job.hops},
    }


def exception(error: JSON) -> str | None:
    """The error as a text: its type and message, and where in the script it happened."""
    if not isinstance(error, dict):
        return None
    text = f"{error.get('type') or 'Error'}: {error.get('message') or ''}"
    if error.get("line"):
        text += f"\n  at line {error['line']}: {str(error.get('excerpt') or '').strip()}"
    return text
