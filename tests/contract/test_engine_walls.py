"""What no script may do to us or to others: limits, reach, and the life of children. In real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from reverie.errors import ScriptCrashed, ScriptError, ScriptLimit, ScriptTimeout
from reverie.model import JSON
from reverie.scripting.engine import Engine, Limits
from reverie.scripting.pool import Pool
from tests.contract import engine_scenes as scenes
from tests.contract.engine_stage import (
    NAMES,
    V8JS,
    WITH_PROCESS,
    below,
    each_engine,
    first_line,
    is_alive,
    kill,
    make,
    need,
    pids,
    play,
    python_program,
    shared_engine,
    start,
    status_of,
    still_works,
    until,
    wait_without_the_loop,
)

pytestmark = pytest.mark.anyio
engine = shared_engine
lone = each_engine
"""Where children are counted or the engine is closed."""


# Limits: each is a clear error, and the next run works.


async def test_a_script_that_spins_is_stopped_at_its_deadline(engine: Engine) -> None:
    await still_works(engine)
    before = set(pids(engine))
    began = time.monotonic()

    with pytest.raises(ScriptTimeout, match=r"0\.3 seconds"):
        await play(engine, scenes.SPIN, limits=Limits(wall=0.3))

    assert time.monotonic() - began < 5
    assert any(not is_alive(pid) for pid in before)
    await still_works(engine)


async def test_a_script_that_allocates_without_end_is_stopped(engine: Engine) -> None:
    with pytest.raises(ScriptLimit, match="256 MiB"):
        await play(engine, scenes.ALLOCATE)
    with pytest.raises(ScriptLimit, match="256 MiB"):
        await play(engine, scenes.ALLOCATE_OUTSIDE)

    await still_works(engine)


async def test_a_flood_of_output_is_stopped(engine: Engine) -> None:
    with pytest.raises(ScriptLimit, match="printed more than 10000 bytes") as caught:
        await play(engine, scenes.FLOOD, limits=Limits(wall=20, output=10_000))

    assert len(caught.value.output) == 10_000
    with pytest.raises(ScriptLimit, match="printed more than 1048576 bytes"):
        await play(engine, scenes.ONE_HUGE_PRINT, limits=Limits(wall=20, memory=1024))
    await still_works(engine)


async def test_a_result_of_more_than_a_message_may_hold_is_an_error(engine: Engine) -> None:
    with pytest.raises(ScriptError, match="more than 64 MiB"):
        await play(engine, scenes.HUGE_RESULT, limits=Limits(wall=20, memory=1024))

    await still_works(engine)


@pytest.mark.parametrize("engine", ["python3"], indirect=True)
async def test_a_script_cannot_name_a_process_for_us_to_kill(engine: Engine) -> None:
    bystander = start("sleep", "30")
    text = f"""
