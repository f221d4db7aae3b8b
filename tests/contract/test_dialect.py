"""What every database does behind `SqlService`, written once; each dialect brings the sample's rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.database import Connection
from reverie.errors import BatchError, ReverieError
from reverie.model import JSON, Access, Caller, Context, Request, Requestor, Response, Role
from reverie.services.sql.dialects.sqlite import SqliteDialect
from reverie.services.sql.service import SqlService
from reverie.sqlite import driver
from reverie.store.records import ServiceRecord

SAMPLE = Path(__file__).parent.parent / "acceptance" / "recorded" / "sample.sql"
ADMIN = Caller(is_admin=True, lookups={"town": "Porto", "quote": "x' or 'a'='a"})

pytestmark = pytest.mark.anyio


class Db:
    """One service on a database with the sample's rows, and short ways to ask it."""

    def __init__(self, folder: Path, config: Mapping[str, JSON]) -> None:
        self.path = folder / "sample.db"
        dialect = SqliteDialect(folder)
        self.record = ServiceRecord(
            id=1, name="db", label="", description=None, is_active=True, type="sqlite", mutable=True, deletable=True,
            version=1, config={"database": "sample.db", **config},
        )  # fmt: skip
        self.database = dialect.open(self.record)
        self.service = SqlService(self.record, dialect, self.database)

    async def ask(
        self, method: str, resource: str, body: JSON = None, *, caller: Caller = ADMIN, **parameters: JSON
    ) -> JSON:
        """The content of the answer; raises what the service raises."""
        request = Request(
            method=method, service="db", resource=resource, payload={} if body is None else body, parameters=parameters
        )
        response = await self.service.handle(request, Context(caller=caller, call=_nobody))
        plain: JSON = msgspec.json.decode(msgspec.json.encode(response.content))
        assert response.encoded is None or msgspec.json.decode(response.encoded) == plain
        return plain

    async def get(self, resource: str, *, caller: Caller = ADMIN, **parameters: JSON) -> JSON:
        return await self.ask("GET", resource, caller=caller, **parameters)

    async def ids(self, resource: str, *, caller: Caller = ADMIN, **parameters: JSON) -> list[JSON]:
        answer = await self.get(resource, caller=caller, **{"fields": "id", "order": "id", **parameters})
        return [record["id"] for record in resources(answer)]

    async def refused(
        self, method: str, resource: str, body: JSON = None, *, caller: Caller = ADMIN, **parameters: JSON
    ) -> ReverieError:
        with pytest.raises(ReverieError) as caught:
            await self.ask(method, resource, body, caller=caller, **parameters)
        assert "SELECT" not in caught.value.message
        assert "INSERT" not in caught.value.message
        return caught.value


async def _nobody(request: Request) -> Response:
    raise AssertionError(f"nobody is called: {request}")


def resources(answer: JSON) -> list[dict[str, JSON]]:
    assert isinstance(answer, dict)
    return cast("list[dict[str, JSON]]", answer["resource"])


def role(*rows: tuple[str, int, list[dict[str, JSON]]]) -> Caller:
    """A caller whose role has these components, verb masks and filters."""
    access = tuple(
        Access(
            id=number, role_id=1, service_id=1, service="db", component=component, verb_mask=mask,
            requestor_mask=int(Requestor.API), filters=tuple(filters),
        )
        for number, (component, mask, filters) in enumerate(rows)
    )  # fmt: skip
    return Caller(role=Role(id=1, name="r", is_active=True, access=access), user={"id": 7, "email": "zed@example.com"})


def fill(path: Path) -> None:
    connection = driver.connect(str(path))
    connection.executescript(SAMPLE.read_text())
    connection.close()


