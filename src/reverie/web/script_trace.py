"""``GET system/script_trace`` as a stream: every run of a script, as it ends.

Access is that of the plain call, and is asked again while the stream is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from reverie.clock import Clock
from reverie.errors import ReverieError
from reverie.events.tracing import Trace
from reverie.model import Request, Response
from reverie.web.formats import as_json
from reverie.web.job_answers import Answer, preferred
from reverie.web.platform import Platform
from reverie.web.responses import Wish, encode_response
from reverie.web.streams import EVENT_HEADERS, EVENT_STREAM, HEARTBEAT, RETRY, Stream, event

BEAT_EVERY: Final = 15.0
"""Seconds between two signs of life, each after asking whether the listener still may."""


def is_trace(request: Request) -> bool:
    return request.service == "system" and request.resource.strip("/") == "script_trace"


async def trace_answer(platform: Platform, request: Request, request_id: str, wish: Wish) -> Answer:
    """
    Raises:
        ReverieError: the caller may not listen.
    """

    async def look() -> Response:
        return await platform.answer(request, request_id)

    response = await look()
    if request.method != "GET" or preferred(request.headers.get("accept", "")) != EVENT_STREAM:
        return encode_response(response, wish)
    if response.status >= 400:  # a script on this call has refused it
        return encode_response(response, wish)
    return 200, [*EVENT_HEADERS], trace_events(platform.trace, platform.clock, look)


async def trace_events(trace: Trace, clock: Clock, look: Callable[[], Awaitable[Response]]) -> Stream:
    """Events ``run``, one for each run, after ``listening``; ``problem`` ends it."""
    yield RETRY
    try:
        async with aclosing(trace.listen()) as runs:
            while True:
                coming = asyncio.ensure_future(anext(runs, None))
                try:
                    while not coming.done():
                        await asyncio.wait({coming}, timeout=BEAT_EVERY)
                        if not coming.done():
                            await look()
                            yield HEARTBEAT
                finally:
                    if not coming.done():
                        coming.cancel()
                        await asyncio.gather(coming, return_exceptions=True)
                message = coming.result()
                if message is None:
                    return
                yield event("run", message) if message else event("listening", b"{}")
    except ReverieError as error:
        yield event("problem", as_json({"error": error.entry()}))
