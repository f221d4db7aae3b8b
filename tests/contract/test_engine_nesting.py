"""Scripts that wait for scripts: a pool of one child must not wait for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from reverie.model import JSON, Script
from reverie.scripting.engine import Engine, Limits, Run
from tests.contract.engine_stage import NAMES, make, need, pids

pytestmark = pytest.mark.anyio
DEEPEST = 3
CALLS = {
    "v8js": "return platform.api.get('deeper').content;",
    "typescript": "return platform.api.get('deeper').content as string;",
    "nodejs": "return platform.api.get('deeper').then(function (r) { return r.content; });",
    "python3": "return platform.api.get('deeper')['content']",
    "php": "return $platform['api']->get('deeper')['content'];",
}


@pytest.fixture(params=NAMES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """With room for one run."""
    need(request.param)
    made = make(request.param, size=1)
    await made.start()
    yield made
    await made.close()


class Descent:
    """A platform whose every call runs a script one deeper, and notes how many ran at once at each depth."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now: dict[int, int] = {}
        self.most: dict[int, int] = {}

    async def run(self, depth: int) -> str:
        async def host(op: str, args: dict[str, JSON]) -> JSON:
            self.now[depth] = self.now.get(depth, 0) + 1
            self.most[depth] = max(self.most.get(depth, 0), self.now[depth])
            content: JSON = await self.run(depth + 1) if depth < DEEPEST else "bottom"
            self.now[depth] -= 1
            return {"status_code": 200, "content": content, "content_type": None, "format": 201, "headers": {}}

        script = Script(identifier="scene", language=self.engine.name, content=CALLS[self.engine.name])
        platform: dict[str, JSON] = {"session": {}, "config": {}}
        run = Run(script=script, event={}, platform=platform, host=host, limits=Limits(wall=20), depth=depth)
        returned = (await self.engine.run(run)).returned
        assert isinstance(returned, str)
        return returned


async def test_runs_that_nest_deeper_than_the_pool_is_wide_end(engine: Engine) -> None:
    descent = Descent(engine)

    ends = await asyncio.wait_for(asyncio.gather(*(descent.run(0) for _ in range(2))), 15)

    assert ends == ["bottom", "bottom"]


async def test_many_runs_side_by_side_nest_without_more_children_than_places(engine: Engine) -> None:
    descent = Descent(engine)

    ends = await asyncio.wait_for(asyncio.gather(*(descent.run(depth) for depth in (0, 1, 1, 2, 2, 3))), 15)

    assert ends == ["bottom"] * 6
    assert descent.most == {0: 1, 1: 1, 2: 1, 3: 1}
    await asyncio.sleep(0)  # a child that came up in this very step is looked at, and ended, in the next
    assert len(pids(engine)) <= 2  # one that waits for the next run, and a spare
