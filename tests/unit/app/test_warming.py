"""Languages are warmed when somebody uses them, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from reverie.app.warming import keep_warm
from reverie.scripting.engine import Engine, Outcome, Run
from reverie.store.memory import Memory
from tests.unit.store.world import World, new_world

pytestmark = pytest.mark.anyio


class Cold:
    """An engine that only notes that it was started."""

    label = description = missing = ""
    sandboxed = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1

    async def run(self, run: Run) -> Outcome:
        raise AssertionError("nothing is run here")

    def facts(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> None: ...


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with new_world(tmp_path) as made:
        yield made


class Warming:
    """`keep_warm` over three engines, looked at after each of its looks."""

    def __init__(self, world: World) -> None:
        self.engines = {name: Cold(name) for name in ("v8js", "nodejs", "php")}
        self.looked = asyncio.Event()
        self.again = asyncio.Event()
        engines = cast("Mapping[str, Engine]", self.engines)
        self.task = asyncio.create_task(keep_warm(engines, Memory(world.store), self))

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.looked.set()
        await self.again.wait()
        self.again.clear()

    async def warm(self) -> list[str]:
        """The languages that are warm after one more look."""
        self.looked.clear()
        self.again.set()
        await asyncio.wait_for(self.looked.wait(), 5)
        return [engine.name for engine in self.engines.values() if engine.starts]


async def test_only_the_languages_of_active_scripts_are_warm_and_others_become_so_when_saved(world: World) -> None:
    await world.event_script("db._table.todo.get.post_process", type="nodejs")
    await world.event_script("db._table.todo.post.post_process", type="php", is_active=False)
    warming = Warming(world)

    await asyncio.wait_for(warming.looked.wait(), 5)
    assert await warming.warm() == ["nodejs"]
    await world.service("answers", type="v8js")
    assert await warming.warm() == ["v8js", "nodejs"]
    other = world.other_process()
    await other.event_script("db._table.todo.put.post_process", type="php")
    await other.close()
    assert await warming.warm() == ["v8js", "nodejs", "php"]
    warming.again.set()
    await asyncio.wait_for(warming.task, 5)

    assert [engine.starts for engine in warming.engines.values()] == [1, 1, 1]
