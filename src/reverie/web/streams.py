"""Answers that go out as they come, for as long as the client listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeAlias, TypeVar

from reverie.web.requests import ClientGone, Receive, Send
from reverie.web.responses import Headers

T = TypeVar("T")
Stream: TypeAlias = AsyncGenerator[bytes, None]
"""Chunks of a body."""

EVENT_STREAM: Final = "text/event-stream"
EVENT_HEADERS: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
]
HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = b"retry: 2000\n\n"
"""How long, in milliseconds, a browser waits before it comes back."""


def event(name: str, data: bytes, *, identity: str = "") -> bytes:
    """One server-sent event; *data* is UTF-8 and may have several lines."""
    lines = [b"event: " + name.encode()]
    if identity:
        lines.append(b"id: " + identity.encode())
    lines += [b"data: " + line for line in data.splitlines() or [b""]]
    return b"\n".join(lines) + b"\n\n"


async def send_stream(stream: Stream, receive: Receive, send: Send) -> None:
    """Send every chunk but the end of the body; stop at once when the client goes. *stream* is closed in any case."""

    async def send_all() -> None:
        async for chunk in stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async with aclosing(stream):
        try:
            await unless_gone(receive, send_all())
        except ClientGone:
            return


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What *work* gives.

    Raises:
        ClientGone: the client went away first; *work* was cancelled.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
