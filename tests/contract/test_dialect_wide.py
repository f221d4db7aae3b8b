"""Many tables with many columns: read once, then known."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.database import Connection
from tests.contract.sql_stage import DIALECTS, Db, Opener, items, resources

pytestmark = pytest.mark.anyio

FULL = os.environ.get("REVERIE_TEST_PROFILE") == "full"
TABLES = 500 if FULL else 100
COLUMNS = 40


@pytest.fixture(params=DIALECTS)
async def wide(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Db]:
    opener = Opener(request.param, tmp_path)
    making = opener()

    async def make(connection: Connection) -> None:
        columns = ", ".join(f"c{number} varchar(40)" for number in range(1, COLUMNS - 1))
        for number in range(TABLES):
            before = f"REFERENCES wide{number - 1} (id)" if number else ""
            await connection.execute(
                f"CREATE TABLE wide{number} (id integer PRIMARY KEY, up integer {before}, {columns})"
            )

    await making.database.write(make)
    yield opener()
    await opener.close()


async def test_many_wide_tables_are_described_soon_and_then_at_once(
    wide: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    first = await wide.get("_schema/wide7")
    first_took = time.monotonic() - began
    later = []
    for number in range(20):
        began = time.monotonic()
        described = await wide.get(f"_schema/wide{number}")
        later.append(time.monotonic() - began)
        assert isinstance(described, dict)

    with capsys.disabled():
        print(f"\n{wide.name}: {TABLES} tables, first {first_took:.2f} s,", end=" ")
        print(f"later {statistics.median(later) * 1000:.1f} ms; load {os.getloadavg()[0]:.1f}")
    assert isinstance(first, dict)
    assert isinstance(first["field"], list)
    assert len(first["field"]) == COLUMNS
    assert len(items(await wide.get("_schema"))) >= TABLES
    assert [one["name"] for one in resources(await wide.get("_schema/wide7/_related"))] == [
        "wide6_by_up", "wide8_by_up",
    ]  # fmt: skip
    assert first_took < 5
    assert statistics.median(later) < 0.02


async def test_a_table_that_was_changed_is_seen_at_once_among_many(wide: Db) -> None:
    await wide.get("_schema/wide7")
    wide.run("ALTER TABLE wide7 ADD COLUMN late varchar(9)")

    described = await wide.get("_schema/wide7", refresh="true")

    assert isinstance(described, dict)
    assert isinstance(described["field"], list)
    assert len(described["field"]) == COLUMNS + 1
