"""What a server is sent for a write: one statement where one will do. Read from the server's own log."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from reverie.errors import BatchError
from reverie.model import JSON, Caller
from reverie.mysql.connection import MysqlConnection
from tests.contract.sql_stage import ADMIN, Db, Opener, resources, role
from tests.mysql_server import shared_mysql
from tests.postgres import shared_server

pytestmark = pytest.mark.anyio

TAGS: Final = "_table/tag"
_LOOKS: Final = ("pg_catalog", "information_schema", "VERSION()")
MINE: Final = role(("_table/*", 31, [{"name": "label", "operator": "=", "value": "mine"}]))


class Heard:
    """The statements of the service's connections, as its server logs them."""

    def __init__(self, db: Db, name: str) -> None:
        self.db = db
        self._name = name

    async def of(
        self, method: str, resource: str, body: JSON = None, *, caller: Caller = ADMIN, **named: JSON
    ) -> list[str]:
        """The first word of each that the call sends; what looks at the schema is left out."""
        before = len(self._all())
        await self.db.ask(method, resource, body, named, caller=caller)
        return [sql.split()[0].upper() for sql in self._all()[before:] if not any(one in sql for one in _LOOKS)]

    async def looks(self, ask: Callable[[], object]) -> int:
        before = len(self._all())
        await ask()  # type: ignore[misc]  # all that tests pass can be awaited
        return sum(any(one in sql for one in _LOOKS) for sql in self._all()[before:])

    def _all(self) -> list[str]:
        if self.db.name == "mysql":
            asked = f"SELECT argument FROM general_log WHERE command_type = 'Query' AND user_host LIKE '{self._name}[%'"
            return [row[0].decode() if isinstance(row[0], bytes) else str(row[0]) for row in shared_mysql().ask(asked)]
        text = (shared_server().folder / "log").read_text(errors="replace")
        return re.findall(r"LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)", text)


@pytest.fixture(params=["postgresql", "mysql"])
async def heard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Heard]:
    opener = Opener(request.param, tmp_path)
    database = str(opener.settings["database"])
    if request.param == "mysql":
        shared_mysql().ask("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON; TRUNCATE general_log")
    else:
        shared_server().ask(f"ALTER DATABASE {database} SET log_statement = 'all'")
    found = Heard(opener(), str(opener.settings["username"]))
    await found.db.ask("POST", TAGS, {"label": "first"})
    await found.db.ask("GET", f"{TAGS}/1")
    yield found
    await opener.close()
    if request.param == "mysql":
        shared_mysql().ask("SET GLOBAL general_log = OFF")


async def test_a_record_is_created_with_one_statement(heard: Heard) -> None:
    assert await heard.of("POST", TAGS, {"resource": [{"label": "a"}]}) == ["INSERT"]
    assert await heard.of("POST", TAGS, {"label": "b"}, fields="*") == ["INSERT"]
    assert await heard.of("POST", TAGS, [{"id": 77, "label": "c"}], fields="label") == ["INSERT"]


async def test_a_record_is_changed_and_deleted_by_its_key_with_one_statement(heard: Heard) -> None:
    await heard.of("POST", TAGS, {"id": 70, "label": "a"})

    assert await heard.of("PATCH", f"{TAGS}/70", {"label": "b"}) == ["UPDATE"]
    assert await heard.of("PUT", f"{TAGS}/70", {"id": 70, "label": "c"}) == ["UPDATE"]
    assert await heard.of("PATCH", TAGS, {"resource": [{"id": 70, "label": "d"}]}) == ["UPDATE"]
    assert await heard.of("DELETE", f"{TAGS}/70", fields="*") == ["DELETE"]


async def test_a_changed_record_is_read_again_only_where_the_server_cannot_answer_it(heard: Heard) -> None:
    again = {
        "postgresql": ["UPDATE"],
        "mysql": ["START", "UPDATE", "SELECT", "COMMIT"],
    }

    assert await heard.of("PATCH", f"{TAGS}/1", {"label": "b"}, fields="*") == again[heard.db.name]


