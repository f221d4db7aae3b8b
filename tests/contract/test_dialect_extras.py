"""What every database does behind `SqlService` with aliases, rules and relationships that are kept beside it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from reverie.errors import BatchError
from reverie.model import JSON
from tests.contract.sql_stage import DIALECTS, Db, Opener, items, resources, role

pytestmark = pytest.mark.anyio

PRODUCTS = "product_by_category_id"


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


def a_map(answer: JSON) -> dict[str, JSON]:
    assert isinstance(answer, dict)
    return answer


async def field(db: Db, path: str, **properties: JSON) -> None:
    table, _, name = path.partition(".")
    await db.ask("PATCH", f"_schema/{table}/_field/{name}", properties)


# -- aliases of fields


async def test_a_key_with_an_alias_works_on_every_path_that_uses_keys(db: Db) -> None:
    await field(db, "supplier.id", alias="number")

    made = resources(await db.ask("POST", "_table/supplier", {"resource": [{"company": "New"}]}))
    number = made[0]["number"]
    await db.ask("PATCH", f"_table/supplier/{number}", {"company": "Newer"})
    await db.ask("PUT", "_table/supplier", {"resource": [{"number": number, "phone": "1"}]})
    read = a_map(await db.get(f"_table/supplier/{number}", fields="number,company,phone"))
    listed = resources(await db.get("_table/supplier", ids=str(number), fields="number"))
    gone = await db.ask("DELETE", "_table/supplier", None, {"filter": f"number = {number}"})

    assert read == {"number": number, "company": "Newer", "phone": "1"}
    assert listed == resources(gone) == [{"number": number}]
    assert a_map(await db.get("_schema/supplier"))["primary_key"] == ["id"]


async def test_relations_hang_on_fields_with_aliases_at_either_end(db: Db) -> None:
    plain: dict[str, JSON] = {"related": PRODUCTS, f"{PRODUCTS}.fields": "name", f"{PRODUCTS}.order": "name"}
    before = a_map(await db.ask("GET", "_table/category/1", None, plain))[PRODUCTS]
    await field(db, "category.id", alias="number")
    await field(db, "product.category_id", alias="shelf")

    after = a_map(await db.ask("GET", "_table/category/1", None, plain))
    tags = a_map(await db.get("_table/product/1", fields="id", related="category_by_category_id"))
    body: JSON = {"name": "Spices", PRODUCTS: [{"name": "Saffron", "sku": "SPI-001", "supplier_id": 1}]}
    made = resources(await db.ask("POST", "_table/category", {"resource": [body]}, {"related": PRODUCTS}))

    assert before
    assert after[PRODUCTS] == before
    assert a_map(tags["category_by_category_id"])["number"] == tags["shelf"]
    assert cast("list[dict[str, JSON]]", made[0][PRODUCTS])[0]["shelf"] == made[0]["number"]


async def test_two_fields_that_swap_their_names_swap_their_values(db: Db) -> None:
    before = a_map(await db.get("_table/supplier/1", fields="company,phone"))
    changed: JSON = {"resource": [{"name": "company", "alias": "phone"}, {"name": "phone", "alias": "company"}]}

    await db.ask("PUT", "_schema/supplier/_field", changed)
    after = a_map(await db.get("_table/supplier/1", fields="company,phone"))
    same = a_map(await db.get("_table/supplier/1"))

    assert (after["company"], after["phone"]) == (before["phone"], before["company"])
    assert (same["company"], same["phone"]) == (before["phone"], before["company"])


async def test_groups_orders_and_aggregates_use_the_alias(db: Db) -> None:
    await field(db, "product.in_stock", alias="stock")
    await field(db, "product.category_id", alias="shelf")

    rows = resources(await db.get("_table/product", fields="shelf,MAX(stock)", group="shelf", order="shelf"))
    ordered = resources(await db.get("_table/product", fields="stock", order="stock desc", limit="2"))

    assert list(rows[0]) == ["shelf", "MAX_stock"]
    assert ordered[0]["stock"] == max(cast("list[int]", [row["MAX_stock"] for row in rows]))
    assert (await db.refused("GET", "_table/product", None, {"group": "category_id"})).status == 400


async def test_an_alias_that_is_taken_back_leaves_nothing_behind(db: Db) -> None:
    before = await db.get("_schema/supplier")
    await field(db, "supplier.phone", alias="telephone", label="Telephone", description="With its prefix")
    between = a_map(await db.get("_schema/supplier/_field/phone"))

    await field(db, "supplier.phone", alias=None, label="", description=None)

    assert (between["alias"], between["label"]) == ("telephone", "Telephone")
    assert await db.get("_schema/supplier") == before


async def test_a_field_that_is_dropped_and_made_again_has_no_extras(db: Db) -> None:
    await db.ask("POST", "_schema/tag/_field", {"resource": [{"name": "note", "type": "string", "allow_null": True}]})
    await field(db, "tag.note", alias="remark")
    assert "remark" in a_map(await db.get("_table/tag/1"))

    await db.ask("DELETE", "_schema/tag/_field/note")
    await db.ask("POST", "_schema/tag/_field", {"resource": [{"name": "note", "type": "string", "allow_null": True}]})

    assert "note" in a_map(await db.get("_table/tag/1"))


async def test_a_table_is_made_with_its_extras_and_forgets_them_when_it_is_dropped(db: Db) -> None:
    fields: list[JSON] = [
        {"name": "id", "type": "id"},
        {
            "name": "state",
            "type": "string",
            "alias": "status",
            "picklist": "open, done",
            "validation": {"picklist": []},
        },
    ]
    table: JSON = {"name": "todo", "alias": "chore", "label": "A Chore", "field": fields}
    await db.ask("POST", "_schema", {"resource": [table]})

    made = await db.ask("POST", "_table/chore", {"resource": [{"status": "done"}]}, {"fields": "status"})
    refused = await db.refused("POST", "_table/chore", {"resource": [{"status": "late"}]})
    await db.ask("DELETE", "_schema/todo")
    await db.ask("POST", "_schema", {"resource": [{"name": "todo", "field": [{"name": "id", "type": "id"}]}]})

    assert made == {"resource": [{"status": "done"}]}
    assert isinstance(refused, BatchError)
    assert a_map(await db.get("_schema/todo"))["alias"] is None
    assert await db.get("_table/todo") == {"resource": []}


async def test_a_table_sent_back_whole_changes_nothing(db: Db) -> None:
    await db.ask("PATCH", "_schema/supplier", {"alias": "vendor", "plural": "Vendors", "name_field": "company"})
    await field(db, "supplier.phone", alias="telephone", validation={"not_empty": None})
    await db.ask("PATCH", f"_schema/category/_related/{PRODUCTS}", {"alias": "items"})

    for table in ("supplier", "category", "product"):
        whole = await db.get(f"_schema/{table}")
        kept = await db.extras.load()
        await db.ask("PATCH", f"_schema/{table}", whole)
        assert await db.extras.load() == kept
        assert await db.get(f"_schema/{table}") == whole


# -- aliases of tables


async def test_lists_of_tables_show_the_alias_where_records_are_and_the_name_where_the_schema_is(db: Db) -> None:
    await db.ask("PATCH", "_schema/supplier", {"alias": "vendor"})

    tables = items(await db.get("_table", as_list="true"))
    schema = items(await db.get("_schema", as_list="true"))
    access = await db.service.access_list()

    assert "vendor" in tables
    assert "supplier" not in tables
    assert "supplier" in schema
    assert {"_table/vendor/", "_schema/supplier/"} <= set(access)
    assert not {"_table/supplier/", "_schema/vendor/"} & set(access)


async def test_relations_lead_to_a_table_with_an_alias_under_the_access_to_its_alias(db: Db) -> None:
    await db.ask("PATCH", "_schema/product", {"alias": "article"})
    allowed = role(("_table/category", 1, []), ("_table/article", 1, []))
    before = role(("_table/category", 1, []), ("_table/product", 1, []))

    found = a_map(await db.get("_table/category/1", caller=allowed, related=PRODUCTS))

    assert found[PRODUCTS]
    assert (await db.refused("GET", "_table/category/1", None, {"related": PRODUCTS}, caller=before)).status == 403


@pytest.mark.parametrize("limit", ["5", ""])
async def test_an_alias_opens_no_record_that_a_role_hid_under_the_name(db: Db, limit: str) -> None:
    hidden = role(("_table/*", 31, []), ("_table/supplier/*", 31, [{"name": "id", "operator": "=", "value": 1}]))
    await db.ask("PATCH", "_schema/supplier", {"alias": "vendor"})
    more: dict[str, JSON] = {"limit": limit} if limit else {}

    assert await db.ids("_table/vendor", caller=hidden, **more) == [1]
    assert (await db.refused("GET", "_table/vendor/2", caller=hidden)).status == 404
    assert (await db.refused("PATCH", "_table/vendor/2", {"phone": "1"}, caller=hidden)).status == 404


# -- relationships


async def test_a_virtual_relation_reads_and_writes_like_a_real_one(db: Db) -> None:
    relation: JSON = {
        "type": "has_many",
        "is_virtual": True,
        "field": "sku",
        "ref_table": "stock_event",
        "ref_field": "sku",
    }
    made = await db.ask("POST", "_schema/product/_related", {"resource": [relation]})
    name = "stock_event_by_sku"

    whole = a_map(await db.get("_table/product", related=name, filter="sku = 'SEA-001'"))
    events = cast("list[dict[str, JSON]]", resources(whole)[0][name])

    assert made == {"resource": [{"name": name}]}
    assert events
    assert {one["sku"] for one in events} == {"SEA-001"}
    assert a_map(await db.get(f"_schema/product/_related/{name}"))["ref_service_id"] == 1


async def test_a_table_is_made_together_with_a_virtual_relation(db: Db) -> None:
    relation: JSON = {
        "type": "belongs_to",
        "is_virtual": True,
        "field": "sku",
        "ref_table": "product",
        "ref_field": "sku",
    }
    fields: list[JSON] = [{"name": "id", "type": "id"}, {"name": "sku", "type": "string"}]

    await db.ask("POST", "_schema", {"resource": [{"name": "note", "field": fields, "related": [relation]}]})
    made = resources(await db.ask("POST", "_table/note", {"resource": [{"sku": "SEA-001"}]}, {"related": "*"}))

    assert a_map(made[0]["product_by_sku"])["sku"] == "SEA-001"


async def test_a_virtual_relation_over_a_table_between_finds_the_other_side(db: Db) -> None:
    relation: JSON = {
        "type": "many_many", "is_virtual": True, "field": "sku", "ref_table": "product", "ref_field": "sku",
        "junction_table": "stock_event", "junction_field": "sku", "junction_ref_field": "sku",
    }  # fmt: skip
    await db.ask("POST", "_schema/product/_related", {"resource": [relation]})
    name = "product_by_stock_event"

    found = resources(await db.get("_table/product", filter="sku = 'SEA-001'", related=name, fields="sku"))

    assert {one["sku"] for one in cast("list[dict[str, JSON]]", found[0][name])} == {"SEA-001"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"ref_table": "nope"}, 400),
        ({"ref_field": "nope"}, 400),
        ({"field": "nope"}, 400),
        ({"field": ""}, 400),
        ({"type": "many_many"}, 400),
        ({"ref_service_id": 99}, 501),
        ({"alias": "id"}, 409),
        ({"ref_table": "category", "ref_field": "id", "field": "category_id"}, 409),
    ],
)
async def test_a_virtual_relation_that_leads_nowhere_is_refused(db: Db, change: dict[str, JSON], status: int) -> None:
    good: dict[str, JSON] = {
        "type": "belongs_to", "is_virtual": True, "field": "sku", "ref_table": "stock_event", "ref_field": "sku",
    }  # fmt: skip
    assert (await db.refused("POST", "_schema/product/_related", {"resource": [{**good, **change}]})).status == status
    assert "stock_event_by_sku" not in str(await db.get("_schema/product/_related"))


async def test_dropping_a_real_relation_only_forgets_its_extras(db: Db) -> None:
    path = f"_schema/category/_related/{PRODUCTS}"
    before = await db.get(path)
    await db.ask("PATCH", path, {"alias": "items", "always_fetch": True, "flatten": True})
    assert "items" in a_map(await db.get("_table/category/1"))
    assert a_map(await db.get(path))["flatten"] is True

    await db.ask("DELETE", "_schema/category/_related", None, {"ids": PRODUCTS})

    assert await db.get(path) == before
    assert "items" not in a_map(await db.get("_table/category/1"))


async def test_a_virtual_relation_whose_field_was_dropped_is_gone_and_reads_go_on(db: Db) -> None:
    await db.ask("POST", "_schema/tag/_field", {"resource": [{"name": "sku", "type": "string", "allow_null": True}]})
    relation: JSON = {
        "type": "belongs_to", "is_virtual": True, "field": "sku", "ref_table": "product", "ref_field": "sku",
        "always_fetch": True,
    }  # fmt: skip
    await db.ask("POST", "_schema/tag/_related", {"resource": [relation]})
    assert "product_by_sku" in a_map(await db.get("_table/tag/1"))

    await db.ask("DELETE", "_schema/tag/_field/sku")

    assert "product_by_sku" not in a_map(await db.get("_table/tag/1"))
    assert (await db.refused("GET", "_schema/tag/_related/product_by_sku")).status == 404


# -- rules


@pytest.mark.parametrize("validation", [{"create_only": []}, {"api_read_only": None}, {"not_empty": []}])
async def test_rules_bind_the_fields_that_are_written_and_not_the_id_that_names_the_record(
    db: Db, validation: dict[str, JSON]
) -> None:
    await field(db, "customer.code", validation=validation)

    changed = await db.ask("PATCH", "_table/customer", {"resource": [{"code": "ALFKA", "city": "Rome"}]})

    assert changed == {"resource": [{"code": "ALFKA"}]}


async def test_rules_hold_in_batches_by_filter_and_for_related_records(db: Db) -> None:
    await field(db, "product.in_stock", validation={"int": {"range": {"max": 500}, "on_fail": "Too many."}})
    related: JSON = {PRODUCTS: [{"id": 1, "in_stock": 501}]}

    said = [
        await db.refused("PATCH", "_table/product", {"resource": [{"id": 1, "in_stock": 501}]}),
        await db.refused("PATCH", "_table/product", {"resource": [{"in_stock": 501}]}, {"filter": "id > 0"}),
        await db.refused("PATCH", "_table/category/1", related),
    ]

    assert [one.status for one in said][1:] == [400, 400]
    assert isinstance(said[0], BatchError)
    assert "Too many." in said[1].message
    assert "Too many." in said[2].message
    assert await db.ids("_table/product", filter="in_stock > 500") == []


async def test_a_rule_about_form_is_an_expression_with_its_flags(db: Db) -> None:
    expression = base64.b64encode(b"{^[a-z]{3}$}i").decode()
    await field(db, "customer.contact_name", validation={"match": {"regexp": expression}})

    await db.ask("PATCH", "_table/customer/ALFKA", {"contact_name": "aBc"})

    assert (await db.refused("PATCH", "_table/customer/ALFKA", {"contact_name": "abcd"})).status == 400
