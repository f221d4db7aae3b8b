"""The page that shows what services can do: one template, whose script reads `api_docs` as whoever looks at it.

It asks nobody but this server, and puts every text in as text. The policy names its script and style by their hashes.
"""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from reverie.web.job_page import HEADERS, template


async def docs_page(request: Request) -> Response:
    text, policy = _page()
    headers = {name.decode(): value.decode() for name, value in HEADERS}
    return Response(text, headers={**headers, "content-security-policy": policy.decode()})


@cache
def _page() -> tuple[str, bytes]:
    return template("docs.html")
