from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.store.world import World, new_world


@pytest.fixture
async def file_world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    """On SQLite, where a test is about that."""
    async with new_world(tmp_path) as world:
        yield world


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with new_world(tmp_path, request.param) as world:
        yield world
