"""The page of a job: what it may do, and that nothing breaks out of its data."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from reverie.model import JSON
from reverie.web.job_page import Page, render

NASTY = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>&amp;\u2028{{facts}}{{title}}\ud800"


def page(job: dict[str, JSON] | None) -> tuple[dict[str, str], str]:
    """Headers and text."""
    _, headers, body = render(Page(job_id="a-job", entry=job, events="/e", now=1.5), 200)
    return {name.decode(): value.decode() for name, value in headers}, body.decode()


def job_in(text: str) -> JSON:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    job: JSON = json.loads(found[1])["job"]
    return job


@pytest.mark.parametrize("field", ["name", "status", "note", "id"])
def test_what_a_script_or_a_client_wrote_stays_data(field: str) -> None:
    job: dict[str, JSON] = {"name": "fine", "attempts": [{"output": NASTY}], "error": {"excerpt": NASTY}, field: NASTY}

    _, text = page(job)

    assert job_in(text) == job
    assert text.count("<script") == 2
    assert "<img" not in text
    assert "alert(1)</" not in text


def test_the_name_of_a_job_in_the_title_is_text() -> None:
    _, text = page({"name": "<b>&"})

    assert "<title>&lt;b&gt;&amp; · Reverie</title>" in text


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else() -> None:
    headers, text = page(None)
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))

    for element in ("script", "style"):
        [block] = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy.pop(f"{element}-src") == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_nothing_in_the_page_needs_more_than_the_policy_allows() -> None:
    _, text = page(None)

    assert not re.search(
        r"\son\w+=|style=|javascript:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
    )
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", text)
    assert "http://" not in text
    assert "https://" not in text


def test_the_page_is_kept_nowhere_and_tells_its_address_to_nobody() -> None:
    headers, _ = page(None)

    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["vary"] == "accept"
