"""The page that describes the API, over the wire and in a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.browser import Browser, chromium
from tests.acceptance.server import Server


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path) as opened:
        yield opened


def test_the_page_runs_only_its_own_script_and_asks_nobody_else(server: Server) -> None:
    page = server.call("GET", "/docs")
    text = page.body.decode()

    assert page.status == 200
    policy = page.headers["content-security-policy"]
    for element in ("script", "style"):
        [block] = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"https?://|innerHTML|document\.write", text)


def test_a_visitor_sees_what_the_role_allows_after_saying_who_it_is(server: Server, browser: Browser) -> None:
    browser.open(f"{server.base}/docs")
    browser.wait_for("Without one, nothing is shown here")

    browser.fill("credential", server.key)
    browser.press("Show")
    browser.wait_for("/_table/{table_name}")
    services = "[...document.querySelectorAll('#services button')].map((one) => one.innerText).join()"
    assert browser.evaluate(services) == "db"

    browser.fill("credential", server.admin)
    browser.press("Show")
    browser.wait_for("system")
    browser.press("system")
    browser.wait_for("/role/{id}")
    browser.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.wait_for("Read one role.")
    assert browser.complaints == []
    assert browser.evaluate("document.cookie") == ""

    browser.press("Forget it")
    browser.wait_for("Without one, nothing is shown here")
    assert browser.evaluate("document.getElementById('service').childElementCount") == 0
