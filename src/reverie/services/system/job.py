"""``system/job``: what became of queued work; for administrators, and for whoever queued it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from reverie.clock import Clock
from reverie.errors import NotFound
from reverie.events.event import session_map
from reverie.jobs.ledger import ENDED, WorkerRecord
from reverie.jobs.payload import Packed, PayloadUnreadable
from reverie.jobs.queue import Queue
from reverie.jobs.results import open_result
from reverie.model import JSON, Attempt, Caller, Context, Job, JobStatus, Request, Response
from reverie.services.system.fields import moment
from reverie.services.system.job_records import JobRecords
from reverie.services.system.job_rows import TABLE, has_status, may_see, shown, status_of
from reverie.services.system.resource import picked
from reverie.services.system.worker import ALIVE, serves
from reverie.store import tables
from reverie.store.store import Store

MASK: Final = "**********"
_CREDENTIALS: Final = ("authorization", "cookie", "x-dreamfactory-api-key", "x-dreamfactory-session-token")
_HAS_RESULT: Final = select(tables.job_result.c.job_id)
NO_RESULT: Final[Mapping[JobStatus, str]] = {
    JobStatus.FAILED: "The job failed, so there is no answer; the job itself tells the error.",
    JobStatus.CANCELLED: "The job was cancelled, so there is no answer.",
    JobStatus.SKIPPED: "The job was skipped, so there is no answer; the job itself tells the reason.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResource:
    """Args:
    open: opens what a job holds.
    """

    store: Store
    queue: Queue
    open: Callable[[Job], Packed]
    clock: Clock

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if path and request.method == "GET":
            job = await self._job(path[0], context.caller)
            if len(path) == 1:
                return Response(content=picked(await self._one(job), request))
            if path[1:] == ["result"]:
                return await self._result(job)
        if len(path) > 1:
            raise NotFound(f"There is no '{'/'.join(path[1:])}' of a job; there is 'result', to be read.")
        return await self._records(request, context.caller).handle(request, context, path)

    def _records(self, request: Request, caller: Caller) -> JobRecords:
        """Those that the parameters with a name of their own leave."""
        asked = request.parameters
        named = [TABLE.c[name] == str(asked[name]) for name in ("connection", "queue", "script") if asked.get(name)]
        if status := asked.get("status"):
            named.append(has_status(status_of(status), self.clock.now()))
        return JobRecords(self.store, self.queue, self.clock, caller, asked=named)

    async def _job(self, job_id: str, caller: Caller) -> Job:
        """
        Raises:
            NotFound: also for one that the caller may not see.
        """
        job = await self.queue.ledger.get(job_id)
        if not may_see(caller, job):
            raise NotFound(f"There is no job {job_id!r}.")
        return job

    async def _one(self, job: Job) -> dict[str, JSON]:
        entry = shown(job)
        entry["attempts"] = [attempt(one) for one in await self.queue.ledger.attempts(job.id)]
        entry["result"] = await self.store.scalar(_HAS_RESULT.where(tables.job_result.c.job_id == job.id)) is not None
        entry.update(held(job, self.open))
        if job.status in (JobStatus.WAITING, JobStatus.DELAYED):
            entry["note"] = note(job, await self.queue.ledger.workers(), self.clock.now())
        if job.status is JobStatus.RUNNING and (holder := await self.queue.ledger.holder(job.id)) is not None:
            entry.update(started_at=moment(holder.began), worker=holder.worker)
        return entry

    async def _result(self, job: Job) -> Response:
        """The answer of the run, as the call would have been answered at once.

        Raises:
            NotFound: there is none, with the reason.
        """
        if job.status not in ENDED:
            raise NotFound(f"The job has no answer yet: it is {job.status}.")
        sealed = await self.queue.ledger.result(job.id)
        if sealed is None:
            raise NotFound(NO_RESULT.get(job.status, "Of this job's run no answer was kept."))
        return open_result(sealed, self.store.sealer, job_id=job.id)


def held(job: Job, open: Callable[[Job], Packed]) -> dict[str, JSON]:
    """The call, the session and the surroundings as they were, without credentials; a note where nobody can tell."""
    try:
        packed = open(job)
    except PayloadUnreadable as error:
        return {"environment": None, "request": None, "response": None, "note": error.message}
    session = session_map(packed.caller)
    session.pop("api_key")
    session.pop("session_token")
    request, response = packed.event.get("request"), packed.event.get("response")
    return {
        "environment": {**packed.environment, "session": session},
        "request": without_credentials(request),
        "response": _without_body(response, "content") if is_confidential(request) else response,
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


def note(job: Job, workers: list[WorkerRecord], now: float) -> str | None:
    """Why a job may wait longer than its delay."""
    serving = any(serves(one, job.connection, job.queue) and now - one.seen_at < ALIVE for one in workers)
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
    return _without_body(shown, "payload", "content") if is_confidential(request) else shown


def is_confidential(request: JSON) -> bool:
    """Whether what was sent and answered may hold passwords, tokens and secret settings of the platform itself."""
    return isinstance(request, dict) and request.get("service") in ("system", "user")


def _without_body(values: JSON, *names: str) -> JSON:
    if not isinstance(values, dict):
        return values
    return {name: MASK if name in names and value else value for name, value in values.items()}


def _masked(values: JSON, names: tuple[str, ...]) -> JSON:
    if not isinstance(values, Mapping):
        return values
    return {name: MASK if name in names else value for name, value in values.items()}