@pytest.fixture(params=["sqlite"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Db]:
    fill(tmp_path / "sample.db")
    made = Db(tmp_path, getattr(request, "param_config", {}))
    yield made
    await made.service.close()


@pytest.fixture
async def open_db(tmp_path: Path) -> AsyncIterator[OpenDb]:
    fill(tmp_path / "sample.db")
    opened = OpenDb(tmp_path)
    yield opened
    for one in opened.made:
        await one.service.close()


class OpenDb:
    """Opens the sample with settings of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Db] = []

    def __call__(self, **config: JSON) -> Db:
        self.made.append(Db(self.folder, config))
        return self.made[-1]


# -- reading


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
        ("_table/customer/bluec", {}, 404),
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
        ("_table/product", {"related": "category_by_category_id"}, 501),
        ("_table/nope", {}, 404),
        ("_Table/product", {}, 404),
        ("nope", {}, 404),
        ("_proc", {}, 404),
    ],
)
async def test_a_read_that_makes_no_sense_is_a_clear_refusal(
    db: Db, resource: str, parameters: dict[str, JSON], status: int
) -> None:
    assert (await db.refused("GET", resource, **parameters)).status == status


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


async def test_the_servers_own_limit_is_told_only_when_it_cuts(open_db: OpenDb) -> None:
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
        ("name like '%tea%'", [5, 6]),
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
    assert await db.ids("_table/product", ids="3,1", **{"continue": "true"}) == [1, 3]
    by_key = {"ids": [{"order_id": 1, "product_id": 5}], "fields": "quantity"}
    assert await db.ask("GET", "_table/order_item", by_key) == {"resource": [{"quantity": 4}]}
    records: JSON = {"resource": [{"id": 1}, {"id": 3}]}
    assert len(resources(await db.ask("GET", "_table/tag", records))) == 2

    error = await db.refused("GET", "_table/category", ids="1,abc,99", fields="id", **{"continue": "true"})

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
    assert resources(await db.get("_table/category", as_list="true", order="id"))[:2] == ["Beverages", "Preserves"]


async def test_a_table_made_by_another_program_is_found_at_once(db: Db) -> None:
    await db.get("_table/tag/1")
    other = driver.connect(str(db.path))

    other.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, x TEXT)")
    other.commit()
    assert await db.get("_table/late") == {"resource": []}
    other.execute("ALTER TABLE late ADD COLUMN y TEXT")
    other.commit()
    other.close()

    created = await db.ask("POST", "_table/late", {"resource": [{"y": "new"}]}, fields="y")
    assert created == {"resource": [{"y": "new"}]}
    assert await db.get("_table/late/1", fields="y") == {"y": "new"}


# -- writing


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
        ("product_on_sale", {"name": "x"}, 400),
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
    assert "SQL" not in str(entry["message"])


async def test_nul_and_letters_of_all_scripts_come_back_as_they_went_in(db: Db) -> None:
    text = "a\0b 日本 🎣 é"

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

    error = await db.refused("POST", "_table/category", batch, fields="name", **mode)

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
    assert await db.ask("PATCH", "_table/tag", [{"label": "f"}], filter="id<3", fields="*") == {
        "resource": [{"id": 1, "label": "f"}, {"id": 2, "label": "f"}]
    }
    assert (await db.refused("PATCH", "_table/supplier/99", {"phone": "1"})).status == 404
    assert (await db.refused("PATCH", "_table/category/1", {"name": "Grains"})).status == 409
    assert (await db.refused("PATCH", "_table/category/1", {"name": None})).status == 400
    assert (await db.refused("PATCH", "_table/category/1")).status == 400


async def test_an_upsert_creates_what_is_missing_only_where_allowed(open_db: OpenDb) -> None:
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


async def test_a_read_only_service_says_how_to_permit_writes(open_db: OpenDb) -> None:
    db = open_db(read_only=True)

    error = await db.refused("POST", "_table/tag", {"label": "x"})

    assert error.status == 403
    assert "--write" in error.message
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}


# -- roles and lookups


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


# -- schema, events, lists


TODO: JSON = {
    "resource": [
        {
            "name": "todo",
            "field": [
                {"name": "id", "type": "id"},
                {"name": "title", "type": "string", "length": 50},
                {"name": "done", "type": "boolean", "default": False},
                {"name": "due", "type": "date", "allow_null": True},
                {"name": "tag_id", "type": "reference", "ref_table": "tag", "ref_field": "id", "allow_null": True},
            ],
        }
    ]
}


async def test_a_table_is_created_described_widened_and_dropped(db: Db) -> None:
    assert await db.ask("POST", "_schema", TODO) == {"resource": [{"name": "todo"}]}
    assert await db.ask("POST", "_table/todo", {"title": "t1"}, fields="*") == {
        "resource": [{"id": 1, "title": "t1", "done": False, "due": None, "tag_id": None}]
    }
    described = await db.get("_schema/TODO")
    assert isinstance(described, dict)
    fields = {str(field["name"]): field for field in cast("list[dict[str, JSON]]", described["field"])}
    assert described["primary_key"] == ["id"]
    assert (fields["id"]["type"], fields["tag_id"]["type"], fields["done"]["default"]) == ("id", "reference", False)
    assert (fields["title"]["length"], fields["title"]["required"]) == (50, True)
    relation = cast("dict[str, JSON]", await db.get("_schema/todo/_related/tag_by_tag_id"))
    assert relation["type"] == "belongs_to"

    await db.ask("POST", "_schema/todo/_field", {"name": "colour", "type": "string", "length": 9, "allow_null": True})
    colour = cast("dict[str, JSON]", await db.get("_schema/todo/_field/colour"))
    assert (colour["type"], colour["length"], colour["allow_null"]) == ("string", 9, True)
    await db.ask("DELETE", "_schema/todo/_field/colour")
    assert (await db.refused("GET", "_schema/todo/_field/colour")).status == 404
    assert await db.ask("DELETE", "_schema/todo") == {"success": True}
    assert (await db.refused("GET", "_table/todo")).status == 404


@pytest.mark.parametrize(
    ("method", "resource", "body", "status"),
    [
        ("POST", "_schema", {"resource": []}, 400),
        ("POST", "_schema", {"resource": [{"field": [{"name": "id", "type": "id"}]}]}, 400),
        ("POST", "_schema", {"name": "t"}, 400),
        ("POST", "_schema", {"name": "sqlite_x", "field": [{"name": "id", "type": "id"}]}, 400),
        ("POST", "_schema", {"name": "t", "field": [{"name": "id", "type": "no such type"}]}, 400),
        ("POST", "_schema", {"name": "t", "field": [{"name": "id", "type": "x(1)); DROP TABLE tag; --"}]}, 400),
        ("POST", "_schema", {"name": "t", "field": [{"name": "a", "type": "reference"}]}, 400),
        (
            "POST",
            "_schema",
            {"name": "t", "field": [{"name": "a", "type": "text", "default": {"expression": "x"}}]},
            400,
        ),
        ("POST", "_schema", {"name": "t", "field": [{"name": "a", "type": "text", "picklist": ["x"]}]}, 501),
        ("POST", "_schema/nope", {"field": [{"name": "id", "type": "id"}]}, 404),
        ("PUT", "_schema/nope", {"label": "x"}, 404),
        ("PATCH", "_schema/tag", {"alias": "x"}, 501),
        ("PATCH", "_schema/tag/_field/label", {"length": 31}, 501),
        ("DELETE", "_schema/nope", None, 404),
        ("DELETE", "_schema", None, 400),
        ("DELETE", "_schema/supplier", None, 409),
        ("POST", "_table", {"label": "x"}, 400),
        ("POST", "", {"a": 1}, 400),
        ("POST", "_table/tag/1", {"label": "x"}, 400),
    ],
)
async def test_a_change_that_makes_no_sense_is_a_clear_refusal(
    db: Db, method: str, resource: str, body: JSON, status: int
) -> None:
    assert (await db.refused(method, resource, body)).status == status


async def test_one_of_several_tables_may_fail_alone(db: Db) -> None:
    tables: JSON = {"resource": [{"name": "t1"}, {"name": "t2", "field": [{"name": "id", "type": "id"}]}]}

    first, second = resources(await db.ask("POST", "_schema", tables))

    assert cast("dict[str, JSON]", first["error"])["code"] == 400
    assert second == {"name": "t2"}


async def test_lists_show_only_what_the_role_may_reach(db: Db) -> None:
    caller = role(("_table/*", 1, []), ("_table/tag/*", 0, []), ("_table/tag", 0, []))

    assert await db.get("") == {"resource": [{"name": "_schema"}, {"name": "_table"}]}
    assert "tag" in resources(await db.get("_table", as_list="true"))
    assert "tag" not in resources(await db.get("_table", as_list="true", caller=caller))
    assert await db.get("_table", ids="category", fields="name,access", caller=caller) == {
        "resource": [{"name": "category", "access": ["GET"]}]
    }
    listed = resources(await db.get("", as_access_list="true"))
    assert {"", "*", "_schema/tag/", "_table/", "_table/*", "_table/tag/*"} <= {str(one) for one in listed}


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        ("", [("db.get", "")]),
        ("_table", [("db._table.get", "")]),
        ("_table/todo", [("db._table.{table_name}.get", "todo"), ("db._table.todo.get", "todo")]),
        ("_table/todo/7", [("db._table.{table_name}.{id}.get", "todo/7"), ("db._table.todo.{id}.get", "7")]),
        ("_schema/todo", [("db._schema.{table_name}.get", "todo"), ("db._schema.todo.get", "todo")]),
        (
            "_schema/todo/name",
            [("db._schema.{table_name}.{field}.get", "todo/name"), ("db._schema.todo.{field}.get", "name")],
        ),
    ],
)
async def test_a_request_has_these_moments(db: Db, resource: str, names: list[tuple[str, JSON]]) -> None:
    moments = db.service.moments(Request(method="GET", service="db", resource=resource))

    assert [(moment.name, moment.resource) for moment in moments] == names


async def test_the_event_map_names_the_tables(db: Db) -> None:
    paths = {path.name: path for path in await db.service.event_paths()}

    assert paths["db"].endpoints(scriptable=False) == ["db.get"]
    assert paths["db._table.{table_name}.{id}"].verbs == ("get", "put", "patch", "delete")
    parameter = paths["db._table.{table_name}"].parameter
    assert parameter is not None
    assert "category" in cast("list[str]", parameter["table_name"])


# -- bad input


PIECES = ["(", ")", " ", "=", "<", ">=", " and ", " or ", "not ", " in ", " like ", "'", '"', ",", "%", "&&", "||"]
WORDS = ["id", "name", "unit_price", "added_on", "discontinued", "nope", "1", "-1.5", "null", ":p", "{town}", "true"]
ODD = [" is null", " contains ", " starts with ", "\0", "é", "\ud800", "9" * 25, ";", "--"]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from([*PIECES, *WORDS, *ODD]), max_size=14).map("".join))
async def test_every_filter_is_answered_or_clearly_refused(db: Db, text: str) -> None:
    try:
        answer = await db.get("_table/product", filter=text, params={":p": 1}, fields="id")
    except ReverieError as error:
        assert 400 <= error.status < 500
    else:
        assert set(answer) == {"resource"} if isinstance(answer, dict) else False


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
    assert replace(db.record, name="DB").name.lower() == db.service.name
