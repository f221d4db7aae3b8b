"""A list that comes in parts → chunks of a body. It has no length; one that cannot be finished ends its connection."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from reverie.model import Parts, Response
from reverie.web.formats import Pieces, pieces
from reverie.web.responses import Headers, Wish, add_headers, encode_response, list_format
from reverie.web.streams import Stream

_ANY: Final = Response(content={})


async def encode_parts(
    response: Response, parts: Parts, wish: Wish, *, bodiless: bool = False
) -> tuple[int, Headers, bytes | Stream]:
    """As `encode_response`, for a response with `parts`; these are closed when the body is, or at once without one.

    Args:
        bodiless: only the head is wanted.
    """
    kind, bare, head = list_format(wish)
    if kind is None:
        await parts.rest.aclose()
        return encode_response(_ANY, wish)
    add_headers(head, response.headers)
    if bodiless:
        await parts.rest.aclose()
        return response.status, head, b""
    return response.status, head, _body(parts, pieces(kind, wrapped=bool(parts.meta) or not bare))


async def _body(parts: Parts, form: Pieces) -> Stream:
    async with aclosing(parts.rest):
        yield form.opening(parts.first) + form.part(parts.first, first=True)
        async for records in parts.rest:
            yield form.part(records, first=False)
        yield form.closing(parts.meta)
