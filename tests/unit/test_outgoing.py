"""Calls of scripts to elsewhere, against a real server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reverie import outgoing as module
from reverie.outgoing import HostPattern, Outgoing, allowed


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/found")
            self.end_headers()
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/x")  # type: ignore[attr-defined]  # an HTTPServer
            self.end_headers()
            return
        if self.path == "/slowly":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.02)
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
        ("::1", "public", False),
        ("::", "public", False),
        ("0.0.0.0", "public", False),
        ("192.168.1.1", "any", True),
        ("2606:4700::1111", "public", True),
        ("fc00::1", "public", False),
        ("::ffff:8.8.8.8", "public", True),
        ("::127.0.0.1", "public", False),
        ("2002:7f00:1::", "public", False),
        ("2002:a9fe:a9fe::", "any", False),
        ("64:ff9b::a9fe:a9fe", "any", False),
        ("64:ff9b::7f00:1", "public", False),
        ("100.100.100.200", "any", False),
        ("fd20:ce::254", "any", False),
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


def message(answer: Mapping[str, object]) -> str:
    return json.dumps(answer["content"])


@pytest.mark.anyio
async def test_a_script_held_to_hosts_calls_those_also_behind_a_redirect(base: str) -> None:
    outgoing = Outgoing()
    port = int(base.rpartition(":")[2])
    mine = (HostPattern.parse(f"127.0.0.1:{port}"),)

    there = await outgoing.call("GET", f"{base}/x", None, {}, hosts=mine)
    elsewhere = await outgoing.call("GET", f"{base}/elsewhere", None, {}, hosts=mine)
    other = await outgoing.call("GET", f"{base}/x", None, {}, hosts=())
    both = await outgoing.call("GET", f"{base}/elsewhere", None, {}, hosts=(*mine, HostPattern.parse("localhost")))
    await outgoing.close()

    assert [answer["status_code"] for answer in (there, elsewhere, other, both)] == [200, 502, 502, 200]
    assert "may not call 'localhost'" in message(elsewhere)
    assert "may not call '127.0.0.1'" in message(other)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "fits"),
    [
        ("api.example.test", "API.example.test.", 443, True),
        ("api.example.test", "x.api.example.test", 443, False),
        ("*.example.test", "api.example.test", 80, True),
        ("*.example.test", "example.test", 80, False),
        ("*.example.test", "badexample.test", 80, False),
        ("10.0.0.5:8080", "10.0.0.5", 8080, True),
        ("10.0.0.5:8080", "10.0.0.5", 80, False),
        ("[::1]:8080", "::1", 8080, True),
    ],
)
def test_a_host_is_a_name_all_names_below_one_or_an_address(pattern: str, host: str, port: int, fits: bool) -> None:
    assert HostPattern.parse(pattern).fits(host, port) is fits


@pytest.mark.parametrize("text", ["", "*", "http://a.test", "a.test/x", "a b", "a.test:0", "a.test:99999", "*.*.test"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host such as"):
        HostPattern.parse(text)


@pytest.mark.anyio
async def test_a_name_that_resolves_anew_to_a_private_address_is_connected_as_it_was_checked(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is 127.0.0.2, which stands for a public address here; each later one is 127.0.0.1."""
    port = int(base.rpartition(":")[2])
    answers = iter(["127.0.0.2"])
    connected: list[str] = []

    async def resolve(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.1"), port))]

    class Inner(httpcore2.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, *more: object) -> httpcore2.AsyncNetworkStream:
            connected.append(host)
            raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(module, "allowed", lambda address, egress: address == "127.0.0.2")
    monkeypatch.setattr(httpcore2, "AnyIOBackend", Inner)
    outgoing = Outgoing("public")

    first = await outgoing.call("GET", f"http://rebinding.example.test:{port}/", None, {})
    second = await outgoing.call("GET", f"http://rebinding.example.test:{port}/", None, {})
    await outgoing.close()

    assert connected == ["127.0.0.2"]
    assert "nobody there" in message(first)
    assert "not allowed by this instance" in message(second)


@pytest.mark.anyio
async def test_a_redirect_to_a_refused_address_is_refused(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "allowed", lambda address, egress: address == "127.0.0.1")
    outgoing = Outgoing("public")
    monkeypatch.setattr(
        asyncio.get_running_loop(), "getaddrinfo", _resolver({"127.0.0.1": "127.0.0.1", "localhost": "10.0.0.1"})
    )

    answer = await outgoing.call("GET", f"{base}/elsewhere", None, {})
    await outgoing.close()

    assert "calls from scripts to 'localhost' are not allowed" in message(answer)


def _resolver(names: dict[str, str]) -> object:
    async def resolve(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], port))]

    return resolve


@pytest.mark.anyio
async def test_an_answer_that_comes_drop_by_drop_is_given_up_in_time(base: str) -> None:
    outgoing = Outgoing()

    answer = await outgoing.call("GET", f"{base}/slowly", None, {"CURLOPT_TIMEOUT": 0.2})
    await outgoing.close()

    assert answer["status_code"] == 504


@pytest.fixture
def unsigned(tmp_path: Path) -> Iterator[str]:
    """A server over TLS whose certificate nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "both.pem").write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, form, none))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *told: None  # type: ignore[method-assign]  # the client that turns away is no error here
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.anyio
async def test_certificates_are_checked_unless_the_script_says_otherwise(unsigned: str) -> None:
    outgoing = Outgoing()

    checked = await outgoing.call("GET", f"{unsigned}/x", None, {})
    unchecked = await outgoing.call("GET", f"{unsigned}/x", None, {"CURLOPT_SSL_VERIFYPEER": False})
    await outgoing.close()

    assert checked["status_code"] == 502
    assert "certificate" in message(checked).lower()
    assert unchecked["status_code"] == 200
