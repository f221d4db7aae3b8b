"""What every database with procedures and functions does behind `_proc` and `_func`, written once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from reverie.errors import Unavailable
from reverie.model import JSON, Request
from reverie.services.openapi import Detail
from tests.contract.sql_stage import ADMIN, FEATURES, Db, Opener, items, resources, role

pytestmark = pytest.mark.anyio

ODD: dict[str, tuple[str, ...]] = {
    "postgresql": (
        """CREATE FUNCTION "100%% ""odd"" one"("a b" text) RETURNS text LANGUAGE sql AS $$ SELECT "a b" || '!' $$""",
        "CREATE FUNCTION nothing() RETURNS integer LANGUAGE sql AS $$ SELECT NULL::integer $$",
        "CREATE FUNCTION is_odd(n bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT n % 2 = 1 $$",
        "CREATE FUNCTION half(b bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT substr(b, 1, 1) $$",
        "CREATE FUNCTION rename_tag(i integer) RETURNS integer LANGUAGE sql AS $$"
        " UPDATE tag SET label = 'renamed' WHERE id = i RETURNING id $$",
    ),
    "mysql": (
        'CREATE FUNCTION "100%% ""odd"" one"("a b" TEXT) RETURNS TEXT DETERMINISTIC RETURN CONCAT("a b", \'!\')',
        "CREATE FUNCTION nothing() RETURNS INT DETERMINISTIC RETURN NULL",
        "CREATE FUNCTION is_odd(n BIGINT) RETURNS BOOLEAN DETERMINISTIC RETURN n % 2 = 1",
        "CREATE FUNCTION half(b BLOB) RETURNS BLOB DETERMINISTIC RETURN SUBSTR(b, 1, 1)",
        "CREATE FUNCTION rename_tag(i INT) RETURNS INT MODIFIES SQL DATA"
        " BEGIN UPDATE tag SET label = 'renamed' WHERE id = i; RETURN i; END",
    ),
}
NAME = '100%% "odd" one'


@pytest.fixture(params=[name for name in FEATURES if "routines" in FEATURES[name]])
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


@pytest.fixture
async def odd(open_db: Opener) -> Db:
    made = open_db()
    made.run(*ODD[made.name])
    return made


def named(answer: JSON) -> list[JSON]:
    return [one["name"] for one in resources(answer)]


async def test_routines_are_listed_and_described(db: Db) -> None:
    assert named(await db.get("_func"))[0] == "add_tax"
    assert items(await db.get("_proc", as_list="true"))[0] == "bump_stock"
    listed = resources(await db.get("_proc", fields="*"))[0]
    assert listed["access"] == ["GET", "POST", "PUT", "PATCH", "DELETE"]

    whole = resources(await db.get("_func", ids="ADD_TAX"))[0]
    procedure = resources(await db.get("_proc", ids="bump_stock"))[0]

    assert list(whole) == [
        "alias", "name", "label", "description", "native", "return_type", "return_schema", "params", "access",
    ]  # fmt: skip
    assert (whole["label"], whole["return_type"], whole["access"]) == ("Add Tax", "decimal", 31)
    params = cast("list[dict[str, JSON]]", procedure["params"])
    assert [(one["name"], one["position"], one["type"]) for one in params[:2]] == [
        ("pid", 1, "integer"), ("qty", 2, "integer"),
    ]  # fmt: skip
    assert procedure["return_type"] is None


@pytest.mark.parametrize(
    ("path", "query", "body", "answer"),
    [
        ("add_tax(100,25)", {}, None, 125),
        ("add_tax( 100 , 25 )/", {}, None, 125),
        ("ADD_TAX", {"AMOUNT": "10", "Pct": "50", "more": "1"}, None, 15),
        ("add_tax('100','25')", {"amount": "1"}, None, 125),
        ("add_tax(1,1)", {}, {"params": [100, 25, "too many"]}, 125),
        ("add_tax", {}, {"params": {"PCT": "25", "amount": 100, "colour": 1}}, 125),
        ("add_tax", {}, {"params": [{"name": "pct", "value": 10}, {"name": "amount", "value": 200}]}, 220),
        ("add_tax(100,25)", {"returns": "string"}, None, "125.00"),
        ("add_tax(abc,25)", {}, None, 0),
        ("add_tax(100)", {}, None, None),
        ("add_tax", {}, None, None),
    ],
)
async def test_a_function_takes_its_parameters_from_wherever_they_come(
    db: Db, path: str, query: dict[str, JSON], body: JSON, answer: JSON
) -> None:
    found = await db.ask("GET" if body is None else "POST", f"_func/{path}", body, query)

    if isinstance(answer, str):
        assert str(found).startswith("125")
    else:
        assert found == answer


async def test_rows_come_bare_wrapped_and_cast(db: Db) -> None:
    where = "_proc" if db.name == "mysql" else "_func"
    rows: JSON = [{"id": 7, "name": "Rolled Oats"}, {"id": 10, "name": "Mystery Tin"}]

    assert await db.get(f"{where}/cheap_products(2.5)") == rows
    assert await db.get(f"{where}/cheap_products(0)") == []
    body: JSON = {"params": {"top": 1}, "schema": {"id": "string"}}
    assert await db.ask("POST", f"{where}/cheap_products", body) == [{"id": "10", "name": "Mystery Tin"}]
    assert await db.get(f"{where}/cheap_products(2.5)", returns="integer") == 7
    if where == "_proc":
        assert await db.get("_proc/cheap_products(2.5)", wrapper="rows") == {"rows": rows}


async def test_parameters_come_back_and_what_was_done_stays(db: Db) -> None:
    back = "now_in_stock" if db.name == "mysql" else "pid"

    assert await db.ask("POST", "_proc/bump_stock", {"params": {"pid": 1, "qty": 5}}) == {back: 45}
    assert await db.ask("POST", "_proc/bump_stock", {"params": [1, 5], "schema": {back: "string"}}) == {back: "50"}
    assert await db.get("_table/product/1", fields="in_stock") == {"in_stock": 50}


async def test_several_sets_of_rows_and_parameters_beside_them(db: Db) -> None:
    if db.name != "mysql":
        pytest.skip("a procedure of PostgreSQL answers no rows")
    db.run(
        "CREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; END",
        "CREATE PROCEDURE both_ways(INOUT n INT, OUT m DECIMAL(5,2))"
        " BEGIN SET n = n + 1, m = 2.5; SELECT n AS row_n; END",
        "CREATE PROCEDURE silent() DO 1",
    )

    assert await db.get("_proc/two") == [[{"a": 1}], [{"b": 2, "c": "x"}]]
    assert await db.get("_proc/both_ways(1)") == {"n": 2, "m": 2.5, "resource": [{"row_n": 2}]}
    assert await db.get("_proc/both_ways(1)", wrapper="rows") == {"n": 2, "m": 2.5, "rows": [{"row_n": 2}]}
    assert await db.get("_proc/silent") == []


async def test_defaults_overloads_and_records_of_postgresql(db: Db) -> None:
    if db.name != "postgresql":
        pytest.skip("only PostgreSQL has these")
    db.run(
        "CREATE FUNCTION hello(who text DEFAULT 'you', loud boolean DEFAULT false) RETURNS text LANGUAGE sql AS"
        " $$ SELECT CASE WHEN loud THEN upper(who) ELSE who END $$",
        "CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql AS $$ SELECT n * 2 $$",
        "CREATE FUNCTION twice(n integer, m integer) RETURNS integer LANGUAGE sql AS $$ SELECT n * m * 2 $$",
        "CREATE FUNCTION pair(n integer, OUT a integer, OUT b text) LANGUAGE sql AS $$ SELECT n, 'x' $$",
        "CREATE FUNCTION total(VARIADIC n integer[]) RETURNS bigint LANGUAGE sql AS"
        " $$ SELECT sum(x) FROM unnest(n) x $$",
        "CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE FUNCTION quiet() RETURNS void LANGUAGE sql AS $$ SELECT $$",
    )

    assert await db.get("_func/hello") == "you"
    assert await db.get("_func/hello", loud="true") == "YOU"
    assert await db.get("_func/hello(me,1)") == "ME"
    assert await db.get("_func/twice(4)") == 8
    assert await db.get("_func/twice(4,5)") == 40
    assert await db.get("_func/twice", n="4", m="5") == 40
    assert await db.get("_func/pair(3)") == {"a": 3, "b": "x"}
    assert await db.get("_func/total('{1,2,3}')") == 6
    assert await db.get("_func/quiet") is None
    assert "moved" not in named(await db.get("_func"))
    assert named(await db.get("_func")).count("twice") == 1


async def test_odd_names_types_and_values_are_only_values(odd: Db) -> None:
    sly = "x'; DROP TABLE tag; -- \\ \" %s %% $1 ?"

    assert await odd.ask("POST", f"_func/{NAME}", {"params": [sly]}) == sly + "!"
    assert await odd.get(f"_func/{NAME}('a, b')") == "a, b!"
    assert await odd.ask("GET", f"_func/{NAME}", None, {"A B": "it''s"}) == "it''s!"
    assert await odd.get(f"_func/{NAME}({{town}})") == "Porto!"
    assert await odd.get("_func/nothing()") is None
    assert await odd.get("_func/is_odd(3)") is True
    assert await odd.ask("POST", "_func/half", {"params": ["aGVsbG8="]}) == "aA=="
    assert len(resources(await odd.get("_table/tag"))) == 3


@pytest.mark.parametrize(
    ("method", "resource", "body", "status"),
    [
        ("GET", "_func/nope", None, 404),
        ("GET", "_proc/nope", None, 404),
        ("GET", "_proc/add_tax(1,2)", None, 404),
        ("GET", "_func/bump_stock(1,2)", None, 404),
        ("GET", "_func/pg_sleep(1)", None, 404),
        ("GET", "_func/add_tax (1,2)", None, 404),
        ("GET", "_func/ add_tax(1,2)", None, 404),
        ("GET", "_func/àdd_tax(1,2)", None, 404),
        ("GET", "_func/add_tax/(1,2)", None, 404),
        ("GET", "_func/add_tax(1,2); SELECT 1", None, 400),
        ("GET", "_func/add_tax(1,2", None, 400),
        ("GET", "_func/add_tax('1,2)", None, 400),
        ("GET", "_func/add_tax(1,'2)", None, 400),
        ("GET", "_func/add_tax(99999999999999999999,1)", None, 400),
        ("PUT", "_func/add_tax", {"params": [1, 2]}, 400),
        ("DELETE", "_proc/bump_stock", None, 400),
        ("POST", "_proc", {"params": [1, 2]}, 400),
        ("POST", "_func/add_tax", {"params": 5}, 400),
        ("POST", "_func/add_tax", {"params": [{"name": "pct", "value": 1}, 2]}, 400),
        ("POST", "_func/add_tax", {"params": [{"name": 5}]}, 400),
        ("POST", "_func/half", {"params": ["%%"]}, 400),
        ("POST", "_func/" + NAME, {"params": ["\ud800"]}, 400),
    ],
)
async def test_a_call_that_makes_no_sense_is_a_clear_refusal(
    odd: Db, method: str, resource: str, body: JSON, status: int
) -> None:
    if "999" in resource and odd.name == "postgresql":
        pytest.skip("its numeric holds it")
    assert (await odd.refused(method, resource, body)).status == status


async def test_what_a_routine_raises_is_told_without_its_text(db: Db) -> None:
    if db.name == "mysql":
        db.run("CREATE PROCEDURE fails() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'secret word'")
        db.run("CREATE PROCEDURE twin() INSERT INTO category (name) VALUES ('Grains')")
    else:
        db.run("CREATE PROCEDURE fails() LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'secret word'; END $$")
        db.run("CREATE PROCEDURE twin() LANGUAGE sql AS $$ INSERT INTO category (name) VALUES ('Grains') $$")

    failed, twin = await db.refused("GET", "_proc/fails"), await db.refused("GET", "_proc/twin")

    assert (failed.status, twin.status) == (400, 409)
    assert "secret" not in failed.message
    assert "name" in twin.message
    assert await db.get("_table/category", count_only="true") == 4


async def test_a_role_sees_what_it_may_call_and_conditions_cannot_be_kept(db: Db) -> None:
    only = role(("_func/add_tax", 1, []))
    bound = role(("*", 31, [{"name": "id", "operator": "=", "value": 1}]))

    assert named(await db.get("_func", caller=only)) == ["add_tax"]
    assert items(await db.get("_proc", caller=only)) == []
    assert resources(await db.get("_func", caller=only, fields="access"))[0] == {"access": ["GET"]}
    refused = await db.refused("GET", "_func/add_tax(1,2)", caller=bound)
    assert refused.status == 403
    assert "conditions" in refused.message


async def test_a_service_that_only_reads_calls_what_only_reads(open_db: Opener) -> None:
    open_db().run(*ODD[open_db.name])
    db = open_db(read_only=True)

    assert await db.get("_func/add_tax(100,25)") == 125
    assert await db.ask("POST", "_func/add_tax", {"params": [100, 25]}) == 125
    refused = [
        await db.refused("POST", "_proc/bump_stock", {"params": [1, 5]}),
        await db.refused("GET", "_func/rename_tag(1)"),
    ]

    assert [one.status for one in refused] == [403, 403]
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}


async def test_routines_are_in_the_lists_the_events_and_the_description(db: Db) -> None:
    assert named(await db.get("")) == ["_schema", "_table", "_proc", "_func"]
    listed = items(await db.get("", as_access_list="true"))
    assert {"_proc/", "_proc/*", "_func/add_tax/", "_func/add_tax/*"} <= set(map(str, listed))
    paths = {path.name: path for path in await db.service.event_paths()}
    assert paths["db._func.{function_name}"].endpoints(scriptable=False)[1] == "db._func.{function_name}.post"
    assert "add_tax" in cast("list[str]", (paths["db._func.{function_name}"].parameter or {})["function_name"])

    called = Request(method="GET", service="db", resource="_proc/bump_stock(1,2)")
    fired = db.service.moments(called)
    described = await db.service.describe(Detail(may=lambda component, verb: True))

    assert [(one.name, one.resource) for one in fired] == [
        ("db._proc.{procedure_name}.get", "bump_stock"), ("db._proc.bump_stock.get", "bump_stock"),
    ]  # fmt: skip
    assert {"/_proc", "/_proc/{procedure_name}", "/_func/{function_name}"} <= {one.path for one in described.operations}


async def test_a_database_that_is_away_says_so_for_routines_too(open_db: Opener) -> None:
    db = open_db(port=1)

    assert isinstance(await db.refused("GET", "_func/add_tax(1,2)", caller=ADMIN), Unavailable)
