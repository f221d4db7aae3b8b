"""What is not sent twice, and what is sent smaller."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from tests.unit.web.conftest import ScriptedPlatform, call_app
from tests.unit.web.test_long_lists import PARTS, in_parts

from reverie.model import JSON, Response
from reverie.web.app import asgi

pytestmark = pytest.mark.anyio

LONG: JSON = {"resource": [{"id": number, "name": "a name"} for number in range(200)]}
TABLE = "/api/v2/db/_table/todo"


def answering(response: Response) -> Any:
    return asgi(ScriptedPlatform(respond=lambda request: response))


async def test_an_answer_carries_a_tag_and_is_not_sent_again_to_who_has_it() -> None:
    app = answering(Response(content=LONG))
    first = await call_app(app, "GET", TABLE)

    again = await call_app(app, "GET", TABLE, {"If-None-Match": first.headers["etag"]})

    assert first.headers["etag"].startswith('W/"')
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers
    for headers in (first.headers, again.headers):
        assert headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("known", ['"{}"', 'W/"x", W/"{}"', "*", '"x","{}"'])
async def test_tags_are_compared_weakly_and_in_lists(known: str) -> None:
    app = answering(Response(content=LONG))
    tag = (await call_app(app, "GET", TABLE)).headers["etag"][3:-1]

    assert (await call_app(app, "GET", TABLE, {"If-None-Match": known.format(tag)})).status == 304


async def test_another_body_is_sent_whatever_the_client_has() -> None:
    tag = (await call_app(answering(Response(content=LONG)), "GET", TABLE)).headers["etag"]

    other = await call_app(answering(Response(content={"resource": []})), "GET", TABLE, {"If-None-Match": tag})

    assert (other.status, other.headers["etag"] == tag) == (200, False)


@pytest.mark.parametrize(
    ("method", "path", "response"),
    [
        ("POST", TABLE, Response(content=LONG)),
        ("GET", TABLE, Response(status=404, content=LONG)),
        ("GET", "/api/v2/system/role", Response(content=LONG)),
        ("GET", "/api/v2/user/session", Response(content=LONG)),
        ("GET", TABLE, Response(content=LONG, headers={"Cache-Control": "no-store"})),
    ],
)
async def test_what_is_no_plain_read_has_no_tag(method: str, path: str, response: Response) -> None:
    assert "etag" not in (await call_app(answering(response), method, path)).headers


async def test_a_tag_of_the_services_own_stays() -> None:
    app = answering(Response(content=LONG, headers={"ETag": '"mine"'}))
    assert (await call_app(app, "GET", TABLE)).headers["etag"] == '"mine"'


async def test_a_long_answer_goes_out_as_gzip_to_who_takes_it() -> None:
    app = answering(Response(content=LONG))
    plain = await call_app(app, "GET", TABLE)

    packed = await call_app(app, "GET", TABLE, {"Accept-Encoding": "br, gzip"})

    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 4
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"] == plain.headers["etag"]
    head = await call_app(app, "HEAD", TABLE, {"Accept-Encoding": "gzip"})
    assert (head.body, head.headers["content-length"]) == (b"", packed.headers["content-length"])


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        (TABLE, {"Accept-Encoding": "gzip"}, {"resource": []}),
        (TABLE, {"Accept-Encoding": "gzip;q=0, br"}, LONG),
        (TABLE, {"Accept-Encoding": "br"}, LONG),
        (TABLE, {"Accept-Encoding": "gzip", "Authorization": "Basic eDp5"}, LONG),
        ("/api/v2/system/role", {"Accept-Encoding": "gzip"}, LONG),
        ("/api/v2/user/session", {"Accept-Encoding": "gzip"}, LONG),
    ],
)
async def test_what_is_short_or_beside_a_secret_is_not_compressed(
    path: str, headers: dict[str, str], content: JSON
) -> None:
    answer = await call_app(answering(Response(content=content)), "GET", path, headers)
    assert "content-encoding" not in answer.headers


async def test_bytes_that_are_no_text_are_not_compressed() -> None:
    app = answering(Response(content=b"\0" * 5000, content_type="image/png"))
    assert "content-encoding" not in (await call_app(app, "GET", TABLE, {"Accept-Encoding": "gzip"})).headers


async def test_a_list_in_parts_goes_out_as_gzip() -> None:
    plain = await call_app(answering(in_parts(PARTS)), "GET", TABLE)
    packed = await call_app(answering(in_parts(PARTS)), "GET", TABLE, {"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.body) == plain.body
