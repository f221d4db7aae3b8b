"""What a DreamFactory 7.3.3 answered, asked again: see recorded/README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import ADMIN, Server, running

RECORDED = Path(__file__).parent / "recorded"
REACHED = (
    "queue", "events", "event-scripts", "script-services", "scripts", "gate", "records-read", "filters", "formats",
    "related", "batch", "records-write", "schema", "apps", "lookups", "users", "access", "openapi", "services",
)  # fmt: skip
ON_POSTGRESQL = ("routines",)
"""Areas about what SQLite does not have: test_recordings_elsewhere.py."""
OTHERS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir() and path.name not in REACHED + ON_POSTGRESQL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: the recordings count the tables of the sample, and other tests add theirs."""
    with running(tmp_path_factory.mktemp("recorded") / "data") as started:
        yield started


def replay(server: Server, tmp_path: Path, *areas: str) -> list[dict[str, object]]:
    out = tmp_path / "report.json"
    command = [sys.executable, str(RECORDED / "replay.py"), "--base", server.base, "--admin", ":".join(ADMIN)]
    command += ["--db", "db", "--json", str(out), *(str(RECORDED / area) for area in areas)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert out.exists(), ran.stdout + ran.stderr
    print(ran.stdout)
    report: list[dict[str, object]] = json.loads(out.read_text("utf-8"))
    return report


def failures(scenario: dict[str, object]) -> list[str]:
    steps = scenario.get("steps", [])
    assert isinstance(steps, list)
    return [f"{step['id']}: {line}" for step in steps for line in step["failures"]]


def counts(report: list[dict[str, object]], area: str) -> str:
    scenarios = [scenario for scenario in report if scenario["area"] == area]
    skipped = [scenario for scenario in scenarios if "skipped" in scenario]
    failed = [scenario for scenario in scenarios if failures(scenario)]
    passed = len(scenarios) - len(skipped) - len(failed)
    return f"{area:<18} {passed} passed, {len(failed)} failed, {len(skipped)} skipped"


@pytest.mark.parametrize("area", REACHED)
def test_the_recorded_answers_of_an_area_come_back(
    server: Server, tmp_path: Path, area: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = replay(server, tmp_path, area)

    with capsys.disabled():
        print(f"\nrecorded: {counts(report, area)}")
    failed = {str(scenario["name"]): failures(scenario) for scenario in report if failures(scenario)}
    skipped = [str(scenario["name"]) for scenario in report if "skipped" in scenario]
    assert (failed, skipped) == ({}, [])


def test_areas_not_yet_reached_are_named(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = replay(server, tmp_path, *OTHERS)

    with capsys.disabled():
        print("\n" + "\n".join(f"not yet reached: {counts(report, area)}" for area in OTHERS))
    assert {str(scenario["area"]) for scenario in report} == set(OTHERS)
