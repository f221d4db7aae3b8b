"""What only a service on a SQLite file has to do."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from reverie.database import Row, Value
from reverie.errors import BadRequest, Unavailable
from reverie.model import JSON
from reverie.sqlite_connection import SqliteConnection
from tests.contract.sql_stage import Opener, connect

pytestmark = pytest.mark.anyio


@pytest.fixture
async def open_db(tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener("sqlite", tmp_path)
    yield opener
    await opener.close()


async def test_a_read_that_takes_too_long_is_ended(open_db: Opener) -> None:
    raw = connect(open_db.folder / "sample.db")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS id FROM n"
    raw.execute(f"CREATE VIEW slow AS {endless}")
    raw.close()
    db = open_db(statement_timeout=1)
    began = time.monotonic()

    refused = await db.refused("GET", "_table/slow")

    assert isinstance(refused, Unavailable)
    assert refused.message == "The database ended a statement that took too long."
    assert time.monotonic() - began < 10
    assert await db.ids("_table/tag") == [1, 2, 3]


@pytest.mark.parametrize("seconds", ["soon", 0, -1, 3601])
async def test_a_time_that_is_none_is_refused(open_db: Opener, seconds: JSON) -> None:
    with pytest.raises(BadRequest, match="statement_timeout must be 1 to 3600 seconds"):
        open_db(statement_timeout=seconds)


async def test_a_filter_that_was_short_and_is_no_more_leaves_the_event_loop(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = connect(open_db.folder / "sample.db")
    raw.execute("CREATE TABLE grows (id INTEGER PRIMARY KEY, name TEXT)")
    raw.execute("INSERT INTO grows VALUES (1, 'few')")
    raw.commit()
    db, threads = open_db(), set[str]()
    fetch = SqliteConnection.fetch

    async def noting(self: SqliteConnection, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        if "few" in values:
            threads.add(threading.current_thread().name)
        return await fetch(self, sql, values)

    monkeypatch.setattr(SqliteConnection, "fetch", noting)

    async def where_it_runs() -> set[str]:
        threads.clear()
        assert await db.ids("_table/grows", filter="name = 'few'") == [1]
        return {name.partition("-")[0] for name in threads}

    assert await where_it_runs() == {"read"}, "nothing is known of it"
    assert await where_it_runs() == {"MainThread"}
    numbers = "WITH RECURSIVE n(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM n LIMIT 400000)"
    raw.execute(f"INSERT INTO grows SELECT x, 'many' FROM ({numbers} SELECT x FROM n)")
    raw.commit()
    raw.close()

    assert await where_it_runs() == {"MainThread", "read"}, "it has to give the loop back"
    assert await where_it_runs() == {"read"}