async def test_what_has_to_be_undone_if_the_role_hides_it_is_in_a_transaction(heard: Heard) -> None:
    begin = "BEGIN" if heard.db.name == "postgresql" else "START"

    assert await heard.of("POST", TAGS, {"label": "mine"}, caller=MINE) == [begin, "INSERT", "COMMIT"]


async def test_a_role_deletes_what_it_sees_with_one_statement(heard: Heard) -> None:
    await heard.of("POST", TAGS, {"id": 70, "label": "mine"})

    assert await heard.of("DELETE", f"{TAGS}/70", caller=MINE) == ["DELETE"]


async def test_each_record_of_a_batch_has_a_savepoint(heard: Heard) -> None:
    begin = "BEGIN" if heard.db.name == "postgresql" else "START"
    one = ["SAVEPOINT", "INSERT", "RELEASE"]

    assert await heard.of("POST", TAGS, [{"label": "a"}, {"label": "b"}]) == [begin, *one, *one, "COMMIT"]


@pytest.mark.parametrize("caller", [ADMIN, MINE], ids=["free", "bound"])
async def test_a_plain_write_does_not_look_at_the_schema_each_time(heard: Heard, caller: Caller) -> None:
    async def many() -> None:
        for _ in range(40):
            await heard.db.ask("POST", TAGS, {"label": "mine"}, caller=caller)

    assert await heard.looks(many) < 20


async def test_a_new_column_of_another_program_is_written_at_once(heard: Heard) -> None:
    await heard.db.ask("POST", TAGS, {"label": "a"})
    heard.db.run("ALTER TABLE tag ADD COLUMN late varchar(9)")

    created = await heard.db.ask("POST", TAGS, {"label": "a", "late": "x"}, fields="late")

    assert resources(created) == [{"late": "x"}]


async def test_a_column_that_another_program_dropped_is_left_out_at_once(heard: Heard) -> None:
    heard.db.run("ALTER TABLE tag ADD COLUMN late varchar(9)")
    await heard.db.ask("POST", TAGS, {"label": "a", "late": "x"})
    heard.db.run("ALTER TABLE tag DROP COLUMN late")

    created = await heard.db.ask("POST", TAGS, {"label": "b", "late": "x"}, fields="*")

    assert resources(created)[0].keys() == {"id", "label"}


async def test_a_server_without_returning_answers_the_same(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    if heard.db.name != "mysql":
        pytest.skip("PostgreSQL always has it")
    monkeypatch.setattr(MysqlConnection, "has_returning", False)

    assert await heard.of("POST", TAGS, {"label": "a"}) == ["INSERT"]
    [made] = resources(await heard.db.ask("POST", TAGS, {"label": "b"}))
    there = f"{TAGS}/{made['id']}"
    assert await heard.db.get(there) == {"id": made["id"], "label": "b"}
    assert await heard.of("POST", TAGS, {"label": "c"}, fields="*") == ["START", "INSERT", "SELECT", "COMMIT"]
    assert await heard.of("DELETE", there) == ["DELETE"]
    assert (await heard.db.refused("DELETE", there)).status == 404
    assert await heard.of("DELETE", f"{TAGS}/{int(str(made['id'])) + 1}", fields="*") == [
        "START", "SELECT", "DELETE", "COMMIT",
    ]  # fmt: skip


async def test_a_reference_that_is_checked_at_the_end_refuses_the_record(heard: Heard) -> None:
    if heard.db.name != "postgresql":
        pytest.skip("MariaDB checks at once")
    heard.db.run("CREATE TABLE leaf (id int PRIMARY KEY, tag_id int REFERENCES tag (id) DEFERRABLE INITIALLY DEFERRED)")

    refused = await heard.db.refused("POST", "_table/leaf", {"id": 1, "tag_id": 999})

    assert isinstance(refused, BatchError)
    assert "reference would point nowhere" in str(refused.context)
    assert await heard.db.get("_table/leaf", count_only="true") == 0
