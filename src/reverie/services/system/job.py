"""``system/job``: what became of queued work; for administrators, and for whoever queued it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reverie.clock import Clock
from reverie.errors import BadRequest, Forbidden, NotFound, NotSupported
from reverie.events.event import session_map
from reverie.jobs.ledger import JobFilter, WorkerRecord
from reverie.jobs.payload import Packed, PayloadUnreadable
from reverie.jobs.queue import Queue
from reverie.model import JSON, Attempt, Caller, Context, Job, JobStatus, Request, Response
from reverie.services.system.resource import picked, unsupported_verb

MASK: Final = "**********"
ALIVE: Final = 60.0
"""Seconds since a worker was last seen, beyond which it counts as gone."""
_CREDENTIALS: Final = ("authorization", "cookie", "x-dreamfactory-api-key", "x-dreamfactory-session-token")
_MOST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResource:
    """Args:
    open: opens what a job holds.
    """

    queue: Queue
    open: Callable[[Job], Packed]
    clock: Clock

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, "job", path)
        if path:
            return Response(content=picked(await self._one(path[0], context.caller), request))
        return Response(content={"resource": await self._many(request, context.caller)})

    async def _one(self, job_id: str, caller: Caller) -> dict[str, JSON]:
        job = await self.queue.ledger.get(job_id)
        if not may_see(caller, job):
            raise NotFound(f"There is no job {job_id!r}.")
        entry = shown(job)
        entry["attempts"] = [attempt(one) for one in await self.queue.ledger.attempts(job_id)]
        entry.update(self._held(job))
        if job.status in (JobStatus.WAITING, JobStatus.DELAYED):
            entry["note"] = note(job, await self.queue.ledger.workers(), self.clock.now())
        if job.status is JobStatus.RUNNING and (holder := await self.queue.ledger.holder(job.id)) is not None:
            entry.update(started_at=moment(holder.began), worker=holder.worker)
        return entry

    def _held(self, job: Job) -> dict[str, JSON]:
        """The call, the session and the surroundings as they were, without credentials."""
        try:
            packed = self.open(job)
        except PayloadUnreadable as error:
            return {"environment": None, "request": None, "response": None, "note": error.message}
        session = session_map(packed.caller)
        session.pop("api_key")
        session.pop("session_token")
        return {
            "environment": {**packed.environment, "session": session},
            "request": without_credentials(packed.event.get("request")),
            "response": packed.event.get("response"),
        }

    async def _many(self, request: Request, caller: Caller) -> list[JSON]:
        if not caller.is_admin and caller.user_id is None:
            raise Forbidden("Only administrators and users can list jobs; ask for one by its id.")
        for name in ("filter", "order", "ids"):
            if request.parameters.get(name):
                raise NotSupported(
                    f"Not there yet: {name} for system/job. Use status, connection, queue, script, limit."
                )
        where = JobFilter(
            status=_status(request.parameters.get("status")),
            connection=_text(request, "connection"),
            queue=_text(request, "queue"),
            script=_text(request, "script"),
            user_id=None if caller.is_admin else caller.user_id,
        )
        limit, offset = _number(request, "limit", _MOST), _number(request, "offset", 0)
        jobs = await self.queue.ledger.find(where, limit=min(limit or _MOST, _MOST), offset=offset)
        return [picked(shown(job), request) for job in jobs]


def may_see(caller: Caller, job: Job) -> bool:
    """Administrators see every job; a user his own; a key without a user those of its app without a user."""
    if caller.is_admin:
        return True
    if caller.user_id is not None:
        return job.user_id == caller.user_id
    return caller.app_id is not None and job.user_id is None and job.app_id == caller.app_id


def shown(job: Job) -> dict[str, JSON]:
    """A job as the API tells it; times in ISO 8601, UTC."""
    return {
        "id": job.id,
        "status": str(job.status),
        "name": job.name,
        "kind": job.kind,
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


def attempt(one: Attempt) -> JSON:
    return {
        "number": one.number,
        "outcome": one.outcome,
        "started_at": moment(one.started_at),
        "ended_at": moment(one.ended_at),
        "error": one.error,
        "worker": one.worker,
        "output": one.output,
    }


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def note(job: Job, workers: list[WorkerRecord], now: float) -> str | None:
    """Why a job may wait longer than its delay."""
    serving = [
        one
        for one in workers
        if one.connection in (None, job.connection)
        and (one.queues is None or job.queue in one.queues)
        and now - one.seen_at < ALIVE
    ]
    return None if serving else f"No worker serves the queue {job.queue!r} of the connection {job.connection!r}."


def without_credentials(request: JSON) -> JSON:
    if not isinstance(request, dict):
        return request
    shown = dict(request)
    if shown.get("payload") is not None:
        shown.pop("content", None)  # it says the same, credentials included
    shown["headers"] = _masked(request.get("headers"), _CREDENTIALS)
    for name in ("parameters", "payload"):
        shown[name] = _masked(request.get(name), ("api_key", "session_token"))
    return shown


def _masked(values: JSON, names: tuple[str, ...]) -> JSON:
    if not isinstance(values, Mapping):
        return values
    return {name: MASK if name in names else value for name, value in values.items()}


def _status(value: JSON) -> JobStatus | None:
    if not value:
        return None
    try:
        return JobStatus(str(value))
    except ValueError as error:
        raise BadRequest(f"There is no status {value!r}; there are {', '.join(JobStatus)}.") from error


def _text(request: Request, name: str) -> str | None:
    value = request.parameters.get(name)
    return str(value) if value else None


def _number(request: Request, name: str, otherwise: int) -> int:
    value = request.parameters.get(name)
    return max(int(value), 0) if isinstance(value, str) and value.isdigit() and len(value) < 10 else otherwise
