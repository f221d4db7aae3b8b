"""Rows of the job table as records: their fields, what a filter may say of them, and who may see which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, false, literal, or_

from reverie.database import Value
from reverie.errors import BadRequest
from reverie.jobs.ledger import ENDED
from reverie.model import JSON, Caller, Job, JobStatus
from reverie.services.sql import filters
from reverie.services.system.criteria import Columns
from reverie.services.system.fields import Field, moment
from reverie.store import tables

TABLE: Final = tables.job
JOB_FIELDS: Final = (
    Field(name="id"),
    Field(name="status"),
    Field(name="name"),
    Field(name="kind"),
    Field(name="script"),
    Field(name="verb"),
    Field(name="service"),
    Field(name="user_id", kind="integer"),
    Field(name="role_id", kind="integer"),
    Field(name="app_id", kind="integer"),
    Field(name="trace"),
    Field(name="connection"),
    Field(name="queue"),
    Field(name="priority", kind="integer"),
    Field(name="delay", kind="number"),
    Field(name="tries", kind="integer"),
    Field(name="attempt_count", kind="integer"),
    Field(name="crashes", kind="integer"),
    Field(name="created_at", kind="time"),
    Field(name="due_at", kind="time"),
    Field(name="finished_at", kind="time"),
    Field(name="error", kind="json"),
)
ALIASES: Final[Mapping[str, str]] = {"attempts": "attempt_count"}
"""Further names in a filter and an order."""


def shown_status(now: float) -> ColumnElement[str]:
    """The status that the API shows: what waits for a time to come is delayed."""
    later = and_(TABLE.c.status == JobStatus.WAITING.value, TABLE.c.due_at > now)
    return case((later, literal(JobStatus.DELAYED.value)), else_=TABLE.c.status)


def has_status(status: JobStatus, now: float) -> ColumnElement[bool]:
    if status in ENDED:
        # The second half says nothing new, but shows the database that an index holds every such row.
        return and_(TABLE.c.status == status.value, TABLE.c.finished_at.is_not(None))
    if status is JobStatus.RUNNING:
        return TABLE.c.status == status.value
    # Not the plain column: its index would bring a million rows that wait in an order that nobody asked for.
    return shown_status(now) == status.value


def status_of(value: JSON) -> JobStatus:
    """Raises BadRequest for one that there is not."""
    try:
        return JobStatus(str(value).strip().lower())
    except ValueError as error:
        raise BadRequest(f"There is no status {value!r}; there are {', '.join(JobStatus)}.") from error


class JobColumns(Columns):
    """The columns of a job by their names in the API."""

    def __init__(self, now: float) -> None:
        super().__init__(TABLE, JOB_FIELDS)
        self.now = now

    def named(self, name: str, where: str) -> tuple[Field, ColumnElement[Any]]:
        field = self.fields.get(ALIASES.get(name.lower(), name.lower()))
        if field is None:
            raise BadRequest(f"Invalid or unparsable field in {where} request: '{name}'")
        return field, self.column(field.name)

    def column(self, name: str) -> ColumnElement[Any]:
        if name == "status":
            return shown_status(self.now)
        return TABLE.c.attempts if name == "attempt_count" else TABLE.c[name]

    def compared(self, field: Field, column: ColumnElement[Any], tree: filters.Compare) -> ColumnElement[bool]:
        if field.name == "status" and tree.operator in ("=", "!="):
            same = has_status(status_of(tree.value), self.now)
            return same if tree.operator == "=" else ~same
        return super().compared(field, column, tree)

    def among(self, field: Field, column: ColumnElement[Any], tree: filters.IsIn) -> ColumnElement[bool]:
        if field.name == "status":
            return or_(false(), *(has_status(status_of(value), self.now) for value in tree.values))
        return super().among(field, column, tree)


# -- who may see what


def may_see(caller: Caller, job: Job) -> bool:
    """Administrators see every job; a user his own; a key without a user those of its app without a user."""
    if caller.is_admin:
        return True
    if caller.user_id is not None:
        return job.user_id == caller.user_id
    return caller.app_id is not None and job.user_id is None and job.app_id == caller.app_id


def visible(caller: Caller) -> ColumnElement[bool] | None:
    """`may_see` as a condition; None where everything is seen."""
    if caller.is_admin:
        return None
    if caller.user_id is not None:
        return TABLE.c.user_id == caller.user_id
    if caller.app_id is None:
        return false()
    return and_(TABLE.c.user_id.is_(None), TABLE.c.app_id == caller.app_id)


# -- shown


def job_of(row: Mapping[str, Value], now: float) -> Job:
    """A row of the whole table as a job, without payload."""
    values: dict[str, Any] = {name: row[name] for name in _SAME}
    status = JobStatus(str(row["status"]))
    if status is JobStatus.WAITING and values["due_at"] > now:
        status = JobStatus.DELAYED
    error = row["error"]
    return Job(**values, status=status, error=json.loads(error) if isinstance(error, str) else None)


_SAME: Final = tuple(
    name for name in Job.__dataclass_fields__ if name in TABLE.c and name not in ("status", "error", "payload")
)
"""What is called the same, and is the same, in a row and in a job."""


def shown(job: Job) -> dict[str, JSON]:
    """A job as the API tells it; times in ISO 8601, UTC."""
    return {
        "id": job.id,
        "status": str(job.status),
        "name": job.name,
        "kind": job.kind,
        "script": job.script,
        "verb": job.verb,
        "service": job.service,
        "user_id": job.user_id,
        "role_id": job.role_id,
        "app_id": job.app_id,
        "trace": job.trace,
        "connection": job.connection,
        "queue": job.queue,
        "priority": job.priority,
        "delay": job.delay,
        "tries": job.tries,
        "attempt_count": job.attempts,
        "crashes": job.crashes,
        "created_at": moment(job.created_at),
        "due_at": moment(job.due_at),
        "finished_at": moment(job.finished_at),
        "error": job.error,
    }
