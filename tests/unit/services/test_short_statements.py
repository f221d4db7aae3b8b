"""Which statements may stay on the event loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.database import Connection
from reverie.services.sql.execute import _timed
from reverie.services.sql.statements import LONG_FOR, SHORT, Statement
from reverie.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


def test_a_statement_that_was_long_counts_as_long_for_a_while() -> None:
    statement = Statement("SELECT 1", [])
    assert not statement.is_short

    statement.took(SHORT / 2)
    assert statement.is_short
    statement.took(SHORT * 2)

    for _ in range(LONG_FOR):
        assert not statement.is_short
        statement.took(SHORT / 2)
    assert statement.is_short


async def test_one_that_had_to_leave_the_event_loop_is_long_however_little_it_computed(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "some.db")
    statement = Statement("SELECT 1", [])
    statement.took(SHORT / 2)

    async def work(connection: Connection) -> int:
        return len(await connection.fetch(statement.sql))

    timed = _timed(work, statement)
    await database.read(timed, quick=False)
    assert statement.is_short
    await database.read(timed, quick=False)  # the same unit once more: its first run was given up

    assert not statement.is_short
    await database.close()
