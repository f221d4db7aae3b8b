"""Which scripts share a child, and what each run is told that it may."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import CannotIsolate
from reverie.events.limits import Allowance, Isolation
from reverie.events.runs import ScriptRuns
from reverie.model import ANONYMOUS, JSON, Context, Request, Response, Script
from reverie.outgoing import Outgoing
from reverie.scripting.engine import Limits, Outcome, Run
from reverie.scripting.library import Library

pytestmark = pytest.mark.anyio


class Noting:
    """An engine that keeps what it was asked to run."""

    label = description = missing = ""

    def __init__(self, *, sandboxed: bool = False) -> None:
        self.name = "nodejs"
        self.sandboxed = sandboxed
        self.runs: list[Run] = []

    async def start(self) -> None: ...

    async def run(self, run: Run) -> Outcome:
        self.runs.append(run)
        return Outcome(event=run.event)

    def facts(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> None: ...


class Nothing:
    async def get(self, script: str, name: str) -> JSON:
        return None

    async def set(self, script: str, name: str, value: JSON) -> None: ...


async def nobody(request: Request) -> Response:
    return Response(status=404)


async def played(engine: Noting, level: Isolation, *scripts: str, sockets: bool = False, **config: JSON) -> list[Run]:
    allowance = Allowance(limits=Limits(), isolation=level)
    runs = ScriptRuns(
        {"nodejs": engine}, Outgoing(), Nothing(), {}, Library(Path("none")), allowance=allowance, sockets=sockets
    )
    for identifier in scripts:
        script = Script(identifier=identifier, language="nodejs", content="", config=config)
        await runs.run(script, {}, Context(caller=ANONYMOUS, call=nobody))
    return engine.runs


@pytest.mark.parametrize(
    ("level", "domains", "fresh"),
    [("instance", 1, False), ("service", 2, False), ("script", 4, False), ("run", 4, True)],
)
async def test_scripts_share_a_child_as_the_level_says(level: Isolation, domains: int, fresh: bool) -> None:
    scripts = ["db.todo.get.queued", "DB.todo.put.queued", "db.todo.put.queued", "service.db", "other.get.queued"]

    runs = await played(Noting(), level, *scripts)

    assert len({run.domain for run in runs}) == domains
    assert {run.fresh for run in runs} == {fresh}
    assert [run.owner for run in runs] == ["db", "db", "db", "db", "other"]
    assert (runs[0].domain == "") is (level == "instance")


async def test_a_script_of_a_service_is_not_taken_for_a_service_of_its_name() -> None:
    [service] = await played(Noting(), "service", "service.a")
    [script] = await played(Noting(), "script", "service.a")

    assert service.domain != script.domain


async def test_a_script_is_run_with_its_own_limits_and_level() -> None:
    [run] = await played(Noting(), "instance", "db.get", limits={"wall": 2, "memory": 64}, isolation="run")

    assert (run.limits.wall, run.limits.memory, run.limits.calls, run.fresh) == (2, 64, 1000, True)


async def test_a_script_held_to_hosts_does_not_run_where_it_could_open_sockets() -> None:
    limits: JSON = {"hosts": ["api.example.test"]}
    with pytest.raises(CannotIsolate, match="REVERIE_SCRIPT_SOCKETS=open"):
        await played(Noting(), "instance", "db.get", sockets=True, limits=limits)

    assert await played(Noting(sandboxed=True), "instance", "db.get", sockets=True, limits=limits)
    assert await played(Noting(), "instance", "db.get", limits=limits)
