"""What really ran, written down by whoever ran it, apart from everything the queue believes.

    <job> <epoch> <what> <seconds> <process>\n

One line for each effect, appended with one write to a file that nobody else changes. *epoch* is 0 where the one who
writes does not know it: a script told by HTTP.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

BEGIN: Final = "begin"
END: Final = "end"
STOPPED: Final = "stopped"
"""The run was given up, and its code was stopped."""
LOST: Final = "lost"
"""The worker was told that the job is no longer its own."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a run did; `at` are Unix seconds of the host."""

    job: str
    epoch: int
    what: str
    at: float
    process: int


class EffectFile:
    """Appends from as many processes as like; a line is written whole or not at all.

    Args:
        offset: Unix time less monotonic time; given to a process whose clock is wrong.
    """

    def __init__(self, path: Path, offset: float | None = None) -> None:
        self.path = path
        self.offset = time.time() - time.monotonic() if offset is None else offset
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, job: str, epoch: int, what: str) -> None:
        os.write(self._fd, f"{job} {epoch} {what} {time.monotonic() + self.offset:.6f} {os.getpid()}\n".encode())

    def read(self) -> list[Effect]:
        lines = self.path.read_text("ascii").splitlines()
        return [
            Effect(job, int(epoch), what, float(at), int(process))
            for job, epoch, what, at, process in (line.split(" ") for line in lines)
        ]

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def sink(effects: EffectFile) -> Iterator[str]:
    """An HTTP server for scripts: a POST to ``/<job>/<what>`` is an effect. Its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            _, job, what = self.path.split("/")
            effects.append(job, 0, what)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
