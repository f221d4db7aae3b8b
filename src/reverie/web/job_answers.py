"""One job in the forms that wait: a page, a stream of events, an answer that is held back until the job moves.

Each is the plain ``GET system/job/{id}`` again at every move, so access, masking and scripts on that call are the same.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote

from starlette.requests import Request as WebRequest

from reverie.clock import Clock
from reverie.errors import BadRequest, Forbidden, NotFound, ReverieError, Unauthorized
from reverie.jobs.ledger import ENDED
from reverie.jobs.watching import JobWatch, mark
from reverie.model import JSON, Job, JobStatus, Request, Response
from reverie.web.formats import as_json
from reverie.web.job_page import Page, render
from reverie.web.links import is_good
from reverie.web.masks import discreet
from reverie.web.platform import Platform
from reverie.web.requests import Receive, Scope, Send, read_headers
from reverie.web.responses import Headers, Wish, encode_response
from reverie.web.streams import (
    EVENT_HEADERS,
    EVENT_STREAM,
    HEARTBEAT,
    RETRY,
    Stream,
    event,
    send_stream,
    unless_gone,
)

Look: TypeAlias = Callable[[], Awaitable[Response]]
Answer: TypeAlias = tuple[int, Headers, bytes | Stream]

LONGEST_WAIT: Final = 60
"""Seconds that an answer is held back."""
BEAT_EVERY: Final = 15.0
"""Seconds between two signs of life in a stream."""
TURN: Final = 1.0
"""Seconds between two turns of a stream while its job does not move."""
NOTE_EVERY: Final = 5.0
"""Seconds after which the reason why a job waits is looked up again."""
_ONE_JOB: Final = re.compile(r"job/([^/]+)/?")
_CREDENTIALS: Final = ("api_key", "session_token")
_ASK: Final = "This job is shown to administrators and to whoever queued it, so say who you are."
_OVER: Final = "This link is not whole, or its day is over. `reverie queue show {}` prints a new one."


def job_of(request: Request) -> str | None:
    """The id, when this is a look at one job."""
    if request.service != "system" or request.method != "GET":
        return None
    found = _ONE_JOB.fullmatch(request.resource)
    return found[1] if found else None


class JobAnswers:
    """Answers looks at one job under ``/api``."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def answer(self, job_id: str, request: Request, request_id: str, wish: Wish, receive: Receive) -> Answer:
        """
        Raises:
            ReverieError, ClientGone
        """

        async def look(asked: Request = request) -> Response:
            return await self._platform.answer(asked, request_id)

        form = preferred(request.headers.get("accept", ""))
        if form == EVENT_STREAM:
            await look()
            return await stream_answer(self._platform.watch, self._platform.clock, job_id, look, request.headers)
        if form == "text/html":
            return await self._page(job_id, request, lambda: look(_for_page(request)))
        if "wait" in request.parameters:
            return encode_response(await unless_gone(receive, self._wait(job_id, request, look)), wish)
        return encode_response(await look(), wish)

    async def _wait(self, job_id: str, request: Request, look: Look) -> Response:
        """Answer at once when the job has ended, else when it moves or leaves *unless_status*; in time in any case."""
        seconds, unless = _seconds(request), _statuses(request)
        watch = self._platform.watch
        known: Job | None = None
        with contextlib.suppress(NotFound):
            known = await watch.look(job_id)
        response = await look()  # also says whether he may
        if known is None or known.status in ENDED:
            return response

        def worth_telling(job: Job) -> bool:
            return job.status in ENDED or (job.status not in unless if unless else mark(job) != mark(known))

        with contextlib.suppress(NotFound):
            await watch.until(job_id, worth_telling, seconds)
        return await look()

    async def _page(self, job_id: str, request: Request, look: Look) -> Answer:
        status, entry, problem = 200, None, None
        try:
            entry = (await look()).content
        except (BadRequest, Unauthorized, Forbidden) as error:
            status, problem = error.status, _ASK if not _has_credentials(request) else error.message
        except NotFound as error:
            status, problem = error.status, error.message
        page = Page(
            job_id=job_id,
            entry=entry if isinstance(entry, dict) else None,
            events=request.uri,
            problem=problem,
            now=self._platform.clock.now(),
        )
        return render(page, status)


