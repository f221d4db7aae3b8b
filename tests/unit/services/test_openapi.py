from __future__ import annotations

from typing import cast

from openapi_spec_validator import validate

from reverie.model import JSON
from reverie.services.openapi import About, Description, Detail, Operation, document, document_of, paths_of
from reverie.services.openapi_merging import merged
from reverie.services.openapi_parts import schema
from reverie.services.openapi_stored import stored_description
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.openapi import describe
from reverie.store.records import ServiceRecord

ALL = Detail(may=lambda component, verb: True)


def about(name: str) -> About:
    return About(name=name, label=name, description="", group="Test")


def column(name: str, kind: str = "string", **more: JSON) -> Column:
    return Column(name=name, type=kind, db_type=kind, **more)  # type: ignore[arg-type]  # whichever a test needs


def of(tables: list[Table], detail: Detail, *, read_only: bool = False) -> dict[str, JSON]:
    catalogue = Catalogue({table.name.lower(): table for table in tables}, 1)
    kinds = ("_schema", "_table", "_proc", "_func")
    described = describe(catalogue, detail, service="db", service_id=1, kinds=kinds, read_only=read_only)
    made = document_of(about("db"), described, detail)
    validate(cast("dict[str, object]", made))
    return made


def paths(document_: dict[str, JSON]) -> dict[str, dict[str, JSON]]:
    return cast("dict[str, dict[str, JSON]]", document_["paths"])


def test_odd_names_of_tables_and_columns_make_a_document_all_the_same() -> None:
    tables = [
        Table(name=name, columns=(column("id", "id", auto_increment=True), column("a b"), column("a_b"), column("a/b")))
        for name in ("my_table", "myTable2", "my table", "Größe", "MyTable")
    ]

    named = of(tables, Detail(may=ALL.may, names=True))
    honest = of(tables, Detail(may=ALL.may, names=True, columns=True))

    assert "/_table/my%20table" in paths(named)
    assert "/_schema/my_table/_field/a_b" in paths(named)
    assert {"/_table/my_table", "/_table/Gr%C3%B6%C3%9Fe"} <= set(paths(honest))


def test_a_table_that_is_called_like_a_template_is_left_out() -> None:
    tables = [Table(name=name, columns=(column("id", "id"),)) for name in ("{any}", "a/b", "plain")]

    made = of(tables, Detail(may=lambda one, verb: True, names=True, columns=True))

    assert {path.split("/")[2] for path in paths(made) if path.startswith("/_table/")} == {"plain"}


def test_what_cannot_be_changed_has_only_gets() -> None:
    view = Table(name="seen", is_view=True, columns=(column("a"),))
    table = Table(name="kept", columns=(column("a"),))

    named = paths(of([view, table], Detail(may=ALL.may, names=True)))
    frozen = paths(of([view, table], ALL, read_only=True))

    assert set(named["/_table/seen"]) == {"get"}
    assert "post" in named["/_table/kept"]
    assert {verb for item in frozen.values() for verb in item} <= {"get", "parameters"}


def test_a_table_out_of_sight_leaves_no_trace_in_the_one_that_refers_to_it() -> None:
    secret = Table(name="hidden_ledger", columns=(column("id", "id"),))
    open_ = Table(name="shop", columns=(column("owner", "reference", ref_table="hidden_ledger", ref_field="id"),))

    made = of([secret, open_], Detail(may=lambda one, verb: "hidden" not in one, names=True, columns=True))

    assert "shop.record" in str(made)
    assert "hidden_ledger" not in str(made)


def test_names_that_two_services_use_for_different_things_are_kept_apart() -> None:
    def part(name: str, kind: str) -> tuple[About, dict[str, JSON], Description]:
        described = Description(
            operations=[Operation(path="/item", verb="get", id="getItem", summary="Read.", answer=schema("Item"))],
            schemas={"Item": {"type": kind}},
        )
        return about(name), paths_of(name, described, ALL, prefix=f"/{name}"), described

    found, components = merged([part("a", "string"), part("b", "integer"), part("c", "string")])
    made = document("/api/v2", {"title": "t", "version": "1"}, [about("a")], found, components)

    validate(cast("dict[str, object]", made))
    schemas = cast("dict[str, dict[str, dict[str, JSON]]]", made["components"])["schemas"]
    assert {name: one for name, one in schemas.items() if "Item" in name} == {
        "Item": {"type": "string"},
        "b.Item": {"type": "integer"},
    }
    assert "#/components/schemas/b.Item" in str(found["/b/item"])
    assert "b.getItem" in str(found["/b/item"])


def test_a_stored_document_is_made_whole_and_keeps_what_it_says() -> None:
    doc: dict[str, JSON] = {
        "openapi": "3.1.0",
        "paths": {
            "/till/sale/{id}": {"get": {"tags": ["money"]}, "parameters": [], "nonsense": 1, "x-own": 1},
            "/till": {"post": {"responses": {"201": {"description": "made"}}}},
            "/bad": "text",
        },
    }
    record = ServiceRecord(
        id=1, name="till", label="", description=None, is_active=True, type="v8js", config={}, mutable=True,
        deletable=True, version=1, doc=doc,
    )  # fmt: skip
    described = stored_description(record)

    assert described is not None
    made = document_of(about("till"), described, ALL)
    validate(cast("dict[str, object]", made))
    assert made["openapi"] == "3.1.0"
    assert set(paths(made)) == {"/sale/{id}", "/"}
    assert "nonsense" not in paths(made)["/sale/{id}"]
    assert cast("dict[str, JSON]", paths(made)["/sale/{id}"]["get"])["tags"] == ["money", "till"]
    assert set(cast("dict[str, dict[str, JSON]]", paths(made)["/"]["post"])["responses"]) == {"default", "201"}