import os, struct
body = b'{{"type":"started","pid":{bystander.pid}}}'
os.write(3, struct.pack('>I', len(body)) + body)
while True: pass
"""
    try:
        with pytest.raises(ScriptTimeout):
            await play(engine, text, limits=Limits(wall=0.5))
        assert is_alive(bystander.pid)
    finally:
        kill(bystander)
    await still_works(engine)


@WITH_PROCESS
async def test_a_script_that_exits_says_so_with_its_code(engine: Engine) -> None:
    for text in (scenes.EXIT, scenes.POLITE_EXIT):
        with pytest.raises(ScriptError, match=r"^Executed command returned with error code: 3$") as caught:
            await play(engine, text)
        assert type(caught.value) is ScriptError
        await still_works(engine)


@WITH_PROCESS
async def test_a_script_that_closes_the_pipe_ends_as_an_error(engine: Engine) -> None:
    with pytest.raises(ScriptError):
        await play(engine, scenes.CLOSE_PIPE, limits=Limits(wall=5))

    await still_works(engine)


@WITH_PROCESS
async def test_nonsense_on_the_pipe_ends_the_script(engine: Engine) -> None:
    with pytest.raises(ScriptCrashed, match="no message"):
        await play(engine, scenes.NONSENSE)

    await still_works(engine)


async def test_an_event_too_deep_for_json_is_an_error(engine: Engine) -> None:
    event: dict[str, JSON] = {}
    for _ in range(20_000):
        event = {"a": event}

    with pytest.raises(ScriptError):
        await play(engine, "", event=event)

    await still_works(engine)


# What a script must not reach.


@WITH_PROCESS
async def test_no_secret_is_in_reach(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_SECRET_KEY", "canary-in-the-environment")
    file = tmp_path / "key"
    file.write_text("canary-in-a-file")
    file.chmod(0o600)
    descriptor = os.open(file, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    beside = start("sleep", "30", environment={"REVERIE_SECRET_KEY": "canary-beside"})

    try:
        outcome = await play(engine, scenes.LOOK_AROUND, event={"file": str(file)})
    finally:
        os.close(descriptor)
        kill(beside)

    assert isinstance(outcome.returned, list)
    assert len(outcome.returned) > 3
    assert "canary" not in str(outcome.returned)


@V8JS
async def test_no_object_of_the_runner_is_in_reach(engine: Engine) -> None:
    for text in scenes.ESCAPES:
        assert (await play(engine, text)).returned == "undefinedundefined", text
    await still_works(engine)


@V8JS
async def test_a_script_without_permissions_says_so_of_modules(engine: Engine) -> None:
    with pytest.raises(ScriptError, match=r"^require\('fs'\): there is no file 'fs'"):
        await play(engine, "require('fs');")


async def test_nothing_is_left_behind_for_the_next_run(engine: Engine) -> None:
    for _ in range(3):
        await play(engine, scenes.LEAVE)

    assert (await play(engine, scenes.FIND)).returned == ["undefined", "undefined", "undefined"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
async def test_children_of_root_are_not_root(engine: Engine) -> None:
    await still_works(engine)

    for pid in pids(engine):
        status = status_of(pid)
        assert "Uid:\t65534\t65534\t65534\t65534" in status
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status


# Children.


async def test_two_runs_go_side_by_side(engine: Engine) -> None:
    both = asyncio.Barrier(2)

    async def meet(op: str, args: dict[str, JSON]) -> JSON:
        await both.wait()
        return {"status_code": 200, "content": "met", "content_type": None, "format": 201, "headers": {}}

    runs = [play(engine, scenes.MEET, host=meet) for _ in range(2)]

    assert [outcome.returned for outcome in await asyncio.gather(*runs)] == ["met", "met"]


async def test_more_runs_than_children_wait_for_their_turn(lone: Engine) -> None:
    outcomes = await asyncio.gather(*(play(lone, scenes.RETURNS[1][0]) for _ in range(20)))

    assert [outcome.returned for outcome in outcomes] == [0] * 20
    assert len(pids(lone)) <= 4


async def test_a_child_killed_in_a_run_is_a_crash_that_names_the_signal(engine: Engine) -> None:
    async def kill_all(op: str, args: dict[str, JSON]) -> JSON:
        for pid in pids(engine):
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(20)
        return None

    with pytest.raises(ScriptCrashed, match="signal 9"):
        await play(engine, scenes.ONE_CALL, host=kill_all)

    await still_works(engine)


async def test_a_child_found_dead_is_replaced_and_the_run_knows_nothing_of_it(engine: Engine) -> None:
    await still_works(engine)
    for _ in range(3):
        killed = pids(engine)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # The loop must not hear of it before the run begins.
        wait_without_the_loop(lambda: not any(is_alive(pid) for pid in killed))  # noqa: B023 - called at once
        await still_works(engine)


async def test_a_cancelled_run_takes_its_child_with_it(lone: Engine) -> None:
    await still_works(lone)
    await until(lambda: len(pids(lone)) == 2)
    before = pids(lone)
    task = asyncio.create_task(play(lone, scenes.SPIN))
    await asyncio.sleep(0.1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert any(not is_alive(pid) for pid in before)
    await still_works(lone)


async def test_domains_do_not_share_a_child(lone: Engine) -> None:
    await play(lone, "", domain="a")
    await until(lambda: len(pids(lone)) == 2)
    await play(lone, "", domain="b")
    await until(lambda: len(pids(lone)) == 3)
    three = pids(lone)

    await play(lone, "", domain="a")
    await play(lone, "", domain="b")

    assert len(three) == 3
    assert pids(lone) == three


async def test_a_fresh_run_has_a_process_of_its_own_that_ends_with_it(lone: Engine) -> None:
    await still_works(lone)
    await until(lambda: len(pids(lone)) == 2)
    before = pids(lone)

    await play(lone, scenes.RETURNS[1][0], fresh=True)

    assert await until(lambda: sum(is_alive(pid) for pid in before) == 1)


@pytest.mark.parametrize("name", NAMES)
async def test_a_child_that_has_run_often_goes_on_until_another_is_warm(name: str) -> None:
    need(name)
    engine = make(name, size=1, recycle=3)
    assert isinstance(engine, Pool)
    engine._wanted = 0  # no spare is made
    await engine.start()
    [first] = pids(engine)
    for _ in range(4):
        await play(engine, scenes.NO_RETURN)
    assert pids(engine) == [first]

    engine._wanted = 1
    for _ in range(2):
        await play(engine, scenes.NO_RETURN)
        assert await until(lambda: len(pids(engine)) == 2)

    assert first not in pids(engine)
    await engine.close()


async def test_closing_ends_every_child_at_once(lone: Engine) -> None:
    running = asyncio.create_task(play(lone, scenes.SPIN))
    await asyncio.sleep(0.1)
    children = pids(lone)

    await lone.close()

    assert children
    assert not any(is_alive(pid) for pid in children)
    with pytest.raises(ScriptError):
        await running


HOST_PROGRAM = """
import asyncio, sys
from tests.contract import engine_scenes as scenes
from tests.contract.engine_stage import make, run_of

async def main():
    engine = make(sys.argv[1])
    await engine.start()
    await engine.run(run_of(engine, scenes.NO_RETURN))
    run = asyncio.create_task(engine.run(run_of(engine, scenes.SPIN)))
    await asyncio.sleep(0.5)
    while len(engine.facts()["pids"]) < 2:  # a spare comes as soon as the machine has time for it
        await asyncio.sleep(0.05)
    print(*engine.facts()["pids"], flush=True)
    await run

asyncio.run(main())
"""


@pytest.mark.parametrize("name", NAMES)
async def test_children_end_with_a_killed_parent(name: str) -> None:
    need(name)
    host = python_program(HOST_PROGRAM, name)
    children = below([int(pid) for pid in first_line(host).split()])
    alive_before = [pid for pid in children if is_alive(pid)]

    kill(host)

    assert len(alive_before) >= 2
    assert await until(lambda: not any(is_alive(pid) for pid in children))