class JobLinks:
    """``/jobs/{id}?expires=...&signature=...``: the same for who holds a signed link, with nothing to change."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = await self._answer(scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if not isinstance(body, bytes):
            if scope["method"] != "HEAD":
                await send_stream(body, receive, send)
            else:
                await body.aclose()
            body = b""
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> Answer:
        request = WebRequest(scope)
        job_id: str = request.path_params["job_id"]
        expires, signature = request.query_params.get("expires", ""), request.query_params.get("signature", "")
        headers = read_headers(scope)
        form = preferred(headers.get("accept", ""))
        now = self._platform.clock.now()
        try:
            if not is_good(self._platform.sealer, job_id, expires=expires, signature=signature, now=now):
                raise Forbidden(_OVER.format(job_id))

            async def look() -> Response:
                if self._platform.clock.now() > int(expires):
                    raise Forbidden(_OVER.format(job_id))
                return discreet(await self._platform.show_job(job_id))

            response = await look()
            if form == EVENT_STREAM:
                return await stream_answer(self._platform.watch, self._platform.clock, job_id, look, headers)
        except ReverieError as error:
            if form == "text/html":
                page = Page(job_id=job_id, entry=None, events="", problem=error.message, now=now, asks=False)
                return render(page, error.status)
            return encode_response(error.response(), Wish({}, {}))
        if form != "text/html":
            return encode_response(response, Wish({}, {}))
        entry = response.content
        events = f"/jobs/{quote(job_id, safe='')}?expires={expires}&signature={quote(signature)}"
        until = datetime.fromtimestamp(int(expires), UTC)
        return render(
            Page(
                job_id=job_id,
                entry=entry if isinstance(entry, dict) else None,
                events=events,
                now=now,
                until=until.strftime("%Y-%m-%d %H:%M UTC"),
            ),
            200,
        )


# -- streams


async def stream_answer(watch: JobWatch, clock: Clock, job_id: str, look: Look, headers: Mapping[str, str]) -> Answer:
    """The job at each move, until after its end; nothing for a browser that comes back after it has seen that."""
    job = await watch.look(job_id)
    if job.status in ENDED and headers.get("last-event-id") == _identity(job):
        return 204, [(b"cache-control", b"no-store")], b""
    return 200, [*EVENT_HEADERS], job_events(watch, clock, job_id, look)


async def job_events(watch: JobWatch, clock: Clock, job_id: str, look: Look) -> Stream:
    """Events ``job``, with the JSON of *look*; ``problem``, with that of an error, ends it."""
    yield RETRY
    shown, last = b"", None
    sent_at = looked_at = clock.monotonic()
    try:
        async with aclosing(watch.moves(job_id, again=TURN)) as moves:
            async for job in moves:
                now = clock.monotonic()
                if job is not last or now - looked_at >= _stale_after(job, shown):
                    last, looked_at = job, now
                    text = as_json(_plain(await look()))
                    if text != shown:
                        shown, sent_at = text, now
                        yield event("job", text, identity=_identity(job))
                if now - sent_at >= BEAT_EVERY:
                    sent_at = now
                    yield HEARTBEAT
    except ReverieError as error:
        yield event("problem", as_json({"error": error.entry()}))


def _stale_after(job: Job, shown: bytes) -> float:
    """Seconds after which a job that did not move may look otherwise."""
    if job.status in (JobStatus.WAITING, JobStatus.DELAYED):
        return NOTE_EVERY
    # Its script begins a moment after it was taken.
    return TURN if b'"started_at":null' in shown else float("inf")


def _identity(job: Job) -> str:
    return f"{job.status}-{job.attempts}-{job.crashes}-{job.epoch}"


def _plain(response: Response) -> JSON:
    """What a script made of the answer may be text or a refusal."""
    if response.status >= 400:
        raise ReverieError(f"The look at this job was answered with {response.status}.")
    content = response.content
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content


# -- what the client wants


def preferred(accept: str) -> str | None:
    """``text/event-stream`` or ``text/html`` where the client puts it before JSON; None for everything else.

    Browsers send ``text/html`` first and ``*/*`` with a lower weight; a client that names JSON with the same weight, or
    that takes everything, gets JSON.
    """
    weights = dict(map(_weighted, accept.split(",")))
    if weights.get(EVENT_STREAM, 0.0) > weights.get("application/json", 0.0):
        return EVENT_STREAM
    best = max(weights.get("application/json", 0.0), weights.get("*/*", 0.0))
    html = weights.get("text/html", 0.0)
    return "text/html" if html > best else None


def _weighted(part: str) -> tuple[str, float]:
    kind, *options = (piece.strip() for piece in part.split(";"))
    weight = 1.0
    for option in options:
        name, _, value = option.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
    return kind.lower(), weight


def _seconds(request: Request) -> float:
    value = request.parameters.get("wait")
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,9}", value):
        raise BadRequest(
            f"wait is a whole number of seconds, at most {LONGEST_WAIT}; it says how long to wait for a move."
        )
    return min(int(value), LONGEST_WAIT)


def _statuses(request: Request) -> set[JobStatus]:
    value = request.parameters.get("unless_status")
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else []
    try:
        return {JobStatus(name.lower()) for name in names}
    except ValueError as error:
        raise BadRequest(
            f"unless_status is one or more of {', '.join(JobStatus)}, with commas between them."
        ) from error


def _has_credentials(request: Request) -> bool:
    names = ("authorization", "x-dreamfactory-api-key", "x-dreamfactory-session-token")
    return any(name in request.headers for name in names) or any(name in request.parameters for name in _CREDENTIALS)


def _for_page(request: Request) -> Request:
    """The look that a page is made of: the whole job, whatever fields the address asks for."""
    return replace(request, parameters={k: v for k, v in request.parameters.items() if k in _CREDENTIALS})
