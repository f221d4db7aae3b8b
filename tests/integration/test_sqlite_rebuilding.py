"""A table of SQLite that is made anew for a change of a column: all that hangs on it is still there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.sql_stage import Db, Opener, connect, resources

pytestmark = pytest.mark.anyio

TABLES = """
CREATE TABLE "owner" (id INTEGER PRIMARY KEY AUTOINCREMENT, code VARCHAR(5) UNIQUE, age VARCHAR(9) NOT NULL DEFAULT '1',
  size DECIMAL(5,2) UNIQUE, half INTEGER GENERATED ALWAYS AS (id / 2) VIRTUAL, CHECK (age <> 'x'));
CREATE INDEX owner_age ON owner (age);
CREATE TABLE log (text TEXT);
CREATE TRIGGER noted AFTER INSERT ON owner BEGIN INSERT INTO log VALUES (new.code); END;
CREATE VIEW old AS SELECT id, age FROM owner WHERE age > 5;
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner_code VARCHAR(5) REFERENCES owner (code) ON DELETE CASCADE,
  owner_size VARCHAR(5) REFERENCES owner (size));
INSERT INTO owner (id, code, age, size) VALUES (1, 'a', '7', 2.5), (2, '02', '8', 3), (9, 'z', '9', 4);
INSERT INTO pet VALUES (1, 'a', '2.50'), (2, '02', '3');
DELETE FROM owner WHERE id = 9;
"""


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Db]:
    opener = Opener("sqlite", tmp_path)
    raw = connect(tmp_path / "sample.db")
    raw.executescript(TABLES)
    raw.close()
    yield opener()
    await opener.close()


async def test_what_hangs_on_a_table_outlives_the_change_of_a_column(db: Db) -> None:
    await db.ask("PATCH", "_schema/owner/_field/age", {"type": "integer", "allow_null": True})

    assert await db.ids("_table/pet") == [1, 2]  # a table that is dropped would have taken them along
    assert await db.get("_table/old", order="id") == {"resource": [{"id": 1, "age": 7}, {"id": 2, "age": 8}]}
    await db.ask("POST", "_table/owner", {"resource": [{"code": "b", "age": None}]})
    made = await db.get("_table/owner", filter="code=b", fields="*")
    assert resources(made) == [
        {"id": 10, "code": "b", "age": None, "size": None, "half": 5}
    ]  # the key goes on where it was
    assert resources(await db.get("_table/log"))[-1] == {"text": "b"}
    assert (await db.refused("POST", "_table/pet", {"resource": [{"owner_code": "?"}]})).status == 400
    assert (await db.refused("PATCH", "_table/owner/1", {"code": "b"})).status == 409
    raw = connect(db.path)
    indexes = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql <> ''")}
    assert "owner_age" in indexes
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


async def test_a_change_that_does_not_fit_what_is_there_leaves_the_table_as_it_was(db: Db) -> None:
    before = await db.get("_schema/owner")
    rows = await db.get("_table/owner", order="id")

    assert (await db.refused("PATCH", "_schema/owner/_field/code", {"type": "integer"})).status == 400
    # The owner would be 2.5, and the pet of 2.50 nobody's.
    assert (await db.refused("PATCH", "_schema/owner/_field/size", {"type": "string"})).status == 409
    assert (await db.refused("PATCH", "_schema/owner/_field/age", {"length": 0})).status == 400
    await db.ask("POST", "_table/owner", {"resource": [{"code": None}]})
    refused = await db.refused("PATCH", "_schema/owner/_field/code", {"allow_null": False})
    assert (refused.status, "owner.code" in refused.message) == (400, True)
    assert before == await db.get("_schema/owner")
    assert resources(rows) == resources(await db.get("_table/owner", order="id"))[:2]
