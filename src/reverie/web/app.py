"""The ASGI application: `Door` answers ``/api``, Starlette the few pages around it."""

from __future__ import annotations

import itertools
import os
import re
import time
from typing import Final

import structlog

from reverie.errors import ReverieError, Unavailable
from reverie.web.formats import as_json
from reverie.web.job_answers import JobAnswers, job_of
from reverie.web.long_lists import encode_parts
from reverie.web.metrics import Requests
from reverie.web.pages import pages
from reverie.web.platform import Platform
from reverie.web.requests import (
    ALLOWED,
    ASGIApp,
    ClientGone,
    Receive,
    Scope,
    Send,
    UnknownVerb,
    has_no_body,
    read_headers,
    read_request,
    receive_body,
)
from reverie.web.responses import Headers, Wish, encode_response
from reverie.web.saving import compressed, compressed_stream, may_compress, tagged
from reverie.web.script_trace import is_trace, trace_answer
from reverie.web.streams import Stream, send_stream

DEFAULT_MAX_BODY: Final = 32 * 1024 * 1024
NOT_INITIALISED: Final = "Instance is not initialised."
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

log = structlog.get_logger()


def asgi(platform: Platform, *, max_body: int = DEFAULT_MAX_BODY) -> ASGIApp:
    """The application for a server. The platform is started and closed by whoever made it; there is no lifespan."""
    requests = Requests(platform.has_service)
    return Door(platform, pages(platform, requests), requests, max_body=max_body)


class Door:
    """A plain ASGI callable: no router, no middleware and no request object stand between a client and the platform.

    Args:
        around: answers everything that is not under ``/api``.
        requests: counts what was answered.
        max_body: bytes.
    """

    def __init__(self, platform: Platform, around: ASGIApp, requests: Requests, *, max_body: int) -> None:
        self._platform = platform
        self._around = around
        self._requests = requests
        self._jobs = JobAnswers(platform)
        self._max_body = max_body
        # Unique among processes by the random part, and cheap by the counter.
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (scope["path"].startswith("/api/") or scope["path"] == "/api"):
            await self._around(scope, receive, send)
            return
        began = time.perf_counter()
        headers = read_headers(scope)
        request_id = headers.get("x-request-id", "")
        if not request_id or not _SANE_ID.fullmatch(request_id):
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        try:
            status, head, body, service, verb = await self._answer(scope, headers, receive, request_id)
        except ClientGone:
            return
        if scope["method"] in ("GET", "HEAD") and isinstance(body, bytes):
            status, head, body = tagged(status, head, body, headers, service)
        if "accept-encoding" in headers and may_compress(headers, service):
            body = await compressed(head, body) if isinstance(body, bytes) else compressed_stream(head, body)
        self._requests.note(service, verb, status, time.perf_counter() - began)
        head.append((b"x-request-id", request_id.encode()))
        await send({"type": "http.response.start", "status": status, "headers": head})
        if not isinstance(body, bytes):
            if not await self._streamed(body, scope, receive, send, request_id):
                return  # the server ends the connection: an end of the body would say that it is whole
            body = b""
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _streamed(self, stream: Stream, scope: Scope, receive: Receive, send: Send, request_id: str) -> bool:
        """Send what comes; whether all came."""
        try:
            if scope["method"] == "HEAD":
                await stream.aclose()
            else:
                await send_stream(stream, receive, send)
        except Exception:
            log.exception("request.failed", request_id=request_id, method=scope["method"], path=scope["path"])
            return False
        return True

    async def _answer(
        self, scope: Scope, headers: dict[str, str], receive: Receive, request_id: str
    ) -> tuple[int, Headers, bytes | Stream, str, str]:
        """Status, headers and body; and which service was asked by which verb, as far as that was understood."""
        wish = Wish(headers, {})
        service, verb = "", scope["method"]
        try:
            if scope["method"] == "OPTIONS":
                return 204, [(b"allow", ALLOWED.encode())], b"", service, verb
            if not self._platform.initialised:
                raise Unavailable(NOT_INITIALISED)
            bare = has_no_body(scope["method"], headers)
            content = b"" if bare else await receive_body(scope["method"], headers, receive, self._max_body)
            request = read_request(scope, headers, content)
            service, verb = request.service, request.method
            wish = Wish(headers, request.parameters, request.resource)
            if job_id := job_of(request):
                return *await self._jobs.answer(job_id, request, request_id, wish, receive), service, verb
            if is_trace(request):
                return *await trace_answer(self._platform, request, request_id, wish), service, verb
            answer = self._platform.answer if service else self._platform.index
            response = await answer(request, request_id)
            if response.parts is not None:
                bodiless = scope["method"] == "HEAD"
                return *await encode_parts(response, response.parts, wish, bodiless=bodiless), service, verb
            return *encode_response(response, wish), service, verb
        except UnknownVerb as error:
            body = as_json({"message": error.message})
            length = b"%d" % len(body)
            kind = (b"content-type", b"application/json")
            return error.status, [kind, (b"allow", ALLOWED.encode()), (b"content-length", length)], body, service, verb
        except ReverieError as error:
            return *encode_response(error.response(), wish), service, verb
        except ClientGone:
            raise
        except Exception:
            # The last resort: the client learns the request id, the log learns the rest.
            log.exception("request.failed", request_id=request_id, method=scope["method"], path=scope["path"])
            failed = ReverieError(f"Internal server error. The log of the instance tells more under id {request_id}.")
            return *encode_response(failed.response(), wish), service, verb
