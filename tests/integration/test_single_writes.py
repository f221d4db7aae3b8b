"""Writes that are one statement of their own: connections that die before, meanwhile, and those that never answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from reverie import pooling
from reverie.database import Connection, DatabaseBusy
from reverie.errors import Unavailable
from reverie.mysql.database import MysqlDatabase
from reverie.postgresql.database import PostgresqlDatabase
from tests.contract.sql_stage import Opener
from tests.mysql_server import shared_mysql
from tests.postgres import shared_server

pytestmark = pytest.mark.anyio

TAGS: Final = "_table/tag"
SLOW: Final = {
    "postgresql": (
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('tries'); PERFORM pg_sleep(5); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION slow()",
    ),
    "mysql": (
        "CREATE TABLE tries (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TRIGGER slow BEFORE INSERT ON tag FOR EACH ROW BEGIN INSERT INTO tries VALUES (NULL); DO SLEEP(5); END",
    ),
}
TRIES: Final = {
    "postgresql": "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries",
    "mysql": "SELECT count(*) FROM tries",
}
SLEEPS: Final = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep' AND db = DATABASE()",
}
SLEEP: Final = {"postgresql": "SELECT 1 FROM pg_sleep(5)", "mysql": "SELECT SLEEP(5)"}


@pytest.fixture(params=["postgresql", "mysql"])
async def opener(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    made = Opener(request.param, tmp_path)
    yield made
    await made.close()


@pytest.fixture
def end_all(opener: Opener) -> Callable[[], int]:
    """Ends every connection of the service, and does not let the event loop see it."""
    database = str(opener.settings["database"])
    server = shared_mysql() if opener.name == "mysql" else shared_server()
    end = server.kill_connections if opener.name == "mysql" else server.kill_backends  # type: ignore[union-attr]  # one has one, the other the other

    def ended() -> int:
        count: int = end(database)
        time.sleep(0.1)
        return count

    return ended


def _number(opener: Opener, asked: str) -> int:
    database = str(opener.settings["database"])
    server = shared_mysql() if opener.name == "mysql" else shared_server()
    return int(server.ask(asked, database=database)[0][0])


async def test_a_connection_that_died_unseen_is_replaced_before_the_statement(
    opener: Opener, end_all: Callable[[], int]
) -> None:
    db = opener()
    await db.ask("POST", TAGS, {"id": 50, "label": "a"})

    for call in (("POST", TAGS), ("PATCH", f"{TAGS}/50"), ("DELETE", f"{TAGS}/50")):
        assert end_all() > 0
        await db.ask(*call, {"label": "b"})

    assert await db.get(TAGS, count_only="true") == 4


async def test_a_connection_that_lay_idle_for_long_is_tried_first(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = opener()
    await db.ask("POST", TAGS, {"label": "a"})
    monkeypatch.setattr(pooling, "TRUSTED_FOR", 0.0)

    async def whether_in_a_transaction(connection: Connection) -> bool:
        if db.name == "mysql":
            return bool((await connection.fetch("SELECT @@in_transaction"))[0][0])
        return bool((await connection.fetch("SELECT now() <> statement_timestamp()"))[0][0])

    assert await db.database.write(whether_in_a_transaction, single=True)


async def test_a_write_whose_connection_is_lost_on_the_way_is_not_made_again(
    opener: Opener, end_all: Callable[[], int]
) -> None:
    db = opener()
    db.run(*SLOW[db.name])
    await db.get(TAGS)
    asked = asyncio.create_task(db.refused("POST", TAGS, {"label": "a"}))
    await asyncio.to_thread(_until, lambda: _number(opener, SLEEPS[db.name]) == 1)

    end_all()

    assert isinstance(await asked, Unavailable)
    assert _number(opener, TRIES[db.name]) == 1
    assert await db.get(TAGS, count_only="true") == 3


def _until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 4
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


async def test_a_statement_that_is_not_answered_in_time_is_given_up(opener: Opener) -> None:
    db = opener()
    await db.get(TAGS)
    assert isinstance(db.database, PostgresqlDatabase | MysqlDatabase)
    for name in ("_within", "_unit_within"):
        if hasattr(db.database, name):
            setattr(db.database, name, 0.3)
    began = time.monotonic()

    with pytest.raises(DatabaseBusy):
        await db.database.write(lambda connection: connection.fetch(SLEEP[db.name]), single=True)

    assert time.monotonic() - began < 2
    await db.ask("POST", TAGS, {"label": "a"})
