"""Which program may use which store, also while the store is brought to a newer version.

A migration file that says ``additive = True`` takes nothing away from programs that know nothing of it. After
migrating, the store holds the number of the oldest migration whose program can still use it, so an older program
decides without knowing the newer migrations: it goes on, or refuses to start, or, when it runs already, ends.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import select, table
from sqlalchemy.sql import column

from reverie.database import DatabaseError
from reverie.errors import Unavailable
from reverie.store.memory import Memory
from reverie.store.tables import fact

COMPATIBLE: Final = "schema_compatible_from"
"""The fact that holds that number."""
NONE: Final = "there is no store of this version; reverie migrate makes one"

_FILES: Final = "[0-9][0-9][0-9][0-9]_*.py"
_ADDITIVE: Final = re.compile(r"^additive = True$", re.MULTILINE)


class State(NamedTuple):
    """What a store says of itself: its newest migration, and the oldest that a program must know."""

    number: str
    compatible_from: str | None


STATE: Final = select(
    column("version_num"),
    select(fact.c.value).where(fact.c.name == COMPATIBLE).scalar_subquery().label("compatible_from"),
).select_from(table("alembic_version"))
"""A `State`, of a store that has one."""


def newest_in(folder: Path) -> str:
    """The number of the newest migration, such as ``0002``."""
    return max(file.name[:4] for file in folder.glob(_FILES))


def compatible_from(folder: Path) -> str:
    """The oldest migration after which all others are additive."""
    files = sorted(folder.glob(_FILES), reverse=True)
    for file in files:
        if not _ADDITIVE.search(file.read_text(encoding="utf-8")):
            return file.name[:4]
    return files[-1].name[:4]


def after_migrating(folder: Path) -> list[str]:
    """What is run last, in the same transaction: tells every process, now and later, what the store has become."""
    number = compatible_from(folder)  # four digits of a file's name
    return [
        f"DELETE FROM fact WHERE name = '{COMPATIBLE}'",  # noqa: S608 - our own names
        f"INSERT INTO fact (name, value) VALUES ('{COMPATIBLE}', '{number}')",  # noqa: S608 - our own names
        "UPDATE settings_version SET version = version + 1",
    ]


def trouble(state: State | None, newest: str) -> str | None:
    """Why a program cannot use a store; None when it can.

    Args:
        newest: the newest migration that the program knows.
    """
    if state is None or state.number < newest:
        return NONE
    if state.number == newest or (state.compatible_from is not None and state.compatible_from <= newest):
        return None
    return (
        f"a newer Reverie has brought the store to version {state.number}; this one knows {newest} and cannot use it."
        " Start the newer one, or restore the backup from before"
    )


class Guard:
    """Notices that the store has become one that this process cannot use.

    Args:
        newest: the newest migration that this program knows.
    """

    def __init__(self, memory: Memory, newest: str) -> None:
        self._memory = memory
        self._newest = newest
        self._stamp = -1
        self.trouble: str | None = None

    async def look(self) -> str | None:
        """Why the store cannot be used any more; None when it can, or cannot be reached. Cheap: asks what moved."""
        if self.trouble is None:
            try:
                stamp = await self._memory.fresh()
                if stamp != self._stamp:
                    await self._read()
                    self._stamp = stamp
            except Unavailable:
                pass
            except DatabaseError:
                await self._read_anyway()
        return self.trouble

    async def _read(self) -> None:
        row = await self._memory.store.fetch_one(STATE)
        if row is not None:
            known = row["compatible_from"]
            state = State(str(row["version_num"]), None if known is None else str(known))
            self.trouble = trouble(state, self._newest)

    async def _read_anyway(self) -> None:
        """Not even the version of the settings can be read: perhaps because the tables are others."""
        try:
            await self._read()
        except (DatabaseError, Unavailable):
            return
