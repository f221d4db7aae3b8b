"""What every database does behind `SqlService` with related records, and what a role hides on that way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from reverie.errors import ReverieError
from reverie.model import JSON
from tests.contract.sql_stage import DIALECTS, Db, Opener, resources, role

pytestmark = pytest.mark.anyio

PRODUCTS = "product_by_category_id"
TAGS = "tag_by_product_tag"


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


async def labels(db: Db, product: int) -> list[JSON]:
    more: dict[str, JSON] = {"related": TAGS, f"{TAGS}.order": "label", f"{TAGS}.fields": "label"}
    found = cast("dict[str, JSON]", await db.ask("GET", f"_table/product/{product}", None, {"fields": "id", **more}))
    return [one["label"] for one in cast("list[dict[str, JSON]]", found[TAGS])]


def entries(refusal: ReverieError) -> list[dict[str, JSON]]:
    """What became of each record of a batch."""
    context = refusal.context
    return cast("list[dict[str, JSON]]", context["resource"]) if isinstance(context, dict) else []


# -- reading


async def test_related_records_cost_one_query_for_each_relation_and_not_one_for_each_parent(db: Db) -> None:
    asked: list[str] = []
    fetch = db.service._records._related._executor.fetch

    async def counting(connection: object, shape: object, values: object) -> object:
        asked.append(type(shape).__name__)
        return await fetch(connection, shape, values)  # type: ignore[arg-type]

    db.service._records._related._executor.fetch = counting  # type: ignore[method-assign, assignment]

    await db.get("_table/category", related=f"{PRODUCTS}", order="id")

    assert asked == ["Select", "Select"]


async def test_a_role_without_the_related_table_is_refused_and_its_filter_hides_related_rows(db: Db) -> None:
    stock: dict[str, JSON] = {"name": "in_stock", "operator": ">", "value": 50}
    some = role(("_table/category/*", 31, []), ("_table/product/*", 1, [stock]))
    none = role(("_table/category/*", 31, []))
    options: dict[str, JSON] = {"fields": "id", "related": PRODUCTS, f"{PRODUCTS}.fields": "id"}

    seen = await db.ask("GET", "_table/category/4", None, options, caller=some)

    assert seen == {"id": 4, PRODUCTS: [{"id": 2}]}
    assert (await db.refused("GET", "_table/category/4", None, options, caller=none)).status == 403


async def test_a_table_between_two_others_is_read_under_its_own_rules(db: Db) -> None:
    first: dict[str, JSON] = {"name": "tag_id", "operator": "=", "value": 1}
    between = role(("_table/product/*", 1, []), ("_table/tag/*", 1, []), ("_table/product_tag/*", 1, [first]))
    without = role(("_table/product/*", 1, []), ("_table/tag/*", 1, []))
    options: dict[str, JSON] = {"fields": "id", "related": TAGS, f"{TAGS}.fields": "id"}

    seen = await db.ask("GET", "_table/product/3", None, options, caller=between)

    assert seen == {"id": 3, TAGS: [{"id": 1}]}
    assert (await db.refused("GET", "_table/product/3", None, options, caller=without)).status == 403


async def test_a_field_that_only_joins_is_not_shown_in_the_related_record(db: Db) -> None:
    options: dict[str, JSON] = {"fields": "name", "related": PRODUCTS, f"{PRODUCTS}.fields": "name"}

    found = await db.ask("GET", "_table/category/2", None, options)

    assert found == {"name": "Preserves", "id": 2, PRODUCTS: [{"name": "Cloudberry Jam"}, {"name": "Pickled Onions"}]}


# -- writing


async def test_a_record_comes_with_new_and_attached_children_in_one_unit(db: Db) -> None:
    children: JSON = [{"name": "Crisps"}, {"id": 10}]

    created = await db.ask("POST", "_table/category", {"name": "Snacks", PRODUCTS: children})

    assert resources(created) == [{"id": 5}]
    assert await db.ids("_table/product", filter="category_id=5") == [10, 11]


async def test_tags_are_linked_once_and_unlinked_by_the_special_key(db: Db) -> None:
    assert await labels(db, 1) == []

    await db.ask("PATCH", "_table/product/1", {TAGS: [{"id": 1}, {"id": 1}, {"label": "fresh"}]})
    linked = await labels(db, 1)
    await db.ask("PATCH", "_table/product/1", {TAGS: [{"id": 1, "product.id": None}]})

    assert linked == ["fresh", "organic"]
    assert await labels(db, 1) == ["fresh"]


async def test_a_failing_child_fails_its_entry_and_leaves_the_parent_unless_all_is_undone(db: Db) -> None:
    bad: JSON = {"resource": [{"name": "N1", PRODUCTS: [{"name": "good"}, {"in_stock": "seven", "name": "bad"}]}]}

    worse: JSON = {"resource": [{"name": "N2", PRODUCTS: [{}]}]}

    stays = await db.refused("POST", "_table/category", bad)
    undone = await db.refused("POST", "_table/category", worse, rollback="true")

    [entry] = entries(stays)
    assert (entry["code"], undone.status) == (400, 400)
    assert PRODUCTS in str(entry["message"])
    names = [one["name"] for one in resources(await db.get("_table/category", filter="name like 'N%'", fields="name"))]
    assert names == ["N1"]
    assert await db.get("_table/product", filter="name='good'", count_only="true") == 0


async def test_one_record_and_its_children_are_written_together_or_not_at_all(db: Db) -> None:
    change: JSON = {"description": "new", PRODUCTS: [{"id": 7, "in_stock": "seven"}]}

    refusal = await db.refused("PATCH", "_table/category/3", change)

    assert refusal.status == 400
    assert await db.get("_table/category/3", fields="description") == {"description": None}


async def test_nested_writes_need_the_right_for_that_verb_on_the_related_table(db: Db) -> None:
    reads = role(("_table/category/*", 31, []), ("_table/product/*", 1, []))
    creates = role(("_table/category/*", 31, []), ("_table/product/*", 3, []))
    new: JSON = {"name": "X", PRODUCTS: [{"name": "child"}]}
    moved: JSON = {PRODUCTS: [{"id": 1}]}

    for body, caller in ((new, reads), (moved, creates)):
        method, path = ("POST", "_table/category") if body is new else ("PATCH", "_table/category/1")
        refusal = await db.refused(method, path, body, caller=caller)
        assert 403 in (refusal.status, *(entry["code"] for entry in entries(refusal)))
    # What was undone may have taken a number with it.
    [made] = resources(await db.ask("POST", "_table/category", new, caller=creates))
    assert made["id"] in (5, 6)
    assert await db.get("_table/category", filter="name='X'", count_only="true") == 1
    assert await db.ids("_table/product", filter="category_id=1") == [5, 6, 8]


async def test_the_roles_filter_holds_for_children_that_are_written(db: Db) -> None:
    own: dict[str, JSON] = {"name": "in_stock", "operator": "<", "value": 50}
    some = role(("_table/category/*", 31, []), ("_table/product/*", 31, [own]))

    hidden = await db.refused("PATCH", "_table/category/1", {PRODUCTS: [{"id": 2}]}, caller=some)
    against = await db.refused("PATCH", "_table/category/1", {PRODUCTS: [{"id": 1, "in_stock": 90}]}, caller=some)

    assert (hidden.status, against.status) == (400, 403)
    assert await db.ids("_table/product", filter="category_id=1") == [5, 6, 8]


async def test_a_child_that_must_have_a_parent_is_only_let_go_when_it_may_be_deleted(db: Db) -> None:
    loose: JSON = {"product_tag_by_product_id": [{"id": 1, "product_id": None}]}

    refusal = await db.refused("PATCH", "_table/product/3", loose)
    await db.ask("PATCH", "_table/product/3", loose, allow_related_delete="true")

    assert (refusal.status, "allow_related_delete" in refusal.message) == (400, True)
    assert await db.ids("_table/product_tag") == [2, 3, 4]
