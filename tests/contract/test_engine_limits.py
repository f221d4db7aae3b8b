"""Limits of runs and fairness between services, in every language, in real processes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from reverie.errors import CannotIsolate, ScriptLimit, ScriptsBusy, ScriptTimeout
from reverie.model import JSON
from reverie.scripting import pool
from reverie.scripting.engine import Engine, Limits
from reverie.scripting.walls import Rules, Walls
from tests.contract import engine_scenes as scenes
from tests.contract.engine_stage import (
    NAMES,
    WITH_PROCESS,
    below,
    make,
    need,
    pids,
    play,
    run_of,
    shared_engine,
    still_works,
    until,
)

pytestmark = pytest.mark.anyio
engine = shared_engine
MANY: scenes.Scene = scenes.process_scene(
    "for (var i = 0; i < 80; i++) { require('child_process').spawn('sleep', ['30'], {stdio: 'ignore'}); }"
    " return new Promise(function () { setTimeout(function () {}, 20000); });",
    "import subprocess, time\nfor i in range(80): subprocess.Popen(['sleep', '30'])\ntime.sleep(20)",
    php="for ($i = 0; $i < 80; $i++) { proc_open(['sleep', '30'], [], $pipes[$i]); } sleep(20);",
)
ALLOCATE_BELOW: scenes.Scene = scenes.process_scene(
    "require('child_process').execSync('python3 -c \"import time; x = bytearray(700 << 20); time.sleep(20)\"');",
    "import os, time\nfor i in range(8):\n    if os.fork() == 0:\n        x = bytearray(100 << 20)\n"
    "        time.sleep(20)\n        os._exit(0)\ntime.sleep(20)",
    php="for ($i = 0; $i < 8; $i++) { if (pcntl_fork() === 0) { $x = str_repeat('x', 100 << 20); sleep(20); } }"
    " sleep(20);",
)


async def test_a_script_that_uses_a_processor_for_too_long_is_stopped(engine: Engine) -> None:
    await still_works(engine)

    with pytest.raises(ScriptLimit, match=r"more than 0\.3 seconds of processor time"):
        await play(engine, scenes.SPIN, limits=Limits(wall=20, cpu=0.3))

    await still_works(engine)


async def test_what_runs_before_used_is_not_counted(engine: Engine) -> None:
    for _ in range(3):
        with pytest.raises(ScriptTimeout):
            await play(engine, scenes.SPIN, limits=Limits(wall=0.25, cpu=0.5))


@WITH_PROCESS
async def test_processes_that_a_script_starts_count_and_end_with_it(engine: Engine) -> None:
    for text, told in ((MANY, "more than 64 processes"), (ALLOCATE_BELOW, "256 MiB")):
        await still_works(engine)
        known = below(pids(engine))

        with pytest.raises(ScriptLimit, match=told):
            await play(engine, text)

        await still_works(engine)
        assert await until(lambda known=known: len(below(pids(engine)) - known) < 8)  # type: ignore[misc]  # a default holds the loop's value


async def test_one_slow_service_cannot_keep_another_waiting(engine: Engine) -> None:
    """It holds all places, and more of its runs wait."""
    end = asyncio.Event()

    async def hold(op: str, args: dict[str, JSON]) -> JSON:
        await end.wait()
        return {"status_code": 200, "content": None, "content_type": None, "format": 201, "headers": {}}

    slow = [run_of(engine, scenes.ONE_CALL, host=hold, owner="slow") for _ in range(6)]
    running = [asyncio.create_task(engine.run(run)) for run in slow]
    await until(lambda: engine.facts()["waiting"] == 4)

    outcome = await asyncio.wait_for(engine.run(run_of(engine, scenes.RETURNS[1][0], owner="quick")), 5)

    assert outcome.returned == 0
    end.set()
    await asyncio.gather(*running)


@pytest.mark.parametrize("name", NAMES)
async def test_waiting_ends_in_a_refusal_that_says_when_to_come_back(name: str) -> None:
    need(name)
    engine = make(name, size=1, rules=Rules(patience=0.05))
    spinning = asyncio.create_task(play(engine, scenes.SPIN, limits=Limits(wall=1)))
    await until(lambda: bool(pids(engine)))

    with pytest.raises(ScriptsBusy) as caught:
        await play(engine, scenes.NO_RETURN)

    assert caught.value.headers["Retry-After"].isdigit()
    with pytest.raises(ScriptTimeout):
        await spinning
    await still_works(engine)
    await engine.close()


@WITH_PROCESS
async def test_scripts_that_this_machine_cannot_hold_do_not_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for walls, domain in (
        (Walls(landlock=7, seccomp=False, root=True), ""),
        (Walls(landlock=0, seccomp=True, root=False), ""),
        (Walls(landlock=0, seccomp=True, root=True), "service a"),
    ):
        monkeypatch.setattr(pool, "walls_here", lambda walls=walls: walls)
        with pytest.raises(CannotIsolate, match="REVERIE_SCRIPT_SANDBOX=weak"):
            await play(engine, scenes.NO_RETURN, domain=domain)
    monkeypatch.setattr(pool, "walls_here", lambda: Walls(landlock=0, seccomp=True, root=True))
    await still_works(engine)


async def test_a_run_that_comes_while_the_engine_warms_up_waits_for_the_same_child() -> None:
    engine = make("python3")
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)

    await still_works(engine)

    assert len(pids(engine)) == 1
    await starting
    await engine.close()


@WITH_PROCESS
async def test_a_process_stopped_by_its_script_does_not_stop_the_engine(engine: Engine) -> None:
    await still_works(engine)
    text = scenes.process_scene(
        "process.kill(process.pid, 'SIGSTOP');",
        "import os\nos.kill(os.getppid(), 19)",
        php="posix_kill(posix_getppid(), SIGSTOP);",
    )

    with contextlib.suppress(ScriptTimeout):
        await play(engine, text, limits=Limits(wall=1))

    await still_works(engine)


async def test_a_child_that_has_grown_is_replaced() -> None:
    need("nodejs")
    engine = make("nodejs", size=1, rules=Rules(growth=24))
    await engine.start()
    first = set(pids(engine))
    hoard = "process.hoard = (process.hoard || []).concat(Buffer.alloc(4 << 20, 1));"

    for _ in range(17):
        await play(engine, hoard)

    assert not first & set(pids(engine))
    await engine.close()
