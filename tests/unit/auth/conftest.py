from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.auth.door import Door
from tests.unit.store.world import World, new_world


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with new_world(tmp_path) as world:
        yield world


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    door = Door(world)
    await door.furnish()
    yield door
    await door.auth.close()
