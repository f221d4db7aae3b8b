"""Log lines: one event, one line, no credentials, names from one list."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.jobs.work import Step
from reverie.observe import EVENTS, redact

SOURCE = Path(__file__).parents[2] / "src" / "reverie"
PROGRAM = """
import logging, structlog
from reverie.observe import set_up
set_up({form!r})
log = structlog.get_logger().bind(worker="w1")
log.info("api.started", address="127.0.0.1:1", nested={{"api_key": "canary-1", "list": [{{"password": "canary-2"}}]}})
log.warning("script.failed", error="two\\nlines \\"quoted\\"", session_token="canary-3")
try:
    raise ValueError("oh\\nno")
except ValueError:
    log.exception("request.failed", request_id="r1")
log.debug("not shown")
logging.getLogger("uvicorn.error").warning("odd %s", "thing", extra={{"Authorization": "canary-4"}})
logging.getLogger("x").info("not shown")
"""


def lines_of(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(form=form)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    assert "canary" not in done.stderr
    return done.stderr.splitlines()


def test_json_is_one_object_for_each_event() -> None:
    events = [json.loads(line) for line in lines_of("json")]

    assert [(event["event"], event["level"]) for event in events] == [
        ("api.started", "info"),
        ("script.failed", "warning"),
        ("request.failed", "error"),
        ("library", "warning"),
    ]
    assert all(event["timestamp"].endswith("Z") for event in events)
    assert events[0]["worker"] == "w1"
    assert events[0]["nested"] == {"api_key": "***", "list": [{"password": "***"}]}
    assert "ValueError: oh\nno" in events[2]["exception"]
    assert events[3]["message"] == "odd thing"


def test_text_is_one_line_for_each_event() -> None:
    lines = lines_of("text")

    assert len(lines) == 4
    assert re.fullmatch(r"\S+Z info api\.started worker=w1 address=127\.0\.0\.1:1 nested=.*", lines[0])
    assert lines[1].endswith(r'warning script.failed worker=w1 error="two\nlines \"quoted\"" session_token=***')
    assert "ValueError: oh" in lines[2]


@pytest.mark.parametrize(
    "name", ["password", "api_key", "X-DreamFactory-API-Key", "session_token", "Authorization", "cookie", "payload"]
)
def test_what_sounds_like_a_credential_is_hidden(name: str) -> None:
    assert redact(None, "info", {"event": "x", name: "value"}) == {"event": "x", name: "***"}


def test_every_event_in_the_code_is_in_the_list() -> None:
    assert {place for place, name in told() if name not in EVENTS and "{" not in name} == set()


def test_every_event_in_the_list_is_in_the_code() -> None:
    names = {name for _, name in told()} | {f"job.{step}" for step in Step} | {"library"}

    assert set(EVENTS) - names == set()


def test_every_step_of_a_job_has_an_event() -> None:
    assert {f"job.{step}" for step in Step} <= set(EVENTS)


def told() -> list[tuple[str, str]]:
    """Where something is logged, and under which name."""
    call = re.compile(r"\b_?log\.(?:debug|info|warning|error|exception|critical)\(\s*f?\"([^\"]+)\"")
    return [
        (f"{path.relative_to(SOURCE)}: {name}", name)
        for path in SOURCE.rglob("*.py")
        if "runners" not in path.parts
        for name in call.findall(path.read_text(encoding="utf-8"))
    ]
