"""What services say of themselves: documents that a validator accepts, cut to what each caller may do."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.acceptance.server import Answer, Server

DOCS = "/api/v2/api_docs"
NUMBERS = itertools.count(1)
ITEM_DOC = '{"paths": {"/counter/item/{id}": {"get": {}, "post": {"operationId": "sell"}}}}'


def get(server: Server, path: str) -> Any:
    answer = server.as_admin("GET", path)
    assert answer.status == 200, answer.body
    return answer.json


def validated(document: Any) -> Any:
    """*document*, when it is OpenAPI; its `group` is not, but clients of the original read it."""
    info = {key: value for key, value in document["info"].items() if key != "group"}
    validate({**document, "info": info})
    return document


def service_id(server: Server, name: str) -> int:
    return int(get(server, f"/api/v2/system/service?filter=name='{name}'&fields=id")["resource"][0]["id"])


@contextlib.contextmanager
def key_with(server: Server, *access: dict[str, object]) -> Iterator[str]:
    """The API key of an app whose role has just that."""
    name = f"reader {next(NUMBERS)}"
    rows = [{"requestor_mask": 3, **one} for one in access]
    role = {"name": name, "is_active": True, "role_service_access_by_role_id": rows}
    made = server.as_admin("POST", "/api/v2/system/role", {"resource": [role]})
    assert made.status == 201, made.body
    role_id = made.json["resource"][0]["id"]
    app = {"name": name, "is_active": True, "role_id": role_id}
    answer = server.as_admin("POST", "/api/v2/system/app?fields=id,api_key", {"resource": [app]})
    try:
        yield answer.json["resource"][0]["api_key"]
    finally:
        server.as_admin("DELETE", f"/api/v2/system/app/{answer.json['resource'][0]['id']}")
        server.as_admin("DELETE", f"/api/v2/system/role/{role_id}")


def asked(server: Server, key: str, path: str) -> Answer:
    return server.call("GET", path, headers={"X-DreamFactory-API-Key": key})


@pytest.fixture(scope="module")
def counter(server: Server) -> Iterator[str]:
    """A script service with a document that somebody wrote in haste."""
    record = {
        "name": "counter",
        "label": "Counter",
        "type": "python3",
        "is_active": True,
        "config": {"content": "return 1"},
        "service_doc_by_service_id": {"format": 0, "content": ITEM_DOC},
    }
    made = server.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
    assert made.status == 201, made.body
    yield "counter"
    server.as_admin("DELETE", f"/api/v2/system/service/{made.json['resource'][0]['id']}")


# -- documents are OpenAPI


@pytest.mark.parametrize("query", ["", "?expand_schema=true"])
@pytest.mark.parametrize("service", ["db", "system", "user", "counter", "api_docs"])
def test_the_document_of_a_service_is_openapi_3_0(server: Server, counter: str, service: str, query: str) -> None:
    document = validated(get(server, f"{DOCS}/{service}{query}"))

    assert document["openapi"] == "3.0.0"
    assert document["servers"] == [{"url": f"/api/v2/{service}"}]
    assert document["paths"]
    assert document["info"]["group"]


@pytest.mark.parametrize("query", ["", "?expand_schema=true"])
def test_the_document_of_all_services_is_openapi_3_0(server: Server, counter: str, query: str) -> None:
    document = validated(get(server, f"{DOCS}{query}"))

    assert {"/db/_table", "/system/role", "/user/session", "/counter/item/{id}", "/api_docs"} <= set(document["paths"])
    assert {"db", "system", "counter"} <= {tag["name"] for tag in document["tags"]}
    assert document["paths"]["/db/_table"]["get"]["tags"] == ["db"]


@pytest.mark.parametrize(("query", "version"), [("", "3.0.0"), ("?expand_schema=true", "3.1.0")])
@pytest.mark.parametrize("service", ["db", "system", "user", "counter", "api_docs"])
def test_the_spec_of_a_service_is_openapi(server: Server, counter: str, service: str, query: str, version: str) -> None:
    answer = server.as_admin("GET", f"/api/v2/{service}/_spec{query}")
    document = answer.json

    validate(document)
    # What somebody wrote in 3.0 does not become 3.1 by being asked for more.
    assert document["openapi"] == ("3.0.0" if service == counter else version)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    operations = [one for item in document["paths"].values() for verb, one in item.items() if verb != "parameters"]
    assert all({"400", "401", "403", "404", "429", "500"} <= set(one["responses"]) for one in operations)


def test_a_spec_can_be_had_as_yaml(server: Server) -> None:
    by_format = server.as_admin("GET", "/api/v2/db/_spec?format=yaml")
    by_header = server.as_admin("GET", "/api/v2/db/_spec", Accept="application/yaml")

    assert by_format.headers["content-type"] == "application/yaml; charset=utf-8"
    assert yaml.safe_load(by_format.body) == yaml.safe_load(by_header.body) == get(server, "/api/v2/db/_spec")


# -- documents are honest


def test_records_are_as_the_spec_with_columns_says(server: Server) -> None:
    document = get(server, "/api/v2/db/_spec?expand_schema=true")

    checked = 0
    for path, item in document["paths"].items():
        if path.count("/") != 2 or not path.startswith("/_table/"):
            continue
        answer = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        records = get(server, f"/api/v2/db{path}?limit=50")
        Draft202012Validator({**answer, "components": document["components"]}).validate(records)
        schema = document["components"]["schemas"][f"{path.removeprefix('/_table/')}.record"]
        assert records["resource"]
        assert list(schema["properties"]) == list(records["resource"][0])
        checked += 1
    assert checked >= 3


def test_columns_tell_what_is_required_and_what_the_database_makes(server: Server) -> None:
    table = {
        "name": "crate",
        "field": [
            {"name": "id", "type": "id"},
            {"name": "label", "type": "string", "length": 20, "allow_null": False},
            {"name": "weight", "type": "float", "allow_null": True},
        ],
    }
    assert server.as_admin("POST", "/api/v2/db/_schema", {"resource": [table]}).status == 200
    try:
        schemas = get(server, "/api/v2/db/_spec?expand_schema=true&resource_name=crate")["components"]["schemas"]

        assert schemas["crate.record"]["properties"]["id"]["readOnly"] is True
        assert schemas["crate.record"]["properties"]["weight"]["type"] == ["number", "null"]
        assert "required" not in schemas["crate.record"]
        assert schemas["crate.create"]["required"] == ["label"]
        assert set(schemas["crate.create"]["properties"]) == {"label", "weight"}
        assert schemas["crate.create"]["properties"]["label"]["maxLength"] == 20
        assert "id" in schemas["crate.change"]["properties"]
    finally:
        server.as_admin("DELETE", "/api/v2/db/_schema/crate")


def test_every_get_that_a_document_of_the_system_names_is_there(server: Server) -> None:
    document = get(server, f"{DOCS}/system")

    plain = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    statuses = {path: server.as_admin("GET", f"/api/v2/system{path}").status for path in plain}
    assert len(plain) > 10
    assert {path: status for path, status in statuses.items() if status != 200} == {}


# -- documents are cut to the caller's role


def test_a_role_sees_only_its_tables_and_verbs(server: Server) -> None:
    grant = {"service_id": service_id(server, "db"), "component": "_table/tag/*", "verb_mask": 1}
    spec = {"service_id": service_id(server, "db"), "component": "_spec", "verb_mask": 1}
    with key_with(server, grant, spec) as key:
        generic = validated(asked(server, key, f"{DOCS}/db").json)
        named = validated(asked(server, key, f"{DOCS}/db?expand_schema=true").json)
        honest = asked(server, key, "/api/v2/db/_spec?expand_schema=true")
        everything = validated(asked(server, key, DOCS).json)

    verbs = {path: sorted(set(item) - {"parameters"}) for path, item in generic["paths"].items()}
    assert verbs["/_table/{table_name}"] == ["get"]
    assert verbs["/_table/{table_name}/{id}"] == ["get"]
    assert "/_schema/{table_name}" not in verbs
    assert [path for path in named["paths"] if path.startswith("/_table/")] == ["/_table/tag", "/_table/tag/{id}"]
    validate(honest.json)
    assert honest.json["x-dreamfactory-resources"]["tables"] == ["tag"]
    assert [name for name in honest.json["components"]["schemas"] if "." in name] == ["tag.record"]
    assert b"product" not in honest.body
    assert {path.split("/")[1] for path in everything["paths"]} == {"db"}


def test_a_service_out_of_reach_is_refused_and_an_unknown_one_is_not_found(server: Server) -> None:
    grant = {"service_id": service_id(server, "db"), "component": "_table/tag/*", "verb_mask": 1}
    with key_with(server, grant) as key:
        assert asked(server, key, f"{DOCS}/system").status == 403
        assert asked(server, key, f"{DOCS}/nope").status == 403
        assert asked(server, key, "/api/v2/db/_spec").status in (401, 403)
    assert server.call("GET", f"{DOCS}/db").status == 403
    assert server.call("GET", DOCS).json["paths"] == {}
    assert server.as_admin("GET", f"{DOCS}/nope").status == 404
    assert server.call("POST", f"{DOCS}/db", {}).status == 400


def test_the_model_shows_and_counts_no_row_that_the_role_may_not_see(server: Server) -> None:
    db = service_id(server, "db")
    first = get(server, "/api/v2/db/_table/tag?limit=1")["resource"][0]
    mine = [{"name": "id", "operator": "=", "value": first["id"]}]
    rows: list[dict[str, object]] = [
        {"service_id": db, "component": "_table/tag/*", "verb_mask": 1, "filters": mine},
        {"service_id": db, "component": "_table/product/*", "verb_mask": 2},
        {"service_id": db, "component": "_spec", "verb_mask": 1},
    ]
    with key_with(server, *rows) as key:
        model = asked(server, key, "/api/v2/db/_spec?model=true").json
        stock = asked(server, key, "/api/v2/db/_spec?model=true&stock=true").json

    product, tag = model["tables"]
    assert (tag["name"], tag["row_count"], tag["samples"]) == ("tag", 1, [first])
    assert product["name"] == "product"
    assert "samples" not in product
    assert "row_count" not in product
    assert {column["name"] for column in tag["columns"]} == set(first)
    assert all("samples" not in table for table in stock["tables"])
    whole = get(server, "/api/v2/db/_spec?model=true")
    assert len(next(one for one in whole["tables"] if one["name"] == "tag")["samples"]) > 1


def test_samples_of_the_model_pass_the_scripts_of_the_table(server: Server) -> None:
    name = "db._table.tag.get.post_process"
    script = {
        "type": "python3",
        "is_active": True,
        "allow_event_modification": True,
        "content": "event['response']['content'] = {'resource': [{'label': 'hidden'}]}",
    }
    assert server.as_admin("POST", f"/api/v2/system/event_script/{name}", script).status < 300
    try:
        model = get(server, "/api/v2/db/_spec?model=true&resource_name=tag")
    finally:
        server.as_admin("DELETE", f"/api/v2/system/event_script/{name}")

    assert [one["samples"] for one in model["tables"]] == [[{"label": "hidden"}]]


# -- other forms


def test_a_compact_spec_lists_the_endpoints(server: Server) -> None:
    compact = get(server, "/api/v2/db/_spec?compact=true")

    assert "paths" not in compact
    assert compact["endpoint_count"] == len(compact["endpoints"])
    assert {"method": "GET", "path": "/api/v2/db/_table", "summary": "List the tables."} in compact["endpoints"]


def test_a_spec_of_one_resource_has_only_its_paths(server: Server) -> None:
    tag = get(server, "/api/v2/db/_spec?resource_name=tag")
    role = get(server, "/api/v2/system/_spec?resource_name=role")

    assert {"/_table/tag", "/_table/tag/{id}", "/_schema/tag"} <= set(tag["paths"])
    assert all("/tag" in path for path in tag["paths"])
    assert list(role["paths"]) == ["/role", "/role/{id}"]
    assert server.as_admin("GET", "/api/v2/db/_spec?resource_name=nope").status == 404


def test_the_tables_of_a_service_can_be_listed(server: Server) -> None:
    found = get(server, "/api/v2/db/_spec?tables=true")

    assert found["count"] == len(found["tables"])
    assert "tag" in found["tables"]


def test_documents_can_be_listed_and_downloaded(server: Server) -> None:
    names = get(server, f"{DOCS}?as_list=true")["resource"]

    assert names == sorted(names)
    assert {"api_docs", "db", "system", "user"} <= set(names)
    assert "db/*" in get(server, f"{DOCS}?as_access_list=true")["resource"]
    file = server.as_admin("GET", f"{DOCS}/db?file=true")
    assert file.headers["content-disposition"] == 'attachment; filename="db.json";'


def test_a_new_table_is_described_after_a_refresh(server: Server) -> None:
    table = {"name": "pallet", "field": [{"name": "id", "type": "id"}]}
    assert server.as_admin("POST", "/api/v2/db/_schema", {"resource": [table]}).status == 200
    try:
        assert "/_table/pallet" in get(server, f"{DOCS}/db?expand_schema=true&refresh=true")["paths"]
    finally:
        server.as_admin("DELETE", "/api/v2/db/_schema/pallet")
    assert "/_table/pallet" not in get(server, f"{DOCS}/db?expand_schema=true&refresh=true")["paths"]


def test_a_hasty_document_of_a_script_is_made_whole(server: Server, counter: str) -> None:
    item = get(server, f"{DOCS}/{counter}")["paths"]["/item/{id}"]

    assert [one["name"] for one in item["parameters"]] == ["id"]
    assert set(item["get"]["responses"]) == {"200", "default"}
    assert item["post"]["operationId"] == "sell"
    assert item["get"]["tags"] == ["counter"]


def test_the_service_of_documents_is_there_and_stays(server: Server) -> None:
    number = service_id(server, "api_docs")

    assert server.as_admin("DELETE", f"/api/v2/system/service/{number}").status == 403
    assert server.as_admin("PATCH", f"/api/v2/system/service/{number}", {"is_active": False}).status == 403


def test_aliases_are_what_a_document_names_for_records_and_the_database_for_the_schema(server: Server) -> None:
    table = f"aliased{next(NUMBERS)}"
    fields = [{"name": "id", "type": "id"}, {"name": "stored", "type": "string", "alias": "told"}]
    body = {"resource": [{"name": table, "field": fields}]}
    assert server.as_admin("POST", "/api/v2/db/_schema", body).status == 200
    assert server.as_admin("PATCH", f"/api/v2/db/_schema/{table}", {"alias": f"{table}_also"}).status == 200
    assert server.as_admin("PATCH", f"/api/v2/db/_schema/{table}/_field/stored", {"alias": "told"}).status == 200
    try:
        document = validated(get(server, "/api/v2/db/_spec?expand_schema=true&refresh=true"))
        assert f"/_table/{table}_also" in document["paths"]
        assert f"/_table/{table}" not in document["paths"]
        assert f"/_schema/{table}" in document["paths"]
        shown = [one for name, one in document["components"]["schemas"].items() if table in name and "told" in str(one)]
        assert shown
    finally:
        server.as_admin("DELETE", f"/api/v2/db/_schema/{table}")
