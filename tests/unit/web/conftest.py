"""A platform that answers what a test tells it to, and a way to call the application without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest

from reverie.clock import Clock, SystemClock
from reverie.errors import BadRequest, ReverieError
from reverie.jobs.metrics import Measures
from reverie.model import JSON, Request, Response
from reverie.sealing import Sealer, make_secret
from reverie.web.app import asgi
from reverie.web.requests import ASGIApp, Message


@dataclass
class ScriptedPlatform:
    """Remembers every request; answers with `respond`."""

    initialised: bool = True
    respond: Callable[[Request], Response] = lambda request: Response(content={"ok": True})
    seen: list[Request] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    facts: Mapping[str, JSON] = field(default_factory=lambda: {"ready": True})
    token: str | None = None
    services: list[str] = field(default_factory=list)
    scraped: list[tuple[Request, str | None]] = field(default_factory=list)
    refusal: ReverieError | None = None
    measures: Measures | None = None
    administrators: list[tuple[str, str, str]] = field(default_factory=list)
    clock: Clock = field(default_factory=SystemClock)
    sealer: Sealer = field(default_factory=lambda: Sealer(make_secret()))
    watch: Any = None  # a JobWatch, where jobs are looked at
    trace: Any = None  # a Trace, where runs are listened to

    async def answer(self, request: Request, request_id: str) -> Response:
        self.seen.append(request)
        self.ids.append(request_id)
        return self.respond(request)

    async def index(self, request: Request, request_id: str) -> Response:
        self.ids.append(request_id)
        return Response(content={"services": []})

    def has_service(self, name: str) -> bool:
        return name in self.services

    async def may_scrape(self, request: Request, *, peer: str | None) -> None:
        self.scraped.append((request, peer))
        if self.refusal is not None:
            raise self.refusal

    async def measure(self) -> Measures | None:
        return self.measures

    async def show_job(self, job_id: str) -> Response:
        return self.respond(Request(method="GET", service="system", resource=f"job/{job_id}"))

    async def ready(self) -> Mapping[str, JSON]:
        return self.facts

    def set_up_open(self, token: str) -> bool:
        return token == self.token

    async def set_up(self, token: str, email: str, password: str, name: str) -> None:
        if len(password) < 8:
            raise BadRequest("The password is too short.")
        self.administrators.append((email, password, name))
        self.token = None


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


Call: TypeAlias = Callable[..., Awaitable[Reply]]


async def call_app(
    app: ASGIApp,
    method: str,
    target: str,
    headers: Mapping[str, str] | list[tuple[str, str]] = {},  # noqa: B006 - never changed
    body: bytes | list[bytes] | None = None,
) -> Reply:
    """One call as a server makes it; a list of bodies comes in several messages, without a length."""
    path, _, query = target.partition("?")
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]
    chunks = [body] if isinstance(body, bytes) else list(body or [])
    if isinstance(body, bytes):
        raw.append((b"content-length", str(len(body)).encode()))
    elif body:
        raw.append((b"transfer-encoding", b"chunked"))
    scope: dict[str, object] = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": raw,
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
        "server": ("api.example.test", 80),
        "client": ("127.0.0.1", 1),
    }
    sent: list[Message] = []

    received = False

    async def receive() -> Message:
        nonlocal received
        if received:
            await asyncio.Event().wait()  # the client listens, and says nothing more
        chunk = chunks.pop(0) if chunks else b""
        received = not chunks
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    got = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Reply(start["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.fixture
def platform() -> ScriptedPlatform:
    return ScriptedPlatform()


@pytest.fixture
def call(platform: ScriptedPlatform) -> Call:
    app = asgi(platform, max_body=1000)

    async def call(
        method: str,
        target: str,
        headers: Mapping[str, str] | list[tuple[str, str]] = {},  # noqa: B006 - never changed
        body: bytes | list[bytes] | None = None,
    ) -> Reply:
        return await call_app(app, method, target, headers, body)

    return call
