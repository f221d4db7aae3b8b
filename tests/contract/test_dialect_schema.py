"""What every database does behind `SqlService._schema`, and the lists and events of a database service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from reverie.model import JSON, Request
from tests.contract.sql_stage import DIALECTS, Db, Opener, items, resources, role

pytestmark = pytest.mark.anyio


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


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
        ("POST", "_schema", {"name": "t", "field": [{"name": "id", "type": "no such type"}]}, 400),
        ("POST", "_schema", {"name": "t", "field": [{"name": "id", "type": "x(1)); DROP TABLE tag; --"}]}, 400),
        ("POST", "_schema", {"name": "t", "field": [{"name": "a", "type": "reference"}]}, 400),
        (
            "POST",
            "_schema",
            {"name": "t", "field": [{"name": "a", "type": "text", "default": {"expression": "x"}}]},
            400,
        ),
        ("POST", "_schema", {"name": "t", "field": [{"name": "a", "type": "text", "is_virtual": True}]}, 400),
        ("POST", "_schema/nope", {"field": [{"name": "id", "type": "id"}]}, 404),
        ("PUT", "_schema/nope", {"label": "x"}, 404),
        ("PATCH", "_schema/tag", {"alias": "product"}, 409),
        ("PATCH", "_schema/tag", {"alias": "a/b"}, 400),
        ("PATCH", "_schema/tag", {"name_field": "nope"}, 400),
        ("PATCH", "_schema/tag/_field/label", {"alias": "id"}, 409),
        ("PATCH", "_schema/tag/_field/label", {"validation": {"nonsense": []}}, 400),
        ("PATCH", "_schema/tag/_field/label", {"validation": {"match": {"regexp": "KFsvKQ=="}}}, 400),
        ("PATCH", "_schema/tag/_related/nope", {"alias": "x"}, 404),
        ("PATCH", "_schema/tag/_related/product_by_product_tag", {"alias": "label"}, 409),
        ("POST", "_schema/tag/_related", {"is_virtual": True, "type": "near", "field": "id"}, 400),
        ("PATCH", "_schema/tag/_field/label", {"auto_increment": True}, 501),
        ("PATCH", "_schema/product/_field/category_id", {"is_foreign_key": False, "ref_table": "tag"}, 501),
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

    assert await db.get("") == {
        "resource": [
            {"name": name} for name in ("_schema", "_table", *(("_proc", "_func") if db.has("routines") else ()))
        ]
    }
    assert "tag" in items(await db.get("_table", as_list="true"))
    assert "tag" not in items(await db.get("_table", as_list="true", caller=caller))
    assert await db.get("_table", ids="category", fields="name,access", caller=caller) == {
        "resource": [{"name": "category", "access": ["GET"]}]
    }
    listed = items(await db.get("", as_access_list="true"))
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


async def test_a_name_that_the_database_keeps_for_itself_is_refused(db: Db) -> None:
    db.needs("reserved names")

    body: JSON = {"name": "sqlite_x", "field": [{"name": "id", "type": "id"}]}
    assert (await db.refused("POST", "_schema", body)).status == 400


async def test_type_length_null_and_default_of_a_column_can_be_changed(db: Db) -> None:
    db.run("DROP VIEW product_on_sale")  # PostgreSQL refuses to change what a view shows

    async def changed(field: str, **properties: JSON) -> dict[str, JSON]:
        await db.ask("PATCH", f"_schema/product/_field/{field}", properties)
        return cast("dict[str, JSON]", await db.get(f"_schema/product/_field/{field}"))

    whole = cast("dict[str, JSON]", await db.get("_schema/product/_field/name"))
    assert await changed("name", **whole) == whole
    longer = await changed("name", **{**whole, "length": 90, "precision": None})
    assert (longer["type"], longer["length"], longer["allow_null"]) == ("string", 90, False)
    nullable = await changed("name", allow_null=True, default="it's \\ 100%")
    assert (nullable["allow_null"], nullable["default"], nullable["length"]) == (True, "it's \\ 100%", 90)
    assert (await changed("in_stock", type="bigint"))["type"] == "bigint"
    wider = await changed("unit_price", precision=14, scale=3)
    assert (wider["type"], wider["precision"], wider["scale"], wider["default"]) == ("decimal", 14, 3, 0)
    assert (await changed("in_stock", type="string", length=20))["length"] == 20

    made = await db.ask("POST", "_table/product", {"resource": [{"sku": "NEW"}]}, fields="name,in_stock,unit_price")
    assert resources(made) == [{"name": "it's \\ 100%", "in_stock": "0", "unit_price": 0}]
    await db.ask("PATCH", "_table/product/1", {"name": None})
    assert (await db.refused("PATCH", "_schema/product/_field/name", {"allow_null": False})).status == 400
    assert (await db.refused("PATCH", "_schema/product/_field/name", {"type": "integer"})).status == 400
    assert (await db.refused("PATCH", "_schema/product/_field/id", {"type": "bigint"})).status == 501
    assert (await db.refused("PATCH", "_schema/product/_field/category_id", {"type": "string"})).status == 501
    assert (await db.refused("PATCH", "_schema/product/_field/sku", {"type": "nonsense"})).status == 400


async def test_a_column_that_exists_becomes_unique_and_may_be_otherwise_again(db: Db) -> None:
    field = "_schema/supplier/_field/phone"
    other: JSON = {"resource": [{"id": 77, "company": "Other", "phone": "+47 555 0101"}]}

    await db.ask("PATCH", field, {"is_unique": True})
    assert (await db.get(field) or {})["is_unique"] is True  # type: ignore[call-overload, index]
    assert (await db.refused("POST", "_table/supplier", other)).status == 400
    assert (await db.refused("PATCH", "_schema/product/_field/category_id", {"is_unique": True})).status == 409
    await db.ask("PATCH", field, {"is_unique": False})
    await db.ask("POST", "_table/supplier", other)
    assert (await db.refused("PATCH", field, {"is_unique": True})).status == 409
    assert (await db.refused("PATCH", "_schema/product/_field/sku", {"is_unique": False})).status == 501


async def test_a_column_that_exists_refers_to_another_table(db: Db) -> None:
    field = "_schema/stock_event/_field/sku"
    refers: dict[str, JSON] = {"is_foreign_key": True, "ref_table": "product", "ref_field": "sku"}

    await db.ask("PATCH", "_table/product/1", {"sku": None})
    assert (await db.refused("PATCH", field, refers)).status == 409  # SEA-001 would refer to nothing
    await db.ask("PATCH", "_table/product/1", {"sku": "SEA-001"})
    await db.ask("PATCH", field, {**refers, "ref_on_delete": "CASCADE"})
    related = cast("dict[str, JSON]", await db.get("_schema/stock_event/_related/product_by_sku"))
    assert (related["type"], related["is_virtual"], related["ref_on_delete"]) == ("belongs_to", False, "CASCADE")
    assert (await db.refused("POST", "_table/stock_event", {"resource": [{"sku": "NONE", "delta": 1}]})).status == 400
    assert (await db.refused("PATCH", field, {"ref_table": "tag"})).status == 501
    assert (await db.refused("PATCH", field, {"is_foreign_key": False})).status == 501
