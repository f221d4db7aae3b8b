"""An engine that is closed leaves no process, whatever it was doing."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from reverie.scripting.program import children_of
from tests.contract import engine_scenes as scenes
from tests.contract.engine_stage import NAMES, make, need, play, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", range(6))
async def test_closing_waits_for_a_child_that_is_ready_in_that_moment(name: str, steps: int) -> None:
    """*steps* of the loop after it hears of it: a child that nobody waits for stays as a zombie."""
    need(name)
    before = children_of(os.getpid())
    engine = make(name, size=1)
    await engine.start()
    run = asyncio.create_task(play(engine, scenes.NO_RETURN))  # which takes the spare, so that another is started
    assert await until(lambda: len(children_of(os.getpid())) == len(before) + 2)
    await run
    time.sleep(1)  # noqa: ASYNC251 - the loop shall hear late that the other is ready
    for _ in range(steps):
        await asyncio.sleep(0)

    await engine.close()

    assert children_of(os.getpid()) == before
