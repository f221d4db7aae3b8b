"""Pages by cursor, long lists, limits of roles and explanations, as every database does them behind `SqlService`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.errors import Forbidden, Unavailable
from reverie.model import JSON, Caller, Context, Request, Response, Role
from reverie.services.sql.reading import LONG, PART
from tests.contract.sql_stage import ADMIN, DIALECTS, Db, Opener, resources, role

pytestmark = pytest.mark.anyio

ORDERS = (
    "",
    "id",
    "id desc",
    "category_id",
    "category_id desc,name",
    "discontinued,in_stock desc",
    "supplier_id nulls first",
    "supplier_id desc nulls last,sku",
    "unit_price",
    "unit_price desc,category_id nulls last,name desc",
    "added_on",
    "name,name desc",
    "category_id nulls last, supplier_id desc nulls first",
)


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


async def answer(
    db: Db,
    resource: str,
    *,
    caller: Caller = ADMIN,
    headers: dict[str, str] | None = None,
    streams: bool = True,
    more: Mapping[str, JSON] | None = None,
    **named: JSON,
) -> Response:
    """The answer itself, to a caller who takes it in parts."""
    parameters = {**named, **(more or {})}
    request = Request(method="GET", service="db", resource=resource, parameters=parameters, headers=headers or {})

    async def nobody(request: Request) -> Response:
        raise AssertionError(request)

    return await db.service.handle(request, Context(caller=caller, call=nobody, streams=streams))


async def walked(db: Db, table: str, limit: int, *, caller: Caller = ADMIN, **named: JSON) -> list[dict[str, JSON]]:
    """All pages of a list, one behind the other."""
    found: list[dict[str, JSON]] = []
    after: JSON = ""
    while after is not None:
        page = await db.get(f"_table/{table}", limit=str(limit), after=after, caller=caller, **named)
        assert isinstance(page, dict)
        assert len(resources(page)) <= limit
        found += resources(page)
        meta = cast("dict[str, JSON]", page.get("meta", {}))
        after = meta.get("after")
    return found


# -- cursors


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_behind_one_another_are_the_whole_list_in_its_order(db: Db, order: str) -> None:
    tie = "id desc" if order.split(",")[-1].split()[1:2] == ["desc"] else "id"
    whole = await db.get("_table/product", order=f"{order},{tie}" if order else "id", fields="id,name")
    for limit in (1, 3, 10, 11):
        assert await walked(db, "product", limit, order=order, fields="id,name") == resources(whole)


async def test_pages_of_a_table_with_several_keys_and_of_one_whose_key_is_a_text(db: Db) -> None:
    whole = resources(await db.get("_table/order_item", order="order_id,product_id"))
    assert await walked(db, "order_item", 2) == whole
    by_product = resources(await db.get("_table/order_item", order="product_id desc,order_id desc"))
    assert await walked(db, "order_item", 2, order="product_id desc") == by_product
    assert await walked(db, "customer", 2) == resources(await db.get("_table/customer", order="code"))


async def test_pages_keep_to_the_filter_and_to_the_role_and_the_count_is_of_them_all(db: Db) -> None:
    wanted = "(unit_price > 3) and (discontinued = false)"
    whole = resources(await db.get("_table/product", filter=wanted, order="in_stock,id"))
    assert await walked(db, "product", 2, filter=wanted, order="in_stock") == whole

    some = role(("_table/product/*", 1, [{"name": "in_stock", "operator": ">", "value": 50}]))
    seen = await walked(db, "product", 1, order="name", caller=some)
    assert sorted(cast("int", one["id"]) for one in seen) == await db.ids("_table/product", caller=some)

    page = await db.get("_table/product", after="", limit="2", include_count="true", filter=wanted)
    assert isinstance(page, dict)
    assert cast("dict[str, JSON]", page["meta"])["count"] == len(whole)


async def test_a_record_that_comes_or_goes_between_two_pages_moves_nothing(db: Db) -> None:
    first = await db.get("_table/tag", after="", limit="2", fields="id")
    after = cast("dict[str, dict[str, JSON]]", first)["meta"]["after"]
    await db.ask("DELETE", "_table/product_tag", None, {"filter": "tag_id = 1"})
    await db.ask("DELETE", "_table/tag/1")
    await db.ask("POST", "_table/tag", {"resource": [{"label": "late"}]})

    rest = resources(await db.get("_table/tag", after=after, limit="10", fields="id"))

    assert [one["id"] for one in rest] == [3, 4]


async def test_pages_come_with_related_records(db: Db) -> None:
    whole = await db.get("_table/category", order="id", related="product_by_category_id")
    assert await walked(db, "category", 3, related="product_by_category_id") == resources(whole)


async def test_values_that_json_does_not_know_come_through_a_cursor(db: Db) -> None:
    kind = "NUMERIC(30,20)" if db.name != "sqlite" else "REAL"
    binary = {"sqlite": "BLOB", "postgresql": "BYTEA"}.get(db.name, "VARBINARY(9)")
    value = {"sqlite": "x'00ff%02x'", "postgresql": "'\\x00ff%02x'"}.get(db.name, "x'00ff%02x'")
    db.run(
        f"CREATE TABLE odd (id INTEGER PRIMARY KEY, price {kind}, bytes {binary})",
        *(
            f"INSERT INTO odd VALUES ({number}, 0.1234567890123456{number}, {value % (9 - number)})"
            for number in range(1, 8)
        ),
    )
    for order, tie in (("price", "id"), ("price desc", "id desc"), ("bytes", "id"), ("bytes desc", "id desc")):
        whole = resources(await db.get("_table/odd", order=f"{order},{tie}", refresh="true"))
        assert await walked(db, "odd", 2, order=order) == whole, order


@pytest.mark.parametrize(
    ("table", "parameters"),
    [
        ("product", {"after": "nonsense"}),
        ("product", {"after": "bm9uc2Vuc2U"}),
        ("product", {"after": "é"}),
        ("product", {"after": "W10"}),
        ("product", {"after": "A" * 20_000}),
        ("product", {"after": "", "offset": "2"}),
        ("product", {"after": "", "group": "category_id", "fields": "category_id"}),
        ("product", {"after": "", "order": "colour"}),
        ("product", {"after": ["x"]}),
        ("stock_event", {"after": ""}),
    ],
)
async def test_a_cursor_that_makes_no_sense_is_a_clear_refusal(db: Db, table: str, parameters: dict[str, JSON]) -> None:
    assert (await db.refused("GET", f"_table/{table}", None, parameters)).status == 400


async def test_a_cursor_belongs_to_its_table_and_order(db: Db) -> None:
    page = await db.get("_table/product", after="", limit="2", order="name")
    after = cast("dict[str, dict[str, JSON]]", page)["meta"]["after"]

    for table, order in (("product", "id"), ("product", "name desc"), ("category", "name")):
        error = await db.refused("GET", f"_table/{table}", after=after, order=order)
        assert error.status == 400
        assert "begin again" in error.message


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, "a", "b"])), max_size=12))
async def test_pages_of_rows_with_ties_and_nulls_are_the_whole_list(
    db: Db, rows: list[tuple[int | None, str | None]]
) -> None:
    db.run(
        "DROP TABLE IF EXISTS heap",
        "CREATE TABLE heap (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(9))",
        *(
            f"INSERT INTO heap VALUES ({number}, {'NULL' if a is None else a}, {'NULL' if b is None else repr(b)})"
            for number, (a, b) in enumerate(rows, 1)
        ),
    )
    for order, tie in (("a,b desc", "id desc"), ("b nulls first,a", "id"), ("a desc nulls last", "id desc")):
        whole = resources(await db.get("_table/heap", order=f"{order},{tie}", refresh="true"))
        assert await walked(db, "heap", 2, order=order) == whole


# -- long lists


async def long_table(db: Db, rows: int) -> None:
    counting = {
        "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i FROM n",
        "postgresql": f"SELECT generate_series(1, {rows})",
    }.get(db.name, f"SELECT seq FROM seq_1_to_{rows}")
    db.run("CREATE TABLE sheet (id INTEGER PRIMARY KEY)", f"INSERT INTO sheet {counting}")


async def test_a_long_list_comes_in_parts_and_a_short_one_whole(open_db: Opener) -> None:
    db = open_db(max_records=100_000)
    db.needs("streams")
    await long_table(db, 2_750)

    response = await answer(db, "_table/sheet", order="id", limit="5000", include_count="true")

    assert response.parts is not None
    found = [*response.parts.first]
    async with aclosing(response.parts.rest) as rest:
        sizes = [len(found)]
        async for part in rest:
            found += part
            sizes.append(len(part))
    assert sizes == [PART, PART, PART, PART, PART, 250]
    assert found == [{"id": number} for number in range(1, 2_751)]
    assert response.parts.meta == {"count": 2_750}
    assert (await answer(db, "_table/sheet", limit=str(LONG))).parts is None
    assert (await answer(db, "_table/sheet", limit="5000", filter="id < 9")).parts is None
    assert (await answer(db, "_table/sheet", limit="5000", streams=False)).parts is None


async def test_a_long_list_counts_when_the_limit_was_the_servers(open_db: Opener) -> None:
    db = open_db(max_records=2_000)
    db.needs("streams")
    await long_table(db, 2_750)

    response = await answer(db, "_table/sheet", order="id", offset="100")

    assert response.parts is not None
    await response.parts.rest.aclose()
    assert response.parts.meta == {"count": 2_750, "next": 2_100}
    whole = await db.get("_table/sheet", order="id", offset="100")
    assert isinstance(whole, dict)
    assert whole["meta"] == response.parts.meta


async def test_only_a_few_long_lists_are_read_at_one_time(open_db: Opener) -> None:
    db = open_db(max_records=100_000)
    db.needs("streams")
    await long_table(db, 2_000)
    taken = [await answer(db, "_table/sheet") for _ in range(4)]

    error = await db_refusal(db)
    for one in taken:
        assert one.parts is not None
        await one.parts.rest.aclose()

    assert error == 503
    again = await answer(db, "_table/sheet")
    assert again.parts is not None
    await again.parts.rest.aclose()


async def db_refusal(db: Db) -> int:
    with pytest.raises(Unavailable) as caught:
        await answer(db, "_table/sheet")
    assert caught.value.headers["Retry-After"]
    return caught.value.status


async def test_what_is_asked_of_a_long_list_is_checked_before_it_begins(open_db: Opener) -> None:
    db = open_db(max_records=100_000)
    for parameters in ({"filter": "colour = 1"}, {"order": "colour"}, {"fields": "colour"}):
        assert (await db.refused("GET", "_table/product", None, {"limit": "5000", **parameters})).status == 400


# -- limits


async def test_a_role_gets_no_more_records_than_its_limit_says(open_db: Opener) -> None:
    db = open_db(limits={"r": {"max_records": 3}, "*": {"max_records": 5}})
    guest = role(("*", 1, []))

    assert await db.ids("_table/product", limit="100", caller=guest) == [1, 2, 3]
    page = await db.get("_table/product", order="id", caller=guest)
    assert isinstance(page, dict)
    assert page["meta"] == {"count": 10, "next": 3}
    assert len(await walked(db, "product", 3, caller=guest)) == 10
    other = Caller(role=Role(id=2, name="another", is_active=True, access=cast("Role", guest.role).access))
    assert len(await db.ids("_table/product", caller=other)) == 5
    assert len(await db.ids("_table/product")) == 10


async def test_a_read_that_takes_longer_than_the_role_may_is_ended_and_says_what_to_do(open_db: Opener) -> None:
    db = open_db(limits={"*": {"max_seconds": 0.2}})
    await long_table(db, 3_000)
    slow = "SELECT count(*) AS id FROM sheet a, sheet b, sheet c WHERE a.id + b.id + c.id > 9"
    db.run(f"CREATE VIEW slow AS {slow}")
    guest = role(("*", 1, []))

    error = await db.refused("GET", "_table/slow", caller=guest)

    assert error.status == 400
    assert "0.2 s" in error.message
    assert "narrower filter" in error.message
    assert await db.ids("_table/product", limit="1", caller=guest) == [1]


@pytest.mark.parametrize(
    "limits",
    ["much", {"r": 5}, {"r": {"max_rows": 5}}, {"r": {"max_records": 0}}, {"r": {"max_seconds": "1"}}],
)
async def test_limits_that_make_no_sense_say_where_and_let_administrators_in(open_db: Opener, limits: JSON) -> None:
    db = open_db(limits=limits)

    for resource in ("_table/product", "_table/product/1"):
        error = await db.refused("GET", resource, limit="1", caller=role(("*", 1, [])))
        assert (error.status, "'limits'" in error.message) == (400, True)
    assert await db.ids("_table/product", limit="1") == [1]


# -- explanations


async def explained(db: Db, resource: str, *, caller: Caller = ADMIN, **named: JSON) -> dict[str, JSON]:
    response = await answer(db, resource, caller=caller, headers={"x-reverie-explain": "true"}, more=named)
    return cast("dict[str, dict[str, JSON]]", response.content)["explain"]


async def test_an_explanation_shows_statement_values_and_plan(db: Db) -> None:
    found = await explained(db, "_table/product", filter="in_stock > 50", limit="5", order="name")

    [statement] = cast("list[dict[str, JSON]]", found["statements"])
    assert "50" not in str(statement["sql"])
    # MySQL has the offset before the limit.
    assert cast("list[JSON]", statement["values"])[:3] in ([50, 5, 0], [50, 0, 5])
    assert statement["rows"] == len(resources(await db.get("_table/product", filter="in_stock > 50", limit="5")))
    assert statement["plan"]
    assert found["role"] is None
    related = await explained(db, "_table/category/4", related="product_by_category_id")
    assert len(cast("list[JSON]", related["statements"])) == 2


async def test_an_explanation_is_for_administrators_alone(db: Db) -> None:
    guest = role(("*", 31, []))
    for resource in ("_table/product", "_table/product/1"):
        with pytest.raises(Forbidden, match="administrators"):
            await explained(db, resource, caller=guest)
    plain = await answer(db, "_table/product/1", caller=guest, headers={"x-reverie-explain": "false"})
    assert cast("dict[str, JSON]", plain.content)["id"] == 1
