"""Which jobs are wanted, as a WHERE clause of SQLite."""

from __future__ import annotations

from reverie.database import Value
from reverie.jobs.ledger import ENDED, JobFilter
from reverie.model import JobStatus

_IN_ERROR = "instr(lower(coalesce(error ->> '$.type', '') || ' ' || coalesce(error ->> '$.message', '')), lower(?)) > 0"
_WAITING = "status = 'waiting' AND due_at <= ?"
_DELAYED = "status = 'waiting' AND due_at > ?"


def conditions_of(where: JobFilter, now: float) -> tuple[str, list[Value]]:
    """The clause, ``""`` when everything is wanted, and the values it binds; *now* is the store's clock."""
    parts: list[str] = []
    values: list[Value] = []
    for statuses in ((where.status,) if where.status else (), where.statuses):
        if statuses:
            each = [_status_condition(status, now) for status in statuses]
            parts.append(f"({' OR '.join(condition for condition, _ in each)})")
            values += [value for _, value in each]
    for condition, value in (
        ("connection = ?", where.connection),
        ("queue = ?", where.queue),
        ("script = ?", where.script),
        ("verb = ?", where.verb),
        ("service = ?", where.service),
        ("user_id = ?", where.user_id),
        ("role_id = ?", where.role_id),
        ("app_id = ?", where.app_id),
        ("created_at < ?", where.before),
        ("created_at >= ?", where.after),
        ("finished_at < ?", where.ended_before),
        (_IN_ERROR, where.text),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values


def _status_condition(status: JobStatus, now: float) -> tuple[str, Value]:
    if status in (JobStatus.WAITING, JobStatus.DELAYED):
        return (_WAITING if status is JobStatus.WAITING else _DELAYED), now
    # The second half says nothing new, but shows SQLite that the partial index holds every such row.
    return ("status = ? AND finished_at IS NOT NULL" if status in ENDED else "status = ?"), status.value
