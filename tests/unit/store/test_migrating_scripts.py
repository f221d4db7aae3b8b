"""Scripts that were there before versions were kept have one after the migration."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.store.address import StoreAddress
from reverie.store.migrate import FOLDER, migrate
from reverie.store.script_versions import script_at
from tests.postgres import database_url
from tests.unit.store.world import MovableClock, World

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def empty(kind: str, folder: Path) -> Iterator[StoreAddress]:
    if kind == "sqlite":
        yield StoreAddress(file=folder / "store.db")
        return
    with database_url(migrated=False) as url:
        yield StoreAddress.parse(url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_is_there_is_the_first_version(kind: str, tmp_path: Path, anyio_backend: str) -> None:
    older = tmp_path / "older"
    older.mkdir()
    for file in FOLDER.glob("*.py"):
        if file.name < "0008":
            shutil.copy(file, older)
    with empty(kind, tmp_path) as address:
        migrate(address, folder=older)
        world = World(address, MovableClock())
        try:
            await world.event_script("DB.get.queued", content="one", config=json.dumps({"delay": 3}), version=4)
            await world.service("shop")
            config = json.dumps({"content": "two", "config": {"queue": "q"}})
            math = await world.service("math", type="python3", config=config, version=2)

            migrate(address)

            event = await script_at(world.store, "db.get.queued", 4)
            service = await script_at(world.store, f"service:{math}", 2)
            assert event is not None
            assert service is not None
            assert (event.identifier, event.content, event.config) == ("DB.get.queued", "one", {"delay": 3})
            assert (service.identifier, service.language, service.content) == ("service.math", "python3", "two")
            assert service.config == {"queue": "q"}
            assert await script_at(world.store, "db.get.queued", 1) is None
        finally:
            await world.close()
