"""Which events a call fires, under which names, and how `system/event` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.event_scenes import ERRAND, EVENT, GENERIC, Stage, built, every_engine, scene, staged
from tests.acceptance.server import Server

EVENTS = "/api/v2/system/event"
ITEM_DOC = {"paths": {"/item/{id}": {"get": {"responses": {"200": {"description": "an item"}}}}}}
STATUS_SEEN = scene("note([event.resource, event.response.status_code]);")
PASSWORD = "Harbour-Pantry-user-16"


@pytest.fixture(scope="module")
def theatre(server: Server) -> Iterator[Server]:
    with built(server) as ready:
        yield ready


@pytest.fixture
def stage(theatre: Server) -> Iterator[Stage]:
    with staged(theatre) as made:
        yield made


def listing(stage: Stage, query: str) -> Any:
    answer = stage.call("GET", f"{EVENTS}?{query}")
    assert answer.status == 200, answer.body
    return answer.json


def service_id(stage: Stage, name: str) -> int:
    answer = stage.call("GET", f"/api/v2/system/service?filter=name='{name}'&fields=id")
    found = answer.json["resource"][0]["id"]
    assert isinstance(found, int)
    return found


# -- the listing


def test_the_listing_of_a_database_has_one_entry_for_all_tables(stage: Stage) -> None:
    found = listing(stage, "service=db")

    assert list(found) == ["db"]
    entry = found["db"]["db._table.{table_name}"]
    assert entry["type"] == "api"
    assert entry["endpoints"] == [f"{GENERIC}.{verb}" for verb in ("get", "post", "put", "patch", "delete")]
    assert "errand" in entry["parameter"]["table_name"]


def test_a_scriptable_listing_has_the_stages_after_each_name(stage: Stage) -> None:
    name = "db._table.get"

    found = listing(stage, "service=db&scriptable=true")["db"]["db._table"]

    assert found["endpoints"] == [name, f"{name}.pre_process", f"{name}.post_process", f"{name}.queued"]


def test_the_listing_as_a_list_has_every_name_once(stage: Stage) -> None:
    found = listing(stage, "as_list=true&scriptable=true")

    assert list(found) == ["resource"]
    names = found["resource"]
    assert all(isinstance(name, str) for name in names)
    assert len(names) == len(set(names))
    assert "db._table.{table_name}.post.queued" in names
    assert "system.role.get" in names


def test_the_listing_of_an_unknown_service_is_empty(stage: Stage) -> None:
    assert listing(stage, "service=nope") == {}
    assert listing(stage, "service=nope&as_list=true") == {"resource": []}


def test_the_listing_of_services_is_sorted_and_leaves_out_inactive_ones(stage: Stage) -> None:
    stage.serve("a_service", "v8js", "return 1;")
    asleep = stage.serve("asleep", "v8js", "return 1;")
    assert "asleep" in listing(stage, "services_only=true")["resource"]

    stage.call("PATCH", f"/api/v2/system/service/{asleep}", {"is_active": False})

    names = listing(stage, "services_only=true")["resource"]
    assert names == sorted(names)
    assert {"a_service", "db", "system"} <= set(names)
    assert "asleep" not in names
    assert "asleep" not in listing(stage, "")


def test_the_listing_shows_a_user_only_services_of_the_role(stage: Stage) -> None:
    grants = [
        {"service_id": service_id(stage, "system"), "component": "event", "verb_mask": 1, "requestor_mask": 3},
        {"service_id": service_id(stage, "journal"), "component": "*", "verb_mask": 1, "requestor_mask": 3},
    ]
    role = stage.make("role", {"name": "journalists", "is_active": True, "role_service_access_by_role_id": grants})
    app = stage.make("app", {"name": "journalists", "is_active": True, "role_id": role})
    key = stage.call("GET", f"/api/v2/system/app/{app}?fields=api_key").json["api_key"]
    email = "journalist@example.test"
    user = {"name": "Journalist", "email": email, "password": PASSWORD, "is_active": True}
    user["user_to_app_to_role_by_user_id"] = [{"app_id": app, "role_id": role}]
    stage.make("user", user)
    session = stage.server.call("POST", "/api/v2/user/session", {"email": email, "password": PASSWORD})
    token = session.json["session_token"]

    seen = stage.server.call(
        "GET", EVENTS, headers={"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}
    )

    assert seen.status == 200
    assert "journal" in seen.json
    assert "db" not in seen.json
    assert "db" in listing(stage, "")


def test_a_new_table_is_in_the_listing_after_a_refresh(stage: Stage) -> None:
    def tables() -> list[str]:
        found = listing(stage, "service=db")["db"]["db._table.{table_name}"]["parameter"]["table_name"]
        assert isinstance(found, list)
        return found

    assert "parcel" not in tables()
    table = {"name": "parcel", "field": [{"name": "id", "type": "id"}]}

    assert stage.call("POST", "/api/v2/db/_schema", {"resource": [table]}).status == 200
    try:
        stage.call("GET", "/api/v2/db/_schema?refresh=true")
        assert "parcel" in tables()
    finally:
        assert stage.call("DELETE", "/api/v2/db/_schema/parcel").status == 200


# -- what fires


@every_engine
def test_a_documented_path_is_listed_and_fires_its_own_event(stage: Stage, engine: str) -> None:
    stage.serve("math", engine, scene("return {'a': 1}"), doc=ITEM_DOC)
    stage.hang(
        "math.item.{id}.get.post_process", engine, scene("note([event.resource['id'], event.resource['{id}']]);")
    )
    stage.hang("math.get.post_process", engine, scene("note('generic');"))

    names = listing(stage, "service=math&as_list=true")["resource"]
    answer = stage.call("GET", "/api/v2/math/item/5")

    assert "math.item.{id}.get" in names
    assert answer.json == {"a": 1}
    assert stage.notes() == [["5", "5"]]


@every_engine
def test_an_undocumented_path_fires_the_event_of_the_service(stage: Stage, engine: str) -> None:
    stage.serve("math", engine, scene("return {'a': 1}"), doc=ITEM_DOC)
    stage.hang("math.get.post_process", engine, scene("note(event.resource);"))

    stage.call("GET", "/api/v2/math/other/way")
    stage.call("GET", "/api/v2/math")

    assert stage.notes() == ["other/way", ""]


@every_engine
def test_a_system_record_fires_the_generic_event_and_then_its_own(stage: Stage, engine: str) -> None:
    role = stage.make("role", {"name": "watched"})
    stage.hang("system.role.{id}.get.post_process", engine, scene("note(['one', event.resource]);"))
    stage.hang("system.role.get.post_process", engine, scene("note(['all', event.resource]);"))

    assert stage.call("GET", f"/api/v2/system/role/{role}").status == 200

    assert stage.notes() == [["all", str(role)], ["one", str(role)]]


@every_engine
def test_a_login_fires_its_event_whether_it_succeeds_or_not(stage: Stage, engine: str) -> None:
    script = scene(
        "event.response = {'headers': {'X-Seen': '' + event.response.status_code}};",
        "event.response = {'headers': {'X-Seen': str(event.response.status_code)}}",
        "$event['response'] = ['headers' => ['X-Seen' => (string) $event['response']['status_code']]];",
    )
    stage.hang("user.session.post.post_process", engine, script, modify=True)
    user = {"name": "Visitor", "email": "visitor@example.test", "password": PASSWORD, "is_active": True}
    stage.make("user", user)

    good = stage.server.call("POST", "/api/v2/user/session", {"email": user["email"], "password": PASSWORD})
    bad = stage.server.call("POST", "/api/v2/user/session", {"email": user["email"], "password": "no " + PASSWORD})

    assert (good.status, good.headers["x-seen"]) == (200, "200")
    assert (bad.status, bad.headers["x-seen"]) == (401, "401")


@every_engine
def test_a_put_fires_put_and_not_patch(stage: Stage, engine: str) -> None:
    role = stage.make("role", {"name": "watched"})
    for verb in ("put", "patch"):
        stage.hang(f"system.role.{verb}.post_process", engine, scene(f"note('{verb}');"))

    assert stage.call("PUT", f"/api/v2/system/role/{role}", {"description": "changed"}).status == 200

    assert stage.notes() == ["put"]


@every_engine
def test_a_call_refused_at_the_gate_fires_nothing(stage: Stage, engine: str) -> None:
    throw = scene(
        "throw {message: 'fired', status_code: 418};", "raise Exception('fired')", "throw new Exception('fired');"
    )
    for stage_name in ("pre_process", "post_process"):
        stage.hang(f"{EVENT}.get.{stage_name}", engine, throw)
    stage.hang(f"{EVENT}.get.queued", engine, scene("note('fired');"))

    refused = stage.server.call("GET", ERRAND)

    assert refused.status == 400
    assert "No session token (JWT) or API Key detected" in refused.json["error"]["message"]
    assert stage.jobs(f"{EVENT}.get.queued") == []
    assert "fired" in stage.call("GET", ERRAND).json["error"]["message"]
    assert len(stage.jobs(f"{EVENT}.get.queued")) == 1


@every_engine
def test_an_unknown_table_fires_post_process_and_queued_with_the_error(stage: Stage, engine: str) -> None:
    for stage_name in ("post_process", "queued"):
        stage.hang(f"db._table.nowhere.get.{stage_name}", engine, STATUS_SEEN)

    assert stage.call("GET", "/api/v2/db/_table/nowhere").status == 404

    assert stage.notes(at_least=2) == [["nowhere", 404], ["nowhere", 404]]


@every_engine
def test_a_batch_that_is_rolled_back_fires_its_queued_event_with_the_error(stage: Stage, engine: str) -> None:
    """Line 162."""
    [kept] = stage.add({"name": "kept"}).json["resource"]
    stage.hang(f"{EVENT}.post.queued", engine, STATUS_SEEN)

    answer = stage.add({"name": "rolled back"}, {**kept, "name": "taken"}, query="?rollback=true")

    assert answer.status == 400, answer.body
    assert stage.names() == ["kept"]
    assert stage.notes(at_least=1) == [["errand", 400]]


@every_engine
def test_names_match_in_any_case(stage: Stage, engine: str) -> None:
    name = "DB._Table.Errand.get.queued"
    stage.hang(name, engine, STATUS_SEEN)

    assert stage.call("GET", ERRAND).status == 200

    assert stage.notes(at_least=1) == [["errand", 200]]
    assert stage.call("GET", f"/api/v2/system/event_script/{quote(name)}").json["name"] == name


@every_engine
def test_a_script_without_a_stage_and_a_queued_one_both_run(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.get", engine, scene("note('now');"))
    stage.hang(f"{EVENT}.get.queued", engine, scene("note('later');"))

    stage.call("GET", ERRAND)

    assert sorted(stage.notes(at_least=2)) == ["later", "now"]


@every_engine
def test_an_inactive_service_answers_403_and_fires_nothing(stage: Stage, engine: str) -> None:
    asleep = stage.serve("asleep", engine, scene("return {'a': 1}"))
    for stage_name in ("pre_process", "post_process"):
        stage.hang(f"asleep.get.{stage_name}", engine, scene(f"note('{stage_name}');"))
    stage.hang("asleep.get.queued", engine, scene("note('queued');"))
    stage.call("PATCH", f"/api/v2/system/service/{asleep}", {"is_active": False})

    refused = stage.call("GET", "/api/v2/asleep")

    assert refused.status == 403
    assert "deactivated" in refused.json["error"]["message"]
    assert stage.jobs("asleep.get.queued") == []
    assert stage.notes() == []
    stage.call("PATCH", f"/api/v2/system/service/{asleep}", {"is_active": True})
    assert stage.call("GET", "/api/v2/asleep").status == 200
    assert sorted(stage.notes(at_least=3)) == ["post_process", "pre_process", "queued"]
