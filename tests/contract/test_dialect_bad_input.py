"""Input that no database can take: a clear refusal that names the field and shows no SQL, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reverie.model import JSON
from tests.contract.sql_stage import DIALECTS, Db, Opener, resources

pytestmark = pytest.mark.anyio

HUGE = 2**63


@pytest.fixture(params=DIALECTS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Db]:
    opener = Opener(request.param, tmp_path)
    yield opener()
    await opener.close()


WRITTEN: tuple[tuple[str, str, JSON], ...] = (
    ("product", "in_stock", "abc"), ("product", "in_stock", "1.x"), ("product", "in_stock", [1]),
    ("product", "in_stock", {"a": 1}), ("product", "in_stock", HUGE), ("product", "in_stock", -HUGE * 2),
    ("product", "in_stock", "9" * 5000), ("product", "in_stock", 1e300), ("product", "in_stock", ""),
    ("product", "unit_price", "abc"), ("product", "unit_price", "NaN"), ("product", "unit_price", "1e999"),
    ("product", "unit_price", float("inf")), ("product", "unit_price", {"expression": "1+1"}),
    ("product", "unit_price", 10**30),
    ("product", "added_on", "2024-02-30"), ("product", "added_on", "2024-13-01"), ("product", "added_on", True),
    ("product", "added_on", "soon"), ("product", "added_on", [2024, 1, 1]), ("product", "added_on", "2024-01-01 25:00"),
    ("product", "name", None), ("product", "name", "half \ud800"), ("product", "name", {"a": "b"}),
    ("product", "category_id", "one"), ("product", "category_id", 1.5e20),
    ("orders", "shipped_at", "2023-02-29 10:00:00"), ("orders", "shipped_at", "2024-01-10T24:61:00"),
)  # fmt: skip
"""Values that fit their field nowhere."""


@pytest.mark.parametrize(("table", "name", "value"), WRITTEN, ids=[f"{one[1]}={str(one[2])[:24]!a}" for one in WRITTEN])
async def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_field(
    db: Db, table: str, name: str, value: JSON
) -> None:
    before = resources(await db.get(f"_table/{table}", limit="1000"))

    changed = await db.refused("PATCH", f"_table/{table}/1", {name: value})
    many = await db.refused("PATCH", f"_table/{table}", {"resource": [{name: value}]}, filter="id > 0")
    created = await db.refused("POST", f"_table/{table}", {"resource": [{name: value}]})

    for refused in (changed, many):
        assert refused.status == 400
        assert name in refused.message
    context: Any = created.context
    assert (created.status, created.code, context["error"]) == (400, 1000, [0])
    assert name in context["resource"][0]["message"]
    assert resources(await db.get(f"_table/{table}", limit="1000")) == before


COMPARED: tuple[tuple[str, JSON], ...] = (
    ("in_stock", "abc"), ("in_stock", [1]), ("in_stock", {}), ("unit_price", "x"), ("name", "\ud800"),
    ("added_on", "2024-02-30"), ("category_id", "--"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "value"), COMPARED, ids=[f"{one[0]}={one[1]!a}" for one in COMPARED])
async def test_a_filter_value_that_does_not_fit_is_refused(db: Db, name: str, value: JSON) -> None:
    refused = await db.refused("GET", "_table/product", filter=f"({name} = :v)", params={":v": value})

    assert refused.status == 400
    assert name in refused.message or isinstance(value, list | dict)


async def test_a_constraint_that_says_no_names_the_field(db: Db) -> None:
    twice = await db.refused("PATCH", "_table/product/2", {"sku": "SEA-001"})
    nowhere = await db.refused("PATCH", "_table/product/2", {"category_id": 99, "supplier_id": None})
    many = await db.refused("PATCH", "_table/product", {"resource": {"supplier_id": 99}}, filter="id=2")
    needed = await db.refused("DELETE", "_table/customer/ALFKA")

    assert [one.status for one in (twice, nowhere, many, needed)] == [409, 409, 409, 409]
    assert "sku" in twice.message
    assert "category_id" in nowhere.message
    assert "supplier_id" not in nowhere.message
    assert "supplier_id" in many.message
    for refused in (twice, nowhere, many, needed):
        assert "SEA-001" not in refused.message


async def test_a_text_that_is_too_long_or_holds_nul_names_its_field(db: Db) -> None:
    if db.has("texts hold nul"):
        pytest.skip(f"{db.name} takes texts of any length, with NUL")
    nul = await db.refused("PATCH", "_table/product/1", {"name": "a\0b", "sku": "X"})
    long = await db.refused("PATCH", "_table/product/1", {"name": "x" * 5000, "sku": "X"})
    both = await db.refused("GET", "_table/product", filter="(sku = 'x') and (name = :n)", params={":n": "a\0b"})

    for refused in (nul, long, both):
        assert refused.status == 400
        assert "name" in refused.message
        assert "sku" not in refused.message


@pytest.mark.parametrize(
    "text",
    [
        f"id in ({','.join(map(str, range(5000)))})",
        "(" * 5000 + "id=1" + ")" * 5000,
        " and ".join(["(id=1)"] * 5000),
        "not " * 5000 + "(id=1)",
        "name = '" + "x" * 70_000 + "'",
        "id in (" + "1," * 5000,
    ],
    ids=["values", "parentheses", "comparisons", "nots", "length", "unfinished"],
)
async def test_a_filter_without_measure_is_refused(db: Db, text: str) -> None:
    refused = await db.refused("GET", "_table/product", filter=text)

    assert refused.status == 400
    assert len(refused.message) < 300


async def test_lists_of_values_and_ids_have_an_end(db: Db) -> None:
    empty = await db.get("_table/product", filter="id in (:none)", params={":none": []}, count_only="true")
    no_empty = await db.get("_table/product", filter="id not in (:none)", params={":none": []}, count_only="true")
    many = await db.refused("GET", "_table/product", filter="id in (:all)", params={":all": list(range(5000))})
    ids = await db.refused("GET", "_table/product", {"ids": list(range(20_000))})

    assert (empty, no_empty) == (0, 10)
    assert (many.status, ids.status) == (400, 400)


async def test_records_nested_in_a_circle_end(db: Db) -> None:
    category: dict[str, JSON] = {"name": "Round", "description": "outer"}
    inner: dict[str, JSON] = category
    for number in range(200):
        product: dict[str, JSON] = {"name": f"p{number}"}
        following: dict[str, JSON] = {"name": f"c{number}"}
        inner["product_by_category_id"] = [product]
        product["category_by_category_id"] = following
        inner = following

    await db.ask("POST", "_table/category", {"resource": [category]})

    # Relations of the record itself are written; what they would lead to is no field of theirs.
    assert await db.get("_table/product", filter="name in ('p0', 'p1')", count_only="true") == 1


@pytest.mark.parametrize("name", ["nope", "", " ", "\0", "\ud800", "id;", "sqlite_master", "pg_class", "../product"])
async def test_unknown_names_are_not_found_or_refused(db: Db, name: str) -> None:
    answers = [
        await db.refused("GET", f"_table/{name}x"),
        await db.refused("PATCH", f"_table/{name}x/1", {"a": 1}),
        await db.refused("GET", "_table/product", fields=f"{name}x"),
        await db.refused("GET", "_table/product", order=f"{name}x"),
        await db.refused("GET", "_table/product", group=f"{name}x"),
        await db.refused("GET", "_table/product", ids="1", id_field=f"{name}x"),
        await db.refused("GET", f"_schema/{name}x"),
    ]

    assert [one.status for one in answers] == [404, 404, 400, 400, 400, 400, 404]
