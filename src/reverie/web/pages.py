"""What surrounds the API: health, status, the set-up page, and a word for who opens the root."""

from __future__ import annotations

import asyncio
import html
from importlib.metadata import version
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from reverie.errors import ReverieError
from reverie.model import Request as Call
from reverie.web.docs_page import docs_page
from reverie.web.job_answers import JobLinks
from reverie.web.metrics import CONTENT_TYPE, Requests, exposition
from reverie.web.parameters import read_parameters
from reverie.web.platform import Platform
from reverie.web.requests import ASGIApp

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_TEXT: Final = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
_MOST_FORM_BYTES: Final = 64 * 1024
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem; color: #222 }}
label {{ display: block; margin-top: 1rem }}
input {{ width: 100%; padding: .5rem; font: inherit; box-sizing: border-box }}
button {{ margin-top: 1.5rem; padding: .6rem 1.2rem; font: inherit }}
.problem {{ color: #a00 }}
</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
_FORM: Final = """<p>Nobody can sign in yet. Make the first administrator; this link works once.</p>
{problem}
<form method="post">
<label>E-mail <input name="email" type="email" required autocomplete="username" value="{email}"></label>
<label>Name <input name="name" autocomplete="name" value="{name}"></label>
<label>Password <input name="password" type="password" required autocomplete="new-password"></label>
<button>Make administrator</button>
</form>"""


def pages(platform: Platform, requests: Requests) -> ASGIApp:
    """Routes that need no credentials, and ``/metrics``, which is not for all.

    ``/``, ``/status``, ``/live``, ``/ready``, ``/setup/{token}``, ``/docs``, ``/jobs/{id}``.
    """

    async def root(request: Request) -> Response:
        links = (
            '<p>The API answers under <a href="/api/v2">/api/v2</a>, and <a href="/docs">/docs</a> describes it;'
            ' <a href="/ready">/ready</a> says how it is.</p>'
        )
        return _page("Reverie", links)

    async def status(request: Request) -> Response:
        address = str(request.base_url).rstrip("/")
        return JSONResponse({"uri": address, "managed": False, "name": "Reverie", "version": version("reverie")})

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        facts = await platform.ready()
        return JSONResponse(dict(facts), status_code=200 if facts.get("ready") else 503)

    async def metrics(request: Request) -> Response:
        try:
            await platform.may_scrape(_as_call(request), peer=_peer(request))
        except ReverieError as error:
            return JSONResponse(error.response().content, status_code=error.status, headers=error.headers)
        text = await asyncio.to_thread(exposition, requests, await platform.measure())
        return Response(text, headers=_TEXT)

    async def set_up(request: Request) -> Response:
        token = request.path_params["token"]
        if not platform.set_up_open(token):
            return _page("Set-up", "<p>This link is not good, or was used already.</p>", status=404)
        if request.method != "POST":
            return _page("Set-up", _FORM.format(problem="", email="", name=""))
        return await _make_administrator(platform, token, request)

    return Starlette(
        routes=[
            Route("/", root),
            Route("/status", status),
            Route("/live", live),
            Route("/ready", ready),
            Route("/metrics", metrics),
            Route("/setup/{token}", set_up, methods=["GET", "POST"]),
            Route("/docs", docs_page),
            Route("/jobs/{job_id}", JobLinks(platform), methods=["GET"]),
        ]
    )


def _as_call(request: Request) -> Call:
    """As access to it is decided: like a resource of the system's."""
    return Call(
        method="GET",
        service="system",
        resource="metrics",
        parameters=read_parameters(request.url.query),
        headers={name.lower(): value for name, value in request.headers.items()},
    )


def _peer(request: Request) -> str | None:
    """Who asks; None behind a proxy, which is on this machine although its client need not be."""
    forwarded = any(name in request.headers for name in _FORWARDED)
    return None if forwarded or request.client is None else request.client.host


async def _make_administrator(platform: Platform, token: str, request: Request) -> Response:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_FORM_BYTES:
            return _page("Set-up", "<p>This form is too large.</p>", status=413)
    fields = read_parameters(content.decode("utf-8", "replace"))
    email, name, password = (str(fields.get(key, "")) for key in ("email", "name", "password"))
    try:
        await platform.set_up(token, email.strip(), password, name.strip())
    except ReverieError as error:
        problem = f'<p class="problem">{html.escape(error.message)}</p>'
        form = _FORM.format(problem=problem, email=html.escape(email), name=html.escape(name))
        return _page("Set-up", form, status=error.status)
    return _page("Done", f"<p>{html.escape(email)} is the administrator. The API is open.</p>", status=201)


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, body=body), status_code=status, headers=_HEADERS)
