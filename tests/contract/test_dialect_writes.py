"""What every database does behind `SqlService` when records are written, and what roles hide."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from reverie.errors import BatchError
from reverie.model import JSON
from reverie.mysql.connection import MysqlConnection
from tests.contract.sql_stage import DIALECTS, Db, Opener, resources, role

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*DIALECTS, "mysql, no RETURNING"])
async def open_db(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Opener]:
    name, _, less = request.param.partition(",")
    if less:  # as MySQL; what runs here is MariaDB
        monkeypatch.setattr(MysqlConnection, "has_returning", False)
    opener = Opener(name, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


async def test_records_are_created_from_every_accepted_form(db: Db) -> None:
    for number, body in enumerate(
        ({"resource": [{"label": "a"}]}, [{"label": "b"}], {"resource": {"label": "c"}}, {"label": "d"}, {"LABEL": "e"})
    ):
        assert await db.ask("POST", "_table/tag", cast("JSON", body)) == {"resource": [{"id": 4 + number}]}
    assert await db.ask("POST", "_table/tag", {"label": "{town} {nope}"}, fields="*") == {
        "resource": [{"id": 9, "label": "Porto {nope}"}]
    }


async def test_values_become_what_their_columns_hold(db: Db) -> None:
    record: JSON = {
        "name": "P", "unit_price": "4.50", "in_stock": "7", "discontinued": "true", "category_id": "", "nope": 1,
    }  # fmt: skip
    created = await db.ask("POST", "_table/product", record, fields="unit_price,in_stock,discontinued,category_id")
    picture = await db.ask("POST", "_table/product_detail", {"product_id": 2, "picture": "aGVsbG8="}, fields="picture")

    assert resources(created) == [{"unit_price": 4.5, "in_stock": 7, "discontinued": True, "category_id": None}]
    assert resources(picture) == [{"picture": "aGVsbG8="}]


@pytest.mark.parametrize(
    ("table", "record", "status"),
    [
        ("category", {"name": "Grains"}, 409),
        ("product", {"name": "x", "category_id": 999}, 409),
        ("category", {"description": "no name"}, 400),
        ("category", {"name": None}, 400),
        ("tag", {"unknown": 1}, 400),
        ("customer", {"company": "no code"}, 400),
        ("product", {"name": "x", "in_stock": "seven"}, 400),
        ("product", {"name": "x", "in_stock": 2**63}, 400),
        ("product", {"name": "x", "unit_price": "abc"}, 400),
        ("product", {"name": "x", "unit_price": float("inf")}, 400),
        ("product", {"name": "x", "added_on": {"expression": "date('now')"}}, 400),
        ("product", {"name": ["x"]}, 400),
        ("product", {"name": "\ud800"}, 400),
        ("product_detail", {"product_id": 2, "picture": "http://example.test/x.png"}, 400),
    ],
)
async def test_a_record_that_cannot_be_is_a_batch_error_that_says_why(
    db: Db, table: str, record: dict[str, JSON], status: int
) -> None:
    error = await db.refused("POST", f"_table/{table}", {"resource": [record]})

    assert isinstance(error, BatchError)
    assert isinstance(error.context, dict)
    [entry] = cast("list[dict[str, JSON]]", error.context["resource"])
    assert entry["code"] == status
    assert not re.search("insert|values|constraint", str(entry["message"]), re.IGNORECASE)


async def test_a_view_that_only_reads_takes_no_record(db: Db) -> None:
    db.needs("views only read")

    error = await db.refused("POST", "_table/product_on_sale", {"resource": [{"name": "x"}]})

    assert isinstance(error, BatchError)
    assert error.status == 400


async def test_a_text_with_nul_comes_back_as_it_went_in_or_is_a_clear_refusal(db: Db) -> None:
    if not db.has("texts hold nul"):
        refused = await db.refused("PATCH", "_table/tag/1", {"label": "a\0b"})
        assert (refused.status, "invalid byte" in refused.message) == (400, False)
        assert (await db.refused("GET", "_table/tag", filter="label = :t", params={"t": "a\0b"})).status == 400
        return
    await db.ask("PATCH", "_table/tag/1", {"label": "a\0b"})

    assert await db.get("_table/tag", filter="label = :t", params={"t": "a\0b"}, count_only="true") == 1


async def test_letters_of_all_scripts_come_back_as_they_went_in(db: Db) -> None:
    text = "ab 日本 🎣 é"

    created = await db.ask("POST", "_table/tag", {"label": text}, fields="label")

    assert resources(created) == [{"label": text}]
    assert await db.get("_table/tag", filter="label = :t", params={"t": text}, count_only="true") == 1


@pytest.mark.parametrize(
    ("mode", "failed", "kept"),
    [({}, [1], ["A1"]), ({"continue": "true"}, [1], ["A1", "A2"]), ({"rollback": "true"}, [1], [])],
    ids=["stop", "continue", "rollback"],
)
async def test_a_batch_stops_goes_on_or_undoes_everything(
    db: Db, mode: dict[str, JSON], failed: list[int], kept: list[str]
) -> None:
    batch: JSON = {"resource": [{"name": "A1"}, {"name": "Grains"}, {"name": "A2"}]}

    error = await db.refused("POST", "_table/category", batch, {"fields": "name", **mode})

    assert isinstance(error.context, dict)
    assert error.code == 1000
    assert error.context["error"] == failed
    entries = cast("list[dict[str, JSON]]", error.context["resource"])
    assert len(entries) == (3 if "continue" in mode else 2)
    assert entries[0] == {"id": 5}
    found = await db.get("_table/category", filter="name starts with A", fields="name", order="name")
    assert [record["name"] for record in resources(found)] == kept


async def test_put_and_patch_change_only_what_they_name(db: Db) -> None:
    assert await db.ask("PUT", "_table/supplier/2", {"company": "Q2", "id": 77}) == {"id": 2}
    assert await db.ask("PATCH", "_table/supplier/2", {"phone": "124"}, fields="*") == {
        "id": 2, "company": "Q2", "city": "Porto", "country": "Portugal", "phone": "124",
    }  # fmt: skip
    assert await db.ask("PATCH", "_table/supplier/2", {"bogus": 1}) == {"id": 2}
    assert await db.ask("PATCH", "_table/product/SEA-001", {"in_stock": 41}, id_field="sku") == {"sku": "SEA-001"}
    assert await db.ask("PATCH", "_table/tag", {"label": "s"}, ids="1,3") == {"resource": [{"id": 1}, {"id": 3}]}
    assert await db.ask("PATCH", "_table/tag", [{"label": "f"}], filter="id<3", fields="*", order="id") == {
        "resource": [{"id": 1, "label": "f"}, {"id": 2, "label": "f"}]
    }
    assert (await db.refused("PATCH", "_table/supplier/99", {"phone": "1"})).status == 404
    assert (await db.refused("PATCH", "_table/category/1", {"name": "Grains"})).status == 409
    assert (await db.refused("PATCH", "_table/category/1", {"name": None})).status == 400
    assert (await db.refused("PATCH", "_table/category/1")).status == 400


async def test_an_upsert_creates_what_is_missing_only_where_allowed(open_db: Opener) -> None:
    db = open_db(allow_upsert=True)

    assert await db.ask("PUT", "_table/tag/60", {"label": "u"}, fields="*") == {"id": 60, "label": "u"}
    assert await db.ask("PUT", "_table/tag/60", {"label": "v"}, fields="*") == {"id": 60, "label": "v"}
    assert (await open_db().refused("PUT", "_table/tag/61", {"label": "u"})).status == 404


async def test_records_are_deleted_by_id_ids_records_filter_and_force(db: Db) -> None:
    assert await db.ask("DELETE", "_table/product_tag/3", fields="*") == {"id": 3, "product_id": 8, "tag_id": 2}
    assert (await db.refused("DELETE", "_table/product_tag", ids="1,99")).code == 1000
    assert await db.ids("_table/product_tag") == [2, 4]
    assert await db.ask("DELETE", "_table/product_tag", {"resource": [{"id": 2}]}) == {"resource": [{"id": 2}]}
    page = await db.ask(
        "DELETE",
        "_table/order_item",
        filter="order_id>0",
        limit="2",
        order="order_id desc,product_id",
        fields="order_id",
    )
    assert page == {"resource": [{"order_id": 6}, {"order_id": 5}]}
    assert await db.get("_table/order_item", count_only="true") == 8
    assert (await db.refused("DELETE", "_table/supplier/1")).status == 409
    assert (await db.refused("DELETE", "_table/stock_event")).status == 400
    assert await db.ask("DELETE", "_table/stock_event", force="true") == {"success": True}
    assert await db.get("_table/stock_event", count_only="true") == 0


async def test_a_read_only_service_says_how_to_permit_writes(open_db: Opener) -> None:
    db = open_db(read_only=True)

    error = await db.refused("POST", "_table/tag", {"label": "x"})

    assert error.status == 403
    assert "--write" in error.message
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}


async def test_a_roles_filter_hides_records_from_every_read_and_write(db: Db) -> None:
    some: list[dict[str, JSON]] = [
        {"name": "in_stock", "operator": ">", "value": 50},
        {"name": "discontinued", "operator": "=", "value": "false"},
    ]
    caller = role(("_table/product/*", 31, some))

    assert await db.ids("_table/product", caller=caller) == [2, 5, 7]
    assert await db.ids("_table/product", caller=caller, filter="(id=1) or (id=2)") == [2]
    assert await db.get("_table/product", caller=caller, count_only="true") == 3
    assert await db.get("_table/product/2", caller=caller, fields="id") == {"id": 2}
    assert (await db.refused("GET", "_table/product/1", caller=caller)).status == 404
    assert (await db.refused("PATCH", "_table/product/1", {"in_stock": 60}, caller=caller)).status == 404
    assert (await db.refused("DELETE", "_table/product/1", caller=caller)).status == 404
    assert (await db.refused("PATCH", "_table/product/2", {"in_stock": 5}, caller=caller)).status == 403
    assert await db.get("_table/product/2", fields="in_stock") == {"in_stock": 120}


async def test_a_roles_filter_holds_for_new_records(db: Db) -> None:
    caller = role(("_table/tag/*", 31, [{"name": "label", "operator": "contains", "value": "i"}]))

    refused = await db.refused("POST", "_table/tag", [{"label": "fine"}, {"label": "abc"}], caller=caller)

    assert isinstance(refused.context, dict)
    assert cast("list[dict[str, JSON]]", refused.context["resource"])[1]["code"] == 403
    assert await db.get("_table/tag", filter="label='abc'", count_only="true") == 0
    assert (await db.refused("PATCH", "_table/tag", [{"label": "zzz"}], filter="id=1", caller=caller)).status == 403
    assert await db.ask("DELETE", "_table/tag", force="true", caller=caller) == {"success": True}
    assert await db.ids("_table/tag") == [3]


async def test_a_change_of_the_roles_filter_is_in_force_at_the_next_read(db: Db) -> None:
    before, after = role(("*", 31, [])), role(("_table/tag/*", 31, [{"name": "id", "operator": "=", "value": "2"}]))

    assert len(resources(await db.get("_table/tag", caller=before, limit="5"))) == 3
    assert len(resources(await db.get("_table/tag", caller=after, limit="5"))) == 1


async def test_lookups_are_values_and_never_logic(db: Db) -> None:
    assert await db.ids("_table/supplier", filter="city='{town}'") == [2]
    assert await db.ids("_table/supplier", filter="city={town}") == [2]
    assert await db.ids("_table/supplier", filter="city='{quote}'") == []
    assert await db.ids("_table/product", filter="id={user.id}", caller=role(("*", 31, []))) == [7]


async def test_a_large_batch_is_like_a_small_one_whole_or_with_a_mistake_in_it(db: Db) -> None:
    records: list[JSON] = [{"label": f"tag {number}"} for number in range(60)]

    made = resources(await db.ask("POST", "_table/tag", {"resource": records}, {"fields": "label"}))

    assert [one["label"] for one in made] == [f"tag {number}" for number in range(60)]
    mixed: list[JSON] = [
        {"label": f"more {number}"} if number % 2 else {"Label": f"x{number}", "id": 900 + number}
        for number in range(40)
    ]
    ids = [one["id"] for one in resources(await db.ask("POST", "_table/tag", {"resource": mixed}))]
    assert ids[0] == 900
    assert len(set(map(str, ids))) == 40
    twice: list[JSON] = [{"label": f"third {number}", "id": 2000 + number % 30} for number in range(40)]
    error = await db.refused("POST", "_table/tag", {"resource": twice})
    assert isinstance(error.context, dict)
    assert error.context["error"] == [30]
    assert len(await db.ids("_table/tag", filter="id >= 2000")) == 30
    undone = await db.refused(
        "POST",
        "_table/tag",
        {"resource": [{**cast("dict[str, JSON]", one), "id": 3000 + at % 30} for at, one in enumerate(twice)]},
        rollback="true",
    )
    assert undone.status == 400
    assert await db.ids("_table/tag", filter="id >= 3000") == []


async def test_a_value_becomes_the_same_in_a_large_batch_as_alone(db: Db) -> None:
    kinds: list[dict[str, JSON]] = [
        {"name": "plain", "unit_price": 4.5, "in_stock": 7, "discontinued": True, "category_id": 1},
        {"name": "texts", "unit_price": "4.50", "in_stock": "7", "discontinued": "true", "category_id": ""},
        {"name": "Grüße {town} {nope}", "unit_price": 3, "in_stock": 7.0, "discontinued": 0, "category_id": None},
        {"name": 12, "unit_price": True, "in_stock": False, "discontinued": "no", "category_id": "2"},
        {"NAME": "other case", "In_Stock": 1},
        {"name": "with another field", "nope": 1, "in_stock": 2},
        {"id": None, "name": "without a key"},
    ]
    columns = "name,unit_price,in_stock,discontinued,category_id"
    alone = [resources(await db.ask("POST", "_table/product", one, fields=columns))[0] for one in kinds]

    # Those of one kind stand together, and then they alternate.
    many = [one for one in kinds for _ in range(4)] + kinds * 4
    made = resources(await db.ask("POST", "_table/product", {"resource": cast("JSON", many)}, fields=columns))

    assert made == [one for one in alone for _ in range(4)] + alone * 4


async def test_a_large_batch_of_a_role_must_meet_its_conditions(db: Db) -> None:
    guest = role(("_table/tag/*", 31, [{"name": "label", "operator": "STARTS WITH", "value": "ok"}]))
    records: list[JSON] = [{"label": f"ok {number}"} for number in range(30)]

    await db.ask("POST", "_table/tag", {"resource": records}, caller=guest)
    error = await db.refused(
        "POST", "_table/tag", {"resource": [*records, {"label": "no"}]}, {"rollback": "true"}, caller=guest
    )

    assert isinstance(error.context, dict)
    assert error.context["error"] == [30]
    assert len(await db.ids("_table/tag", filter="label starts with 'ok'")) == 30


async def test_a_key_that_names_several_records_changes_none_when_one_would_leave_the_role(db: Db) -> None:
    few: list[dict[str, JSON]] = [
        {"name": "id", "operator": "<=", "value": 5},
        {"name": "in_stock", "operator": "<", "value": 50},
    ]
    caller = role(("_table/product/*", 31, few))
    assert caller.role is not None
    either = replace(caller.role, access=tuple(replace(one, filter_op="OR") for one in caller.role.access))

    # Of category 1 record 5 stays the role's, and 6 and 8 would be hidden from it.
    refusal = await db.refused(
        "PATCH", "_table/product/1", {"in_stock": 90}, id_field="category_id", caller=replace(caller, role=either)
    )

    assert refusal.status == 403
    assert await db.ids("_table/product", filter="in_stock=90") == []
