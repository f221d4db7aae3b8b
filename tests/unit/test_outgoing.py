"""Calls of scripts to elsewhere, against a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reverie.outgoing import Outgoing, allowed


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/found")
            self.end_headers()
            return
        if self.path == "/metadata":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
            return
        length = int(self.headers.get("Content-Length") or 0)
        seen = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "egress", "may"),
    [
        ("127.0.0.1", "any", True),
        ("127.0.0.1", "public", False),
        ("10.1.2.3", "public", False),
        ("8.8.8.8", "public", True),
        ("8.8.8.8", "none", False),
        ("169.254.169.254", "any", False),
        ("::ffff:169.254.169.254", "any", False),
        ("::ffff:127.0.0.1", "public", False),
        ("fe80::1%eth0", "any", False),
        ("fd00:ec2::254", "any", False),
        ("100.64.0.1", "public", False),
        ("224.0.0.1", "public", False),
    ],
)
def test_the_rule_is_about_the_address(address: str, egress: str, may: bool) -> None:
    assert allowed(address, egress) is may  # type: ignore[arg-type]  # the table holds the three texts


@pytest.mark.anyio
async def test_a_call_carries_what_the_script_gave_and_nothing_of_the_platform(base: str) -> None:
    outgoing = Outgoing()

    answer = await outgoing.call("POST", f"{base}/x?a=1", {"b": 2}, {"headers": ["X-One: 1"], "parameters": {"c": "3"}})
    await outgoing.close()

    seen = answer["content"]
    assert isinstance(seen, dict)
    assert answer["status_code"] == 200
    assert seen["path"] == "/x?a=1&c=3"
    assert json.loads(str(seen["body"])) == {"b": 2}
    headers = seen["headers"]
    assert isinstance(headers, dict)
    assert headers["x-one"] == "1"
    assert not [name for name in headers if name.startswith("x-dreamfactory")]


@pytest.mark.anyio
async def test_an_error_status_is_a_result_and_a_redirect_is_followed(base: str) -> None:
    outgoing = Outgoing()

    missing = await outgoing.call("GET", f"{base}/missing", None, {})
    moved = await outgoing.call("GET", f"{base}/moved", None, {})
    await outgoing.close()

    assert missing["status_code"] == 404
    assert isinstance(moved["content"], dict)
    assert moved["content"]["path"] == "/found"


@pytest.mark.anyio
async def test_a_refused_address_is_an_error_result_also_behind_a_redirect(base: str) -> None:
    strict, lax = Outgoing("public"), Outgoing("any")

    private = await strict.call("GET", f"{base}/x", None, {})
    metadata = await lax.call("GET", f"{base}/metadata", None, {})
    nobody = await lax.call("GET", "http://127.0.0.1:1/", None, {})
    await strict.close()
    await lax.close()

    for answer in (private, metadata, nobody):
        assert isinstance(answer["status_code"], int)
        assert answer["status_code"] >= 500
        assert isinstance(answer["content"], dict)
        assert "error" in answer["content"]
