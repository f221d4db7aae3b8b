"""The recorded answers on PostgreSQL, and with plans that are not kept: byte for byte what comes with kept ones."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.acceptance.server import ADMIN, Server, running
from tests.acceptance.test_recordings import RECORDED, counts, failures, replay
from tests.postgres import sample_place

ON_POSTGRESQL = (
    "records-read", "records-write", "filters", "formats", "related", "batch", "schema", "routines", "openapi",
    "access", "gate",
)  # fmt: skip
PLANNED = (
    "records-read", "records-write", "filters", "formats", "related", "batch", "schema", "openapi", "access", "gate",
    "records-read", "filters",
)  # fmt: skip
"""Reads come twice: the second time their plans are there."""


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = sample_place()
    with running(tmp_path_factory.mktemp("recorded") / "data", REVERIE_WORKERS="0") as server:
        known = server.as_admin("GET", "/api/v2/system/service?filter=name='db'&fields=id").json["resource"]
        assert server.as_admin("DELETE", f"/api/v2/system/service/{known[0]['id']}").status == 200
        record = {"name": "db", "label": "Sample", "type": "pgsql", "is_active": True, "config": place.config}
        made = server.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
        assert made.status == 201, made.body
        yield server
    place.drop()


@pytest.mark.parametrize("area", ON_POSTGRESQL)
def test_the_recorded_answers_of_an_area_come_back_on_postgresql(
    on_postgresql: Server, tmp_path: Path, area: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = replay(on_postgresql, tmp_path, area)

    with capsys.disabled():
        print(f"\nrecorded, on PostgreSQL: {counts(report, area)}")
    failed = {str(scenario["name"]): failures(scenario) for scenario in report if failures(scenario)}
    skipped = [str(scenario["name"]) for scenario in report if "skipped" in scenario]
    assert (failed, skipped) == ({}, [])


_KEY = re.compile(r"(?<=_key=)[^&]+|(?<=_token=)[^&]+")


class Listening:
    """The replayer's client, noting what services on data answer to whom."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.heard: list[tuple[str, str, int, str]] = []

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Any:
        answer = self._inner.send(method, path, headers, body)
        if path.startswith(("/api/v2/db/", "/api/db/", "/api/v2.0/db/")):
            self.heard.append((method, _KEY.sub("", path), answer.status, answer.text))
        return answer


def replayer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The replayer with names that are the same in every run."""
    spec = importlib.util.spec_from_file_location("recorded_replay", RECORDED / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    numbers = itertools.count(1)
    monkeypatch.setattr(module.secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}")
    return module


def heard_from(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int, str]]:
    with monkeypatch.context() as patch:
        module: Any = replayer(patch)
        client = Listening(module.Client(server.base))
        under_test = module.Server(client, ":".join(ADMIN), "db")
        for area in PLANNED:
            for scenario in module.load([str(RECORDED / area)]):
                module.run_scenario(under_test, scenario, False)
    return client.heard


def test_plans_that_are_not_kept_change_no_byte_of_any_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "kept", REVERIE_WORKERS="0") as server:
        kept = heard_from(server, monkeypatch)
    with running(tmp_path / "none", REVERIE_WORKERS="0", REVERIE_SQL_PLANS="none") as server:
        none = heard_from(server, monkeypatch)

    assert len(kept) > 200
    assert [one for pair in zip(kept, none, strict=True) if pair[0] != pair[1] for one in pair] == []
