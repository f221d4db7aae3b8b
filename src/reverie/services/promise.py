"""The answer to a call that is queued: a promise, or what it stands for when it is kept in time.

``202 {"success": true}`` is the body that clients know; what is ours travels in headers: where the job is, and when it
may be worth a look. Who says how long he likes to wait gets the answer of the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from reverie.errors import Conflict, KeyReused, NotFound, ReverieError, Unavailable
from reverie.events.event import event_map
from reverie.jobs.promised import Promised
from reverie.jobs.queue import Once, Queue
from reverie.jobs.results import open_result
from reverie.jobs.waits import Waits
from reverie.model import JSON, Context, Job, JobStatus, Request, Requestor, Response
from reverie.services.preferences import once_of, preferences, seconds_to_wait
from reverie.services.script import ScriptService
from reverie.services.service import Service
from reverie.store.job_keys import find_key
from reverie.store.records import ServiceRecord
from reverie.store.store import Store

ASYNC: Final = "respond-async"
NEVER_LATER: Final = ("job", "queue", "worker", "failed_job", "environment", "admin/session", "admin/password")
"""Of `system`: what looks after jobs would wait for itself; a log-in is of no use later, and its answer is a token."""

PLACE: Final = ("type", "message", "script", "version", "line", "column", "excerpt", "source")
"""What `ScriptError.place` tells, as jobs keep it."""


class Keeping(Protocol):
    """Makes jobs of calls, see `Queued`."""

    async def keep_service(
        self, record: ServiceRecord, event: dict[str, JSON], context: Context, once: Once | None = None
    ) -> Promised: ...

    async def keep_call(self, request: Request, context: Context, once: Once | None = None) -> Promised: ...


class Watching(Protocol):
    async def ended(self, job_id: str, seconds: float) -> Job | None:
        """The job once it has ended; None when it has not within the time. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """Args:
    find_service: raises NotFound and the like.
    """

    store: Store
    queue: Queue
    keeping: Keeping
    watch: Watching
    waits: Waits
    find_service: Callable[[str], Awaitable[Service]]

    # -- in

    async def for_service(self, record: ServiceRecord, request: Request, context: Context) -> Response:
        """A call of a queued script service.

        Raises:
            BadRequest, KeyReused: about its Idempotency-Key.
            UnknownConnection, QueueUnavailable
            ReverieError: from the run, on a ``sync`` connection.
        """
        once = once_of(request, context.caller)
        promised = None if once is None else await self._known(once)
        if promised is None:
            event = event_map(request.resource.rstrip("/"), request, None, to_keep=True)
            promised = await self.keeping.keep_service(record, event, context, once)
        return await self._answer(promised, request, context)

    async def instead(self, request: Request, context: Context) -> Response | None:
        """The promise in place of the answer, where the client prefers it and it can be given; else None.

        Raises:
            ReverieError: the service cannot be called; and as from `for_service`.
        """
        if ASYNC not in preferences(request.headers) or not may_wait(request):
            return None
        service = await self.find_service(request.service)
        if isinstance(service, ScriptService) and service.queues:
            return None  # its calls are queued in any case, as its script says
        if self.queue.connections.find(None).driver in ("sync", "null"):
            return None  # nothing would be made later
        once = once_of(request, context.caller)
        promised = None if once is None else await self._known(once)
        if promised is None:
            promised = await self.keeping.keep_call(request, context, once)
        return await self._answer(promised, request, context)

    async def _known(self, once: Once) -> Promised | None:
        """What the key stands for already. Two callers at once both pass here, and then one of them adds."""
        known = await find_key(self.store, once.key)
        if known is None:
            return None
        if known.digest != once.digest:
            raise KeyReused
        found = await self.queue.ledger.get_many([known.job_id])
        return Promised(job=found[0]) if found else None

    # -- out

    async def _answer(self, promised: Promised, request: Request, context: Context) -> Response:
        job = promised.job
        if job is None:
            return Response(status=202, content={"success": True})
        headers = {"Location": f"/api/v2/system/job/{job.id}", "X-Reverie-Job": job.id}
        wanted = preferences(request.headers)
        seconds = seconds_to_wait(wanted)
        # A script that waited would hold the very place that its job may need.
        if seconds and context.requestor is Requestor.API:
            response = promised.response or await self._in_time(job, seconds, context)
            if response is not None:
                applied = {"Preference-Applied": f"wait={seconds}"}
                return replace(response, headers={**response.headers, **headers, **applied})
        if ASYNC in wanted:
            headers["Preference-Applied"] = ASYNC
        if job.finished_at is None:
            headers["Retry-After"] = str(await self._worth_a_look(job))
        return Response(status=202, content={"success": True}, headers=headers)

    async def _worth_a_look(self, job: Job) -> int:
        """Whole seconds until the job is likely to have ended; at least one."""
        later = max(job.due_at - self.store.clock.now(), 0.0)
        return max(1, math.ceil(later + await self.waits.of(job.connection, job.queue)))

    async def _in_time(self, job: Job, seconds: float, context: Context) -> Response | None:
        """How the job ended, as an answer; None when it has not, or its answer was not kept, or nobody can tell.

        The job is stored: whatever goes wrong here is no reason to send the call again.
        """
        try:
            ended = await self.watch.ended(job.id, seconds)
            if ended is None:
                return None
            if ended.status is not JobStatus.DONE:
                return failure(ended, told=context.caller.is_admin).response()
            sealed = await self.queue.ledger.result(job.id)
            return None if sealed is None else open_result(sealed, self.store.sealer, job_id=job.id)
        except (NotFound, Unavailable):
            return None


def may_wait(request: Request) -> bool:
    """Whether a call can be kept for later at all."""
    path = request.resource.strip("/").lower() + "/"
    return request.service != "user" and not (
        request.service == "system" and path.startswith(tuple(f"{name}/" for name in NEVER_LATER))
    )


class Ended(ReverieError):
    """How a job ended badly, as an error with the status that its script gave."""

    def __init__(self, message: str, status: int, code: int | str | None, context: JSON) -> None:
        self.status = status
        super().__init__(message, code=code, context=context)


def failure(job: Job, *, told: bool) -> ReverieError:
    """Why there is no answer, as the call would have been refused at once; `told` where its script failed, or not."""
    error: Mapping[str, JSON] = job.error if isinstance(job.error, dict) else {}
    message = str(error.get("message") or "")
    if job.status is JobStatus.CANCELLED:
        return Conflict("The job was cancelled before it ended.")
    if job.status is JobStatus.SKIPPED:
        return Conflict(f"The job was skipped: {message or 'there was nothing to run any more'}.")
    status, code = error.get("status_code"), error.get("code")
    return Ended(
        message or "The job failed.",
        status if isinstance(status, int) else 500,
        code if isinstance(code, int | str) else None,
        {name: error.get(name) for name in PLACE} if told and "script" in error else None,
    )
