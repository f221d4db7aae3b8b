"""The one door: find the service, check access, pre_process, handle, post_process, queue.

Every call passes here: a client's, a script's (through `Context.call`, never over the network), a job's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from reverie.auth.gate import Auth
from reverie.errors import LoopDetected, ReverieError
from reverie.events.hooks import Hook, Hooks
from reverie.events.runs import must_hold
from reverie.model import MAX_DEPTH, Caller, Context, Request, Requestor, Response
from reverie.services.service import Service
from reverie.services.spec import SPEC
from reverie.trace import HEADER, read_trace


class Services(Protocol):
    async def find(self, name: str) -> Service:
        """The active service of that name, or NotFound, or Forbidden when it is not active."""
        ...


class Promises(Protocol):
    async def instead(self, request: Request, context: Context) -> Response | None:
        """The answer to a call that its client wants to be made later; None where it is to be made now."""
        ...


class Specs(Protocol):
    async def answer(self, service: Service, request: Request, context: Context) -> Response:
        """The answer to a GET of the resource that every service has: its own description."""
        ...


class Timing:
    """What parts of one answer took, as the header ``Server-Timing`` tells it; made when the call was let in."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._parts = {"gate": time.perf_counter() - began}

    def note(self, part: str, seconds: float) -> None:
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    def told(self, response: Response) -> Response:
        """The answer with the header; of one that streams, until it began to."""
        self._parts["total"] = time.perf_counter() - self._began
        text = ", ".join(f"{part};dur={seconds * 1000:.2f}" for part, seconds in self._parts.items())
        return replace(response, headers={**response.headers, "Server-Timing": text})


class Dispatcher:
    def __init__(
        self, auth: Auth, services: Services, hooks: Hooks, promises: Promises | None = None, specs: Specs | None = None
    ) -> None:
        self._auth = auth
        self._services = services
        self._hooks = hooks
        self._promises = promises
        self._specs = specs

    async def answer(self, request: Request, request_id: str) -> Response:
        """Answer a client's call.

        Raises:
            ReverieError: refused at the gate (no event fires then), or the service's own error where no script hangs
                on it.
        """
        began = time.perf_counter()
        caller = await self._auth.identify(request)
        self._auth.check(caller, request, Requestor.API)
        trace = read_trace(request.headers.get(HEADER))
        # How long things took can tell whether hidden records are there, so only those learn it who see them anyway.
        timing = Timing(began) if caller.is_admin else None
        context = self.context(
            caller, request_id=request_id, trace=trace, streams=True, note=timing.note if timing else None
        )
        if "prefer" in request.headers and self._promises is not None:
            promise = await self._promises.instead(request, context)
            if promise is not None:
                return promise
        response = await self.dispatch(request, context)
        return response if timing is None else timing.told(response)

    def context(
        self,
        caller: Caller,
        *,
        requestor: Requestor = Requestor.API,
        depth: int = 0,
        hops: int = 0,
        request_id: str = "",
        job_id: str | None = None,
        trace: str = "",
        holds: Callable[[], bool] | None = None,
        rehearse: Callable[[Request], Response | None] | None = None,
        streams: bool = False,
        note: Callable[[str, float], None] | None = None,
    ) -> Context:
        """The surroundings of a call, with the way back in for scripts."""

        # It knows what it needs of the context and not the context itself: a circle for each call would leave what
        # calls leave behind to the collector of garbage.
        async def call(request: Request) -> Response:
            inner = self.context(
                caller,
                requestor=Requestor.SCRIPT,
                depth=depth + 1,
                hops=hops,
                request_id=request_id,
                job_id=job_id,
                trace=trace,
                holds=holds,
                rehearse=rehearse,
            )
            return await self._nested(request, inner)

        return Context(
            caller=caller,
            call=call,
            requestor=requestor,
            depth=depth,
            hops=hops,
            request_id=request_id,
            job_id=job_id,
            trace=trace,
            holds=holds,
            rehearse=rehearse,
            streams=streams,
            note=note,
        )

    async def _nested(self, request: Request, context: Context) -> Response:
        """A call that a script makes: its failure is an answer."""
        try:
            if context.depth > MAX_DEPTH:
                raise LoopDetected(f"calls nest more than {MAX_DEPTH} deep: a script may be calling itself")
            must_hold(context)
            self._auth.check(context.caller, request, Requestor.SCRIPT)
            if context.rehearse is not None:
                await self._services.find(request.service)
                if (instead := context.rehearse(request)) is not None:
                    return instead
            return await self.dispatch(request, context)
        except ReverieError as error:
            return error.response()

    async def dispatch(self, request: Request, context: Context) -> Response:
        """From the service on; access was checked."""
        service = await self._services.find(request.service)
        hooks = None if self._hooks.are_none() else await self._hooks.find(service.moments(request))
        if not hooks:
            return await self._handle(service, request, context)
        return await self._through(service, hooks, request, context)

    async def _through(self, service: Service, hooks: list[Hook], request: Request, context: Context) -> Response:
        if context.streams and any(hook.sees_answer for hook in hooks):
            context = replace(context, streams=False)
        began = time.perf_counter()
        handled = 0.0
        try:
            request, response = await self._hooks.before(hooks, request, context)
            if response is None:
                before = time.perf_counter()
                try:
                    response = await self._handle(service, request, context)
                finally:
                    handled = time.perf_counter() - before
        except ReverieError as error:
            response = error.response()
        response = await self._hooks.after(hooks, request, response, context)
        await self._hooks.finally_(hooks, request, response, context)
        if context.note is not None:
            context.note("scripts", time.perf_counter() - began - handled)
        return response

    async def _handle(self, service: Service, request: Request, context: Context) -> Response:
        if context.holds is not None:
            # Again: scripts may have run before this, and the lease may have ended meanwhile.
            must_hold(context)
        if request.resource in SPEC and request.method == "GET" and self._specs is not None:
            return await self._specs.answer(service, request, context)
        return await service.handle(request, context)
