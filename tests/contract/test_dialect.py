"""What every database does behind `SqlService` when records are read, written once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.database import Connection
from reverie.errors import BatchError, ReverieError
from reverie.model import JSON
from tests.contract.sql_stage import DIALECTS, Db, Opener, items, resources

pytestmark = pytest.mark.anyio


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


async def test_a_record_is_read_by_its_id_with_json_types(db: Db) -> None:
    assert await db.get("_table/product/1") == {
        "id": 1, "name": "Smoked Herring", "sku": "SEA-001", "category_id": 4, "supplier_id": 1, "unit_price": 6.5,
        "in_stock": 40, "discontinued": False, "added_on": "2023-01-15",
    }  # fmt: skip
    assert await db.get("_table/CATEGORY/2/extra", fields="NAME,Id") == {"name": "Preserves", "id": 2}
    assert await db.get("_table/product/SEA-002", id_field="sku", fields="id") == {"id": 2}


@pytest.mark.parametrize(
    ("resource", "parameters", "status"),
    [
        ("_table/category/99", {}, 404),
        ("_table/category/99999999999999999999", {}, 404),
        ("_table/category/abc", {}, 400),
        ("_table/category/\ud800", {}, 400),
        ("_table/customer/\ud800", {}, 400),
        ("_table/stock_event/1", {}, 400),
        ("_table/product/1", {"id_field": "colour"}, 400),
        ("_table/product/1", {"fields": "colour"}, 400),
        ("_table/product", {"fields": "id,colour"}, 400),
        ("_table/product", {"order": "colour"}, 400),
        ("_table/product", {"order": "id;drop"}, 400),
        ("_table/product", {"fields": "COUNT(*)"}, 400),
        ("_table/product", {"group": "colour"}, 400),
        ("_table/product", {"filter": "colour=1"}, 400),
        ("_table/product", {"filter": "id=99999999999999999999"}, 400),
        ("_table/product", {"filter": "name like :x", "params": {"x": "%" * 20_000}}, 400),
        ("_table/product", {"filter": ["id=1"]}, 400),
        ("_table/product", {"rollback": "true", "continue": "true"}, 400),
        ("_table/category", {"related": "product_by_category_id", "product_by_category_id.group": "id"}, 501),
        ("_table/nope", {}, 404),
        ("_Table/product", {}, 404),
        ("nope", {}, 404),
    ],
)
async def test_a_read_that_makes_no_sense_is_a_clear_refusal(
    db: Db, resource: str, parameters: dict[str, JSON], status: int
) -> None:
    assert (await db.refused("GET", resource, None, parameters)).status == status


async def test_a_database_without_routines_has_no_resources_for_them(db: Db) -> None:
    if db.has("routines"):
        assert items(await db.get("_proc", ids="nope")) == []
    else:
        assert {(await db.refused("GET", kind)).status for kind in ("_proc", "_func", "_func/abs(1)")} == {404}


async def test_a_text_key_tells_capitals_apart_where_the_database_does(db: Db) -> None:
    if db.has("texts by case"):
        assert (await db.refused("GET", "_table/customer/bluec")).status == 404
    else:
        assert await db.get("_table/customer/bluec", fields="code") == {"code": "BLUEC"}


async def test_pages_are_limited_ordered_and_counted(db: Db) -> None:
    assert await db.ids("_table/product", limit="2", offset="3") == [4, 5]
    assert await db.ids("_table/product", top="2", skip="1", sort="id  desc", order=None) == [9, 8]
    assert await db.ids("_table/product", limit="abc", offset="-3") == list(range(1, 11))
    assert await db.ids("_table/orders", order="shipped_at asc nulls last, id", limit="4") == [1, 2, 4, 3]
    assert await db.get("_table/category", fields="id", order="id", limit="2", include_count="true") == {
        "resource": [{"id": 1}, {"id": 2}],
        "meta": {"count": 4, "next": 2},
    }
    assert await db.get("_table/product", count_only="true", filter="in_stock>30") == 5
    assert await db.get("_table/category", filter="id>100", include_count="1") == {
        "resource": [],
        "meta": {"count": 0},
    }


async def test_the_servers_own_limit_is_told_only_when_it_cuts(open_db: Opener) -> None:
    db = open_db(max_records=3)

    cut = await db.get("_table/product", fields="id", order="id")
    asked = await db.get("_table/product", fields="id", order="id", limit="3")
    rest = await db.get("_table/product", fields="id", order="id", offset="9")

    assert cut == {"resource": [{"id": 1}, {"id": 2}, {"id": 3}], "meta": {"count": 10, "next": 3}}
    assert asked == {"resource": [{"id": 1}, {"id": 2}, {"id": 3}]}
    assert rest == {"resource": [{"id": 10}], "meta": {"count": 10}}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("unit_price=6.5", [1]),
        ("discontinued='yes'", [6, 10]),
        ("(added_on>='2023-03-01') and (added_on<'2023-04-01')", [4, 5]),
        ("name like '%Tea%'", [5, 6]),
        ("name contains 100%", [9]),
        ("(name not contains e) and (id<9)", []),
        ("id in (1,2,99)", [1, 2]),
        ("id not in (1,2,3,4,5,6,7)", [8, 9, 10]),
        ("sku is null", [10]),
        ("sku = null", []),
        ("NOT ((id=1) OR (id>2))", [2]),
        ("(id=1) or (id=2) and (name='x')", [1]),
        ("in_stock=:n", [1]),
        ("name=(upper('x'))", []),
        ("supplier_id != 1", [2, 4, 5, 7, 9]),
    ],
)
async def test_a_filter_finds_these_products(db: Db, text: str, ids: list[int]) -> None:
    assert await db.ids("_table/product", filter=text, params={":n": 40}) == ids


async def test_records_are_read_by_ids_in_the_order_asked(db: Db) -> None:
    assert await db.ids("_table/product", ids="3,1,3") == [3, 1, 3]
    assert await db.ask("GET", "_table/product", None, {"ids": "3,1", "continue": "true", "fields": "id"}) == {
        "resource": [{"id": 1}, {"id": 3}]
    }
    by_key: JSON = {"ids": [{"order_id": 1, "product_id": 5}], "fields": "quantity"}
    assert await db.ask("GET", "_table/order_item", by_key) == {"resource": [{"quantity": 4}]}
    records: JSON = {"resource": [{"id": 1}, {"id": 3}]}
    assert len(resources(await db.ask("GET", "_table/tag", records))) == 2

    error = await db.refused("GET", "_table/category", None, {"ids": "1,abc,99", "fields": "id", "continue": "true"})

    assert isinstance(error, BatchError)
    assert isinstance(error.context, dict)
    assert error.context["error"] == [1, 2]
    assert [cast("dict[str, JSON]", entry).get("code") for entry in cast("list[JSON]", error.context["resource"])] == [
        None, 400, 404,
    ]  # fmt: skip


async def test_groups_and_lists_of_identifiers(db: Db) -> None:
    grouped = await db.get(
        "_table/product",
        fields="category_id,COUNT(*),SUM(in_stock)",
        group="category_id",
        order="category_id",
        filter="category_id is not null",
    )

    assert resources(grouped)[0] == {"category_id": 1, "COUNT_ALL": 3, "SUM_in_stock": 89}
    assert items(await db.get("_table/category", as_list="true", order="id"))[:2] == ["Beverages", "Preserves"]


async def test_pages_of_groups_fit_together_without_an_order(db: Db) -> None:
    everything = resources(await db.get("_table/product", fields="name,COUNT(*)", group="name"))

    pages = [
        resources(await db.get("_table/product", fields="name,COUNT(*)", group="name", limit="2", offset=str(at)))
        for at in range(0, len(everything), 2)
    ]

    assert [group for page in pages for group in page] == everything
    assert everything == resources(await db.get("_table/product", fields="name,COUNT(*)", group="name", order="name"))


async def test_a_table_made_by_another_program_is_found_at_once(db: Db) -> None:
    await db.get("_table/tag/1")

    counted = {"postgresql": "SERIAL", "mysql": "INTEGER AUTO_INCREMENT"}.get(db.name, "INTEGER")
    db.run(f"CREATE TABLE late (id {counted} PRIMARY KEY, x TEXT)")
    assert await db.get("_table/late") == {"resource": []}
    db.run("ALTER TABLE late ADD COLUMN y TEXT")

    assert await db.get("_table/late", limit="5", fields="y") == {"resource": []}
    created = await db.ask("POST", "_table/late", {"resource": [{"y": "new"}]}, fields="y")
    assert created == {"resource": [{"y": "new"}]}
    assert await db.get("_table/late/1", fields="y") == {"y": "new"}


PIECES = ["(", ")", " ", "=", "<", ">=", " and ", " or ", "not ", " in ", " like ", "'", '"', ",", "%", "&&", "||"]
WORDS = ["id", "name", "unit_price", "added_on", "discontinued", "nope", "1", "-1.5", "null", ":p", "{town}", "true"]
ODD = [" is null", " contains ", " starts with ", "\0", "é", "\ud800", "9" * 25, ";", "--"]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from([*PIECES, *WORDS, *ODD]), max_size=14).map("".join))
async def test_every_filter_is_answered_or_clearly_refused(db: Db, text: str) -> None:
    refusal: ReverieError | None = None
    try:
        answer = await db.get("_table/product", filter=text, params={":p": 1}, fields="id")
        assert len(resources(answer)) <= 10
    except ReverieError as error:
        refusal = error
    assert refusal is None or 400 <= refusal.status < 500


async def test_a_long_list_of_values_leaves_the_database_as_it_was(db: Db) -> None:
    text = f"id in ({','.join(str(number) for number in range(2000))})"

    assert await db.get("_table/product", filter=text, count_only="true") == 10
    assert await db.get("_table/product", filter=f"not ({text})", count_only="true") == 0


async def test_writes_of_many_callers_share_the_database(db: Db) -> None:
    async def one(connection: Connection) -> int:
        return cast("int", (await connection.fetch("SELECT count(*) FROM tag"))[0][0])

    for number in range(20):
        await db.ask("POST", "_table/tag", {"label": f"n{number}"})

    assert await db.database.read(one) == 23


async def test_a_column_that_another_program_drops_is_missed_at_once(db: Db) -> None:
    assert len(resources(await db.get("_table/tag", limit="5"))) == 3
    db.run("ALTER TABLE tag RENAME COLUMN label TO title")

    assert resources(await db.get("_table/tag", limit="1", order="id")) == [{"id": 1, "title": "organic"}]
    assert (await db.refused("GET", "_table/tag", filter="label='x'")).status == 400


async def test_a_sum_that_is_too_large_is_a_clear_refusal(db: Db) -> None:
    db.needs("sums overflow")
    for number in (1, 2):
        await db.ask("POST", "_table/stock_event", {"sku": f"S{number}", "delta": 2**63 - 1})

    refused = await db.refused("GET", "_table/stock_event", fields="noted_at,SUM(delta)", group="noted_at")

    assert refused.status == 400


@pytest.mark.parametrize("order", ["", "id", "id desc", "name"])
@pytest.mark.parametrize("fields", ["*", "", "sku", "id,name"])
async def test_the_quick_path_answers_what_the_full_one_does(db: Db, order: str, fields: str) -> None:
    wanted: dict[str, JSON] = {"order": order, "fields": fields, "limit": "3", "offset": "1"}
    more: dict[str, JSON] = {**wanted, "include_count": "no"}

    for resource in ("_table/product", "_table/PRODUCT/7"):
        assert await db.ask("GET", resource, None, wanted) == await db.ask("GET", resource, None, more)
