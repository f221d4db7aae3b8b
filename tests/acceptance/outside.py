"""A small HTTP server on 127.0.0.1 that scripts call as something outside."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Outside:
    """What it was asked, the oldest first.

    ``/missing`` answers 404 with a JSON body, ``/moved`` sends to ``/there``, everything else answers 200 with JSON.
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)


@contextlib.contextmanager
def listening() -> Iterator[Outside]:
    outside = Outside()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            outside.seen.append(Seen(self.command, self.path, headers, body))
            status = {"/missing": 404, "/moved": 302}.get(self.path, 200)
            content = json.dumps({"detail": "nope"} if status == 404 else {"path": self.path}).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/there")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        outside.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield outside
        finally:
            server.shutdown()
            thread.join()
