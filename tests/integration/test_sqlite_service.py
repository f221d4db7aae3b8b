"""What only a service on a SQLite file has to do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.errors import BadRequest, Unavailable
from reverie.model import JSON
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
