"""Which program may use which store."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from reverie.errors import SettingsError
from reverie.store.guard import NONE, Guard, State, compatible_from, trouble
from reverie.store.memory import Memory
from reverie.store.migrate import FOLDER, is_current, migrate, newest, trouble_with
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio

MIGRATION = """
from alembic import op

revision = "{number}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{additive}

def upgrade():
    op.execute("CREATE TABLE later_{number} (id INTEGER)")
"""


def newer(where: Path, *additive: bool) -> Path:
    """A folder with our migrations and more: for each whether it is additive."""
    folder = where / "migrations"
    shutil.copytree(FOLDER, folder)
    before = newest()
    for at, adds in enumerate(additive):
        number = f"{9001 + at}"
        text = MIGRATION.format(number=number, before=before, additive="additive = True" if adds else "")
        (folder / f"{number}_later.py").write_text(text)
        before = number
    return folder


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        (State("0006", "0003"), True),
        (State("0006", None), True),
        (State("0007", "0006"), True),
        (State("0008", "0005"), True),
        (State("0007", "0007"), False),
        (State("0007", None), False),
        (State("0005", "0003"), False),
        (None, False),
    ],
)
def test_a_program_that_knows_0006_can_use_what_is_its_own_or_compatible(state: State | None, usable: bool) -> None:
    assert (trouble(state, "0006") is None) is usable


def test_a_missing_and_an_older_store_are_no_newer_ones() -> None:
    assert trouble(None, "0006") == trouble(State("0005", None), "0006") == NONE


@pytest.mark.parametrize(
    ("additive", "oldest"), [((True,), None), ((True, True), None), ((False,), "9001"), ((False, True), "9001")]
)
def test_a_store_is_compatible_from_the_last_migration_that_took_something_away(
    tmp_path: Path, additive: tuple[bool, ...], oldest: str | None
) -> None:
    assert compatible_from(newer(tmp_path, *additive)) == (oldest or compatible_from(FOLDER))


def test_after_additive_migrations_an_older_program_has_nothing_to_do(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    assert migrate(store, folder=newer(tmp_path, True, True))

    assert is_current(store)
    assert not migrate(store)


def test_after_another_migration_an_older_program_neither_migrates_nor_opens(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    assert migrate(store, folder=newer(tmp_path, False, True))

    assert "brought the store to version 9002" in str(trouble_with(store))
    with pytest.raises(SettingsError, match="Start the newer one"):
        migrate(store)


@pytest.mark.parametrize("additive", [True, False])
async def test_a_running_program_notices_a_migration_that_it_cannot_live_with(
    world: World, tmp_path: Path, additive: bool
) -> None:
    memory = Memory(world.store)
    guard = Guard(memory, newest())
    assert await guard.look() is None
    before = await memory.fresh()

    migrate(world.address, folder=newer(tmp_path / "later", additive))

    async with asyncio.timeout(10):
        while await memory.fresh() == before:  # noqa: ASYNC110 - PostgreSQL's notice is heard when the loop reads it
            await asyncio.sleep(0.01)
    assert (await guard.look() is None) is additive
