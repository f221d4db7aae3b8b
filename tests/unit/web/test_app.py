"""The door and the pages around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from tests.unit.web.conftest import Call, ScriptedPlatform

from reverie.cli.listener import listen
from reverie.cli.server import server_of
from reverie.errors import NotFound, Unavailable
from reverie.model import JSON, Request, Response
from reverie.web.app import asgi

pytestmark = pytest.mark.anyio


async def test_a_call_reaches_the_platform_and_its_answer_the_client(call: Call, platform: ScriptedPlatform) -> None:
    reply = await call("POST", "/api/v2/db/_table/todo?fields=id", {"Content-Type": "application/json"}, b'{"a":1}')

    assert (reply.status, reply.text) == (200, '{"ok":true}')
    (request,) = platform.seen
    assert (request.method, request.service, request.resource) == ("POST", "db", "_table/todo")
    assert (request.parameters, request.payload, request.content) == ({"fields": "id"}, {"a": 1}, b'{"a":1}')


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/", "/api", "/api/"])
async def test_the_root_of_the_api_is_the_index(call: Call, path: str) -> None:
    reply = await call("GET", path)

    assert (reply.status, reply.text) == (200, '{"services":[]}')


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/db", "/api/v2/system/environment"])
async def test_without_an_administrator_the_api_answers_503(call: Call, platform: ScriptedPlatform, path: str) -> None:
    platform.initialised = False

    reply = await call("GET", path)

    assert reply.status == 503
    assert json.loads(reply.body)["error"]["message"] == "Instance is not initialised."
    assert platform.seen == []


async def test_head_is_answered_like_get_without_a_body(call: Call, platform: ScriptedPlatform) -> None:
    reply = await call("HEAD", "/api/v2/db/_table/category/1")

    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == "11"
    assert platform.seen[0].method == "GET"


async def test_options_needs_no_key_and_names_the_verbs(call: Call, platform: ScriptedPlatform) -> None:
    reply = await call("OPTIONS", "/api/v2/db/_table/category/1")

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["allow"] == "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
    assert platform.seen == []


@pytest.mark.parametrize(("verb", "headers"), [("BREW", {}), ("MERGE", {}), ("POST", {"X-HTTP-Method": "BREW"})])
async def test_an_unknown_verb_is_405(
    call: Call, platform: ScriptedPlatform, verb: str, headers: dict[str, str]
) -> None:
    reply = await call(verb, "/api/v2/db/_table/category/1", headers, b"{}")

    assert reply.status == 405
    assert list(json.loads(reply.body)) == ["message"]
    assert "allow" in reply.headers
    assert platform.seen == []


async def test_the_verb_of_a_post_is_taken_from_the_header(call: Call, platform: ScriptedPlatform) -> None:
    await call("POST", "/api/v2/db/_table/tag", {"X-HTTP-Method": "GET"}, b'{"ids":[1]}')

    assert (platform.seen[0].method, platform.seen[0].payload) == ("GET", {"ids": [1]})


@pytest.mark.parametrize("body", [b"x" * 1001, [b"x" * 600, b"x" * 600], [b"x"] * 1001])
async def test_a_body_over_the_limit_is_413(call: Call, platform: ScriptedPlatform, body: bytes | list[bytes]) -> None:
    reply = await call("POST", "/api/v2/db/_table/tag", {}, body)

    assert reply.status == 413
    assert json.loads(reply.body)["error"]["code"] == 413
    assert platform.seen == []


async def test_a_body_in_pieces_is_put_together(call: Call, platform: ScriptedPlatform) -> None:
    await call("POST", "/api/v2/db/_table/tag", {}, [b'{"a"', b":", b"1}"])

    assert platform.seen[0].payload == {"a": 1}


async def test_a_get_may_have_a_body(call: Call, platform: ScriptedPlatform) -> None:
    await call("GET", "/api/v2/db/_table/tag", {}, b'{"ids":[1]}')

    assert platform.seen[0].payload == {"ids": [1]}


async def test_a_broken_body_reaches_the_platform_with_the_reason(call: Call, platform: ScriptedPlatform) -> None:
    await call("POST", "/api/v2/db/_table/tag", {"Content-Type": "application/json"}, b'{"a"')

    assert platform.seen[0].payload is None
    assert "not valid JSON" in (platform.seen[0].payload_error or "")
    assert platform.seen[0].content == b'{"a"'


async def test_deep_json_is_a_clear_400(call: Call, platform: ScriptedPlatform) -> None:
    reply = await call("POST", "/api/v2/db/_table/tag", {}, b"[" * 500 + b"]" * 500)

    assert reply.status == 400
    assert "nested deeper" in json.loads(reply.body)["error"]["message"]
    assert platform.seen == []


async def test_an_error_is_the_error_object_with_its_headers(call: Call, platform: ScriptedPlatform) -> None:
    def refuse(request: Request) -> Response:
        raise Unavailable("too busy", headers={"Retry-After": "2"})

    platform.respond = refuse

    reply = await call("GET", "/api/v2/db")

    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert reply.text == '{"error":{"code":503,"context":null,"message":"too busy","status_code":503}}'


async def test_the_text_of_an_error_is_not_escaped_for_html(call: Call, platform: ScriptedPlatform) -> None:
    def refuse(request: Request) -> Response:
        raise NotFound('Table "a&b" <nope>')

    platform.respond = refuse

    assert json.loads((await call("GET", "/api/v2/db")).body)["error"]["message"] == 'Table "a&b" <nope>'


async def test_an_unexpected_error_tells_the_client_an_id_and_the_log_the_rest(
    call: Call, platform: ScriptedPlatform
) -> None:
    def fall_over(request: Request) -> Response:
        raise RuntimeError("the hidden cause")

    platform.respond = fall_over

    with structlog.testing.capture_logs() as lines:
        reply = await call("GET", "/api/v2/db/x", {"X-Request-Id": "seen-before.1"})

    assert reply.status == 500
    error = json.loads(reply.body)["error"]
    assert list(error) == ["code", "context", "message", "status_code"]
    assert "hidden" not in reply.text
    assert "seen-before.1" in error["message"]
    assert [(line["event"], line["request_id"], line["path"]) for line in lines] == [
        ("request.failed", "seen-before.1", "/api/v2/db/x")
    ]


async def test_an_answer_that_cannot_be_encoded_is_500(call: Call, platform: ScriptedPlatform) -> None:
    deep: JSON = []
    for _ in range(5000):
        deep = [deep]
    platform.respond = lambda request: Response(content=deep)

    with structlog.testing.capture_logs():
        assert (await call("GET", "/api/v2/db")).status == 500


@pytest.mark.parametrize("given", ["", "two words", "a\u00e9", "x" * 129, "a;b"])
async def test_an_odd_request_id_is_replaced(call: Call, platform: ScriptedPlatform, given: str) -> None:
    first = await call("GET", "/api/v2/db", {"X-Request-Id": given})
    second = await call("GET", "/api/v2/db", {"X-Request-Id": given})

    assert first.headers["x-request-id"] not in ("", given, second.headers["x-request-id"])
    assert platform.ids == [first.headers["x-request-id"], second.headers["x-request-id"]]


async def test_a_sane_request_id_is_kept_in_every_answer(call: Call) -> None:
    for method in ("GET", "OPTIONS", "BREW"):
        reply = await call(method, "/api/v2/db", {"X-Request-Id": "abc-1_2:3.4"})
        assert reply.headers["x-request-id"] == "abc-1_2:3.4"


async def test_live_and_status_need_nothing(call: Call, platform: ScriptedPlatform) -> None:
    platform.initialised = False

    assert (await call("GET", "/live")).status == 200
    status = await call("GET", "/status")
    assert (status.status, json.loads(status.body)["uri"]) == (200, "http://api.example.test")
    assert (await call("GET", "/")).status == 200
    assert (await call("GET", "/nothing")).status == 404


async def test_ready_says_why_not(call: Call, platform: ScriptedPlatform) -> None:
    assert (await call("GET", "/ready")).status == 200

    platform.facts = {"ready": False, "store": "migrations are missing"}
    reply = await call("GET", "/ready")

    assert (reply.status, json.loads(reply.body)["store"]) == (503, "migrations are missing")


async def test_the_set_up_link_makes_one_administrator(call: Call, platform: ScriptedPlatform) -> None:
    platform.token = "t0"

    form = await call("GET", "/setup/t0")
    weak = await call("POST", "/setup/t0", {}, b"email=%22%3E%3Cb%3E%40x.test&password=short&name=A")
    made = await call("POST", "/setup/t0", {}, b"email=a%40x.test&password=long+enough&name=A+B")
    again = await call("POST", "/setup/t0", {}, b"email=b%40x.test&password=long+enough")

    assert form.status == 200
    assert '<form method="post">' in form.text
    assert "form-action 'self'" in form.headers["content-security-policy"]
    assert weak.status == 400
    assert "too short" in weak.text
    assert "<b>" not in weak.text
    assert "short&" not in weak.text
    assert made.status == 201
    assert again.status == 404
    assert platform.administrators == [("a@x.test", "long enough", "A B")]


async def test_a_wrong_set_up_link_is_404(call: Call, platform: ScriptedPlatform) -> None:
    platform.token = "t0"

    assert (await call("GET", "/setup/t1")).status == 404
    assert (await call("POST", "/setup/t1", {}, b"email=a%40x.test&password=long+enough")).status == 404
    assert platform.administrators == []


# -- behind the real server


@asynccontextmanager
async def served(platform: ScriptedPlatform) -> AsyncIterator[int]:
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    server = server_of(asgi(platform, max_body=1024 * 1024), [])
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield port
    finally:
        server.should_exit = True
        await task


async def exchange(port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head


async def test_50_mib_are_refused_and_the_server_goes_on(platform: ScriptedPlatform) -> None:
    size = 50 * 1024 * 1024
    start = b"POST /api/v2/db HTTP/1.1\r\nHost: x\r\n"
    async with served(platform) as port:
        known = await exchange(port, start + b"Content-Length: %d\r\n\r\n" % size, *[b"x" * 1024 * 1024] * 50)
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        unknown = await exchange(port, start + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 50)
        after = await exchange(port, b"GET /api/v2/db HTTP/1.1\r\nHost: x\r\n\r\n")

    assert known.startswith(b"HTTP/1.1 413 ")
    assert unknown.startswith(b"HTTP/1.1 413 ")
    assert after.startswith(b"HTTP/1.1 200 ")
    assert len(platform.seen) == 1


@pytest.mark.parametrize("verb", [b"BREW", b"get", b"MERGE", b"PURGE"])
async def test_a_verb_that_http_does_not_know_is_405_too(platform: ScriptedPlatform, verb: bytes) -> None:
    async with served(platform) as port:
        head = await exchange(port, verb + b" /api/v2/db HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        broken = await exchange(port, b"GET /api/v2/db HTTP/7.7\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"allow: GET, POST" in head
    assert broken.startswith(b"HTTP/1.1 400 ")
    assert platform.seen == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(platform: ScriptedPlatform) -> None:
    async with served(platform) as port:
        with structlog.testing.capture_logs() as lines:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /api/v2/db HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
            await writer.drain()
            writer.close()
            after = await exchange(port, b"GET /api/v2/db HTTP/1.1\r\nHost: x\r\n\r\n")

    assert after.startswith(b"HTTP/1.1 200 ")
    assert [line["event"] for line in lines if line["event"] == "request.failed"] == []
    assert [request.method for request in platform.seen] == ["GET"]
