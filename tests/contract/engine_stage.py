"""What the engine scenes need around them: engines, a platform to ask, and a look at processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from reverie.model import JSON, Script
from reverie.scripting.engine import Engine, Limits, Outcome, Run
from reverie.scripting.engines import deno, nodejs, php, python
from reverie.scripting.library import Library
from reverie.scripting.pool import RULES
from reverie.scripting.walls import Rules
from tests.contract import engine_scenes as scenes
from tests.contract.engine_scenes import Scene

AVAILABLE = {
    "v8js": deno.available,
    "typescript": deno.available,
    "nodejs": nodejs.available,
    "python3": python.available,
    "php": php.available,
}
NAMES = ["v8js", "typescript", "nodejs", "python3", "php"]
WITH_PROCESS = pytest.mark.parametrize("engine", ["nodejs", "python3", "php"], indirect=True)
"""v8js scripts have no process to end and no descriptor to write to."""
WITH_JAVASCRIPT = pytest.mark.parametrize("engine", ["v8js", "typescript", "nodejs"], indirect=True)
V8JS = pytest.mark.parametrize("engine", ["v8js", "typescript"], indirect=True)
TYPESCRIPT = pytest.mark.parametrize("engine", ["typescript"], indirect=True)
NODEJS = pytest.mark.parametrize("engine", ["nodejs"], indirect=True)
PHP = pytest.mark.parametrize("engine", ["php"], indirect=True)
PYTHON3 = pytest.mark.parametrize("engine", ["python3"], indirect=True)

Host = Callable[[str, dict[str, JSON]], Awaitable[JSON]]


def make(name: str, *, size: int = 2, recycle: int = 1000, rules: Rules = RULES) -> Engine:
    match name:
        case "v8js" | "typescript":
            return deno.DenoEngine(typed=name == "typescript", size=size, recycle=recycle, rules=rules)
        case "nodejs":
            return nodejs.NodeEngine(size=size, recycle=recycle, rules=rules)
        case "php":
            return php.PhpEngine(size=size, recycle=recycle, rules=rules)
        case _:
            return python.PythonEngine(size=size, recycle=recycle, rules=rules)


def need(name: str) -> None:
    """A runtime missing on a laptop is a skip; where everything was installed for the tests, it is a failure."""
    if not AVAILABLE[name]():
        reason = f"no runtime for {name} on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(params=NAMES)
async def each_engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """One engine at a time, started and closed; test modules call it `engine`."""
    need(request.param)
    made = make(request.param)
    await made.start()
    yield made
    await made.close()


@pytest.fixture(scope="module", params=NAMES)
async def shared_engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """One engine at a time for all tests of a module, none of which may mind what ran before; they call it `engine`."""
    need(request.param)
    made = make(request.param)
    await made.start()
    yield made
    await made.close()


class Platform:
    """A host that notes what it was asked and answers with it.

    Args:
        folder: the script library; without it there is only what comes with Reverie.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.asked: list[tuple[str, dict[str, JSON]]] = []
        self.library = Library(folder or Path("/nowhere"))

    async def __call__(self, op: str, args: dict[str, JSON]) -> JSON:
        if op == "require":
            return await self.library.module(str(args["name"]), str(args["from"]), str(args["known"]))
        self.asked.append((op, args))
        await asyncio.sleep(0)
        if op == "store.get":
            return args["default"]
        if op == "store.set":
            return None
        content: JSON = {"asked": args["path"]}
        return {"status_code": 201, "content": content, "content_type": None, "format": 201, "headers": {}}


def run_of(
    engine: Engine,
    text: str | Scene,
    *,
    event: dict[str, JSON] | None = None,
    host: Host | None = None,
    limits: Limits | None = None,
    domain: str = "",
    owner: str = "",
    fresh: bool = False,
) -> Run:
    content = text if isinstance(text, str) else text[engine.name]
    return Run(
        script=Script(identifier="scene", language=engine.name, content=content),
        event={"request": {"method": "GET"}} if event is None else event,
        platform={"session": {"user": {"id": 9}}, "config": {"api_version": "2.0"}},
        host=host or Platform(),
        limits=limits or Limits(wall=20),
        domain=domain,
        owner=owner,
        fresh=fresh,
    )


async def play(
    engine: Engine,
    text: str | Scene,
    *,
    event: dict[str, JSON] | None = None,
    host: Host | None = None,
    limits: Limits | None = None,
    domain: str = "",
    fresh: bool = False,
) -> Outcome:
    run = run_of(engine, text, event=event, host=host, limits=limits, domain=domain, fresh=fresh)
    return await engine.run(run)


async def still_works(engine: Engine) -> None:
    outcome = await play(engine, scenes.RETURNS[0][0])
    assert outcome.returned == scenes.RETURNS[0][1]


def pids(engine: Engine) -> list[int]:
    return list(engine.facts()["pids"])


def is_alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def until(condition: Callable[[], bool], *, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0.01)  # processes end when they end
    return condition()


def below(pids: list[int]) -> set[int]:
    """The processes, and all that descend from them."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def start(*command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def python_program(text: str, *arguments: str) -> subprocess.Popen[str]:
    return start(sys.executable, "-c", text, *arguments)


def wait_without_the_loop(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)
