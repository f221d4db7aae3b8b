"""What only PostgreSQL has: its types on the wire, units side by side, limits, and a server that is not there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reverie.database import Connection, Row, Value
from reverie.errors import Unavailable
from reverie.model import JSON
from reverie.postgresql import pool
from reverie.postgresql.connection import PostgresqlConnection
from reverie.postgresql.pool import connect as open_connection
from tests.contract.sql_stage import Db, Opener, items, resources

pytestmark = pytest.mark.anyio

KINDS = """CREATE TABLE kinds (id serial PRIMARY KEY, u uuid, j json, jb jsonb, m money, b bytea,
  tz timestamptz, t time, n numeric(20,4), ints int[], addr inet, span interval, tiny smallint, mood mood)"""
VALUES: dict[str, JSON] = {
    "u": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "j": {"a": [1]}, "jb": {"b": None}, "m": "12.5", "b": "aGVsbG8=",
    "tz": "2024-01-10 09:30:00.25+00", "t": "10:30", "n": "6.5", "ints": None, "addr": "10.0.0.1", "span": "1 day",
    "tiny": 3, "mood": "calm",
}  # fmt: skip


@pytest.fixture
async def open_db(tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener("postgresql", tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    made = open_db()
    made.run("CREATE TYPE mood AS ENUM ('calm', 'cross')", KINDS)
    return made


async def test_every_type_comes_back_as_the_contract_says(db: Db) -> None:
    created = await db.ask("POST", "_table/kinds", {"resource": [VALUES]}, fields="*")
    db.run("UPDATE kinds SET ints = '{1,2}'")

    assert resources(created)[0] == {
        **VALUES, "id": 1, "j": '{"a":[1]}', "jb": '{"b": null}', "m": "$12.50", "t": "10:30:00", "n": 6.5,
        "tz": resources(created)[0]["tz"],
    }  # fmt: skip
    assert "09:30:00.25+00" in str(resources(created)[0]["tz"])
    assert await db.get("_table/kinds/1", fields="ints") == {"ints": "[1, 2]"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("u", "no"), ("j", "{"), ("m", "abc"), ("tz", "2024-13-01"), ("t", "25:00"), ("addr", "x"), ("mood", "merry"),
        ("tiny", 40000), ("b", "%%"),
    ],
)  # fmt: skip
async def test_a_value_that_does_not_fit_is_the_clients_mistake(db: Db, field: str, value: JSON) -> None:
    await db.ask("POST", "_table/kinds", {"resource": [VALUES]})

    assert (await db.refused("PATCH", "_table/kinds/1", {field: value})).status == 400
    assert (await db.refused("GET", "_table/kinds", filter=f"({field} = :v)", params={":v": value})).status in (
        400,
        409,
    )


async def test_a_number_with_too_many_digits_is_refused_and_found_nowhere(db: Db) -> None:
    await db.ask("POST", "_table/kinds", {"resource": [VALUES]})

    assert (await db.refused("PATCH", "_table/kinds/1", {"n": 1e20})).status == 400
    assert await db.ids("_table/kinds", filter="n = 100000000000000000000.5") == []


async def test_an_id_that_the_column_cannot_hold_names_no_record(db: Db) -> None:
    assert (await db.refused("GET", "_table/tag/99999999999")).status == 404
    assert (await db.refused("DELETE", "_table/tag/99999999999")).status == 404


async def test_groups_and_sums_that_the_types_do_not_allow_are_refused(db: Db) -> None:
    assert (await db.refused("GET", "_table/product", fields="SUM(name)", group="category_id")).status == 400
    assert (await db.refused("GET", "_table/product", fields="name,COUNT(*)", group="category_id")).status == 400


async def test_units_that_write_run_side_by_side(db: Db) -> None:
    inside = asyncio.Event()
    done = asyncio.Event()

    async def first(connection: Connection) -> None:
        await connection.execute("UPDATE tag SET label = 'a' WHERE id = 1")
        inside.set()
        await done.wait()

    slow = asyncio.create_task(db.database.write(first))
    await inside.wait()
    await db.ask("PATCH", "_table/tag/2", {"label": "b"})
    done.set()
    await slow

    assert resources(await db.get("_table/tag", order="id", limit="2")) == [
        {"id": 1, "label": "a"},
        {"id": 2, "label": "b"},
    ]


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(open_db: Opener) -> None:
    db = open_db(statement_timeout=1)
    db.run("CREATE VIEW slow AS SELECT id, pg_sleep(20)::text AS s FROM tag")
    began = time.monotonic()

    refused = await db.refused("GET", "_table/slow", fields="s")

    assert isinstance(refused, Unavailable)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("pooler", ["session", "transaction"])
async def test_the_server_too_is_told_that_a_service_only_reads(open_db: Opener, pooler: str) -> None:
    db = open_db(read_only=True, options={"sslmode": "disable", "pooler": pooler})
    assert (await db.refused("POST", "_table/tag", {"label": "x"})).status == 403

    async def sly(connection: Connection) -> None:
        await connection.execute("UPDATE tag SET label = 'a'")

    with pytest.raises(Exception, match="read-only"):
        await db.database.write(sly)


@pytest.mark.parametrize("pooler", ["session", "transaction"])
async def test_another_schema_is_served_under_its_own_name(open_db: Opener, pooler: str) -> None:
    open_db().run('CREATE SCHEMA "Odd one"', 'CREATE TABLE "Odd one"."My tag" (id int PRIMARY KEY, "A b" text)')
    db = open_db(schema="Odd one", options={"sslmode": "disable", "pooler": pooler})

    assert items(await db.get("_table")) == [{"name": "My tag"}]
    await db.ask("POST", "_table/My tag", {"resource": [{"id": 1, "A b": "x"}]})
    assert await db.get("_table/my tag/1") == {"id": 1, "A b": "x"}


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ({"port": 1}, "Nothing answers"),
        ({"database": "nowhere"}, "no database of that name"),
        ({"username": "nobody_here"}, "did not let the user in"),
    ],
)
async def test_a_database_that_cannot_be_reached_says_why(open_db: Opener, config: dict[str, JSON], cause: str) -> None:
    db = open_db(**config)

    refused = await db.refused("GET", "_table")

    assert isinstance(refused, Unavailable)
    assert cause in refused.message
    assert refused.headers["Retry-After"]


async def test_the_cause_is_told_also_when_the_time_ends_in_the_middle_of_another_attempt(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def connect(*given: Any) -> object:
        nonlocal attempts
        attempts += 1
        return await (open_connection(*given) if attempts == 1 else asyncio.sleep(60))

    monkeypatch.setattr(pool, "connect", connect)
    db = open_db(database="nowhere")

    refused = await db.refused("GET", "_table")

    assert attempts > 1
    assert isinstance(refused, Unavailable)
    assert "no database of that name" in refused.message


@pytest.mark.parametrize("beside", [{}, {"nope": 1}, {"id": None}])
async def test_a_large_batch_is_one_round_trip_also_with_fields_that_are_no_columns(
    db: Db, monkeypatch: pytest.MonkeyPatch, beside: dict[str, JSON]
) -> None:
    trips: list[int] = []
    fetch_each = PostgresqlConnection.fetch_each

    async def counting(self: PostgresqlConnection, sql: str, values: Sequence[Sequence[Value]]) -> list[Row]:
        trips.append(len(values))
        return await fetch_each(self, sql, values)

    monkeypatch.setattr(PostgresqlConnection, "fetch_each", counting)
    records: list[JSON] = [{"label": f"tag {number}", **beside} for number in range(30)]

    made = resources(await db.ask("POST", "_table/tag", {"resource": records}))

    assert len(made) == 30
    assert trips == [30]
