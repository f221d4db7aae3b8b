"""Lists that come in parts, as bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from tests.unit.web.conftest import ScriptedPlatform, call_app

from reverie.model import JSON, Parts, Response
from reverie.web.app import asgi

pytestmark = pytest.mark.anyio

TABLE = "/api/v2/db/_table/todo"


def answering(response: Response) -> Any:
    return asgi(ScriptedPlatform(respond=lambda request: response))


def in_parts(parts: Sequence[Sequence[dict[str, JSON]]], **meta: JSON) -> Response:
    async def rest() -> AsyncGenerator[Sequence[dict[str, JSON]], None]:
        for part in parts[1:]:
            yield part

    return Response(parts=Parts(first=parts[0], rest=rest(), meta=meta))


PARTS: tuple[list[dict[str, JSON]], ...] = (
    [{"id": 1, "name": "a"}, {"id": 2, "name": 'b,"c"'}],
    [{"id": 3, "name": None}],
    [{"id": 4, "name": "<é>"}],
)
WHOLE: JSON = {"resource": [one for part in PARTS for one in part]}


@pytest.mark.parametrize(
    "query", ["", "?accept=application/xml", "?accept=text/csv", "?wrap=false", "?file=x.csv", "?file=x.json"]
)
@pytest.mark.parametrize("meta", [{}, {"count": 9}])
async def test_a_list_in_parts_reads_like_the_whole_one(query: str, meta: dict[str, JSON]) -> None:
    whole = answering(Response(content={**WHOLE, **({"meta": meta} if meta else {})}))  # type: ignore[dict-item] # a map
    parted = answering(in_parts(PARTS, **meta))

    expected = await call_app(whole, "GET", TABLE + query)
    found = await call_app(parted, "GET", TABLE + query)

    assert found.body == expected.body
    for name in ("content-type", "content-disposition"):
        assert found.headers.get(name) == expected.headers.get(name)
    assert "content-length" not in found.headers


async def test_nobody_gets_a_list_in_a_form_that_is_not_there() -> None:
    answer = await call_app(answering(in_parts(PARTS)), "GET", TABLE, {"Accept": "image/png"})
    assert answer.status == 400


async def test_the_head_of_a_list_in_parts_is_sent_alone() -> None:
    answer = await call_app(answering(in_parts(PARTS)), "HEAD", TABLE)
    assert (answer.status, answer.body) == (200, b"")
    assert "etag" not in answer.headers
