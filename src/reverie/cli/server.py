"""The HTTP server around the ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final

import httptools
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reverie.cli.listener import BACKLOG
from reverie.web.formats import as_json
from reverie.web.requests import ALLOWED

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.web.requests import ASGIApp

GRACE: Final = 25
"""Seconds that requests get to end when the server is asked to stop."""

log = structlog.get_logger()


class Protocol(HttpToolsProtocol):
    """uvicorn's, but a verb that HTTP does not know is answered like one that no path has."""

    def send_400_response(self, msg: str) -> None:
        if not isinstance(sys.exception(), httptools.HttpParserInvalidMethodError):
            super().send_400_response(msg)
            return
        body = as_json({"message": f"The verb of the request is not one of {ALLOWED}."})
        lines = (
            b"HTTP/1.1 405 Method Not Allowed",
            b"content-type: application/json",
            b"allow: " + ALLOWED.encode(),
            b"content-length: %d" % len(body),
            b"connection: close",
        )
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn, ended by *signals* without passing them on: a drained server is a success."""

    def __init__(
        self, config: uvicorn.Config, signals: Sequence[signal.Signals], on_stop: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._signals = signals
        self._on_stop = on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in self._signals:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True
        if self._on_stop is not None:
            self._on_stop()


def server_of(app: ASGIApp, signals: Sequence[signal.Signals], on_stop: Callable[[], None] | None = None) -> Server:
    """The server as it always runs; a bench that compares applications gives each the same.

    Args:
        on_stop: called when a signal comes, before requests get their time to end.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, signals, on_stop)


async def serve_api(settings: Settings, listener: socket.socket, signals: Sequence[signal.Signals]) -> None:
    """Answer on *listener* until one of *signals* comes; what is under way is finished first."""
    from reverie.app import build
    from reverie.web.app import asgi

    async with build(settings) as platform:
        # Who waits for a job or listens would wait through the whole grace.
        server = server_of(asgi(platform, max_body=settings.max_body), signals, platform.stop_telling)
        # What is loaded by now stays; collecting garbage need not walk through it again and again.
        gc.collect()
        gc.freeze()
        # What requests leave is hardly ever in circles: looking for those every 700 objects costs more than it finds.
        gc.set_threshold(20_000, 20, 50)
        log.info("api.started", address=":".join(map(str, listener.getsockname()[:2])))
        await server.serve([listener])
        log.info("api.stopped")
