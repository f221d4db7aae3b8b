"""The page of a job: one template, whose script draws what the API says and follows it.

The page holds data as JSON only, and its script puts every text in as text, so nothing that a script printed or a
client sent can become part of the page. The policy names script and style by their hashes and allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from reverie.model import JSON
from reverie.web.formats import as_json
from reverie.web.responses import Headers

_BLOCK: Final = "<{0}>(.*?)</{0}>"
_UNSAFE: Final = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What could end the element that holds the data; JSON says it otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page begins with.

    Attributes:
        entry: the job as the API tells it; None where the visitor may not see it, or not yet.
        events: path of the stream it follows; ``""`` for none.
        problem: why there is no job, in a sentence.
        now: Unix time here, for clocks that differ.
        until: when the link that shows it ends, in words; None without a link.
        asks: the visitor can say who he is.
    """

    job_id: str
    entry: Mapping[str, JSON] | None
    events: str
    now: float
    problem: str | None = None
    until: str | None = None
    asks: bool = True


def render(page: Page, status: int) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the page."""
    facts: dict[str, JSON] = {
        "id": page.job_id,
        "job": None if page.entry is None else dict(page.entry),
        "api": f"/api/v2/system/job/{quote(page.job_id, safe='')}",
        "events": page.events,
        "problem": page.problem,
        "until": page.until,
        "asks": page.asks,
        "now": page.now,
    }
    name = page.entry.get("name") if page.entry else None
    title = html.escape(f"{name} · Reverie" if isinstance(name, str) else "A job · Reverie")
    template, policy = _template()
    # In one pass, so that what was put in is never looked at again.
    parts = {"title": title, "facts": embedded(facts)}
    body = re.sub(r"\{\{(title|facts)\}\}", lambda found: parts[found[1]], template).encode("utf-8", "replace")
    return status, [*HEADERS, (b"content-security-policy", policy), (b"content-length", b"%d" % len(body))], body


def embedded(value: JSON) -> str:
    """JSON that can stand inside a ``<script>`` element."""
    return as_json(value).decode().translate(_UNSAFE)


HEADERS: Final[Headers] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept"),
    (b"referrer-policy", b"no-referrer"),  # the address may hold a signature
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


@cache
def _template() -> tuple[str, bytes]:
    """The template, and the policy that lets its own script and style run and nothing else."""
    return template("job.html")


def template(name: str) -> tuple[str, bytes]:
    """A template by its file's name, and the policy for it."""
    text = files("reverie.web").joinpath("templates", name).read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {_hashes(text, 'script')}; style-src {_hashes(text, 'style')};"
        " connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return text, policy.encode()


def _hashes(text: str, element: str) -> str:
    blocks = re.findall(_BLOCK.format(element), text, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in blocks)
