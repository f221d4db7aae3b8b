"""The records of event scripts and the list of languages: kept, changed, found, switched on and off, and removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.script_stage import (
    LANGUAGES,
    ROWS,
    SCRIPTS,
    TABLE,
    Stage,
    each_stage,
    error,
    scene,
)
from tests.acceptance.server import JSONValue, running

stage = each_stage
languages = pytest.mark.parametrize("language", LANGUAGES)
EVENT = f"db._table.{TABLE}.get.post_process"
MARKS = scene("event.response.content = {marked: 1};", "event.response.content = {'marked': 1}")


def draft(name: str | None = None, language: str = "v8js", text: str = "", **fields: JSONValue) -> JSONValue:
    named = {} if name is None else {"name": name}
    return {**named, "type": language, "content": text, **fields}


def create(stage: Stage, name: str, *, expect: int = 201, **fields: JSONValue) -> None:
    answer = stage.ask("POST", f"system/event_script/{name}", draft(**fields), expect=expect)
    assert answer.json == {"name": name}
    stage.undo("DELETE", f"system/event_script/{name}")


def read(stage: Stage, name: str) -> JSONValue:
    return stage.ask("GET", f"system/event_script/{name}", expect=200).json


def marked(stage: Stage) -> bool:
    """Whether the script of `EVENT` ran on a call made now."""
    answer = stage.server.as_key("GET", ROWS)
    assert answer.status == 200, answer.body
    return bool(answer.json == {"marked": 1})


def test_a_post_to_a_name_creates_with_201_and_changes_with_200(stage: Stage) -> None:
    name = stage.name("made")

    create(stage, name, text="return 1;")
    first = read(stage, name)
    create(stage, name, text="return 2;", is_active=True, expect=200)
    second = read(stage, name)

    assert (first["content"], first["is_active"]) == ("return 1;", False)
    assert (second["content"], second["is_active"]) == ("return 2;", True)


def test_without_a_name_in_the_body_the_one_in_the_path_counts(stage: Stage) -> None:
    name, other = stage.name("path"), stage.name("body")

    create(stage, name)
    answer = stage.ask("POST", f"system/event_script/{name}", draft(other), expect=200)

    assert answer.json == {"name": name}
    assert stage.ask("GET", f"system/event_script/{other}").status == 404


def test_a_list_creates_all_and_a_name_that_is_taken_is_told_by_its_place(stage: Stage) -> None:
    one, two, three, four = (stage.name("listed") for _ in range(4))
    for name in (one, two, three, four):
        stage.undo("DELETE", f"system/event_script/{name}")

    both = stage.ask("POST", "system/event_script", {"resource": [draft(one), draft(two)]}, expect=201)
    assert both.json == {"resource": [{"name": one}, {"name": two}]}

    taken = stage.ask("POST", "system/event_script", {"resource": [draft(three), draft(one)]}, expect=400)
    assert (error(taken)["code"], error(taken)["context"]["error"]) == (1000, [1])
    assert error(taken)["context"]["resource"][0] == {"name": three}
    assert read(stage, three)["name"] == three

    undone = stage.ask("POST", "system/event_script?rollback=true", [draft(four), draft(one)], expect=400)
    assert error(undone)["code"] == 1000
    assert stage.ask("GET", f"system/event_script/{four}").status == 404


def test_a_list_has_full_records_or_the_fields_asked_for_and_a_count(stage: Stage) -> None:
    name = stage.name("shown")
    create(stage, name, text="return 1;", config={"queue": "q"})
    only = f"filter=name%3D%27{name}%27"

    (full,) = stage.ask("GET", f"system/event_script?{only}", expect=200).json["resource"]
    (short,) = stage.ask("GET", f"system/event_script?{only}&fields=name,is_active", expect=200).json["resource"]
    counted = stage.ask("GET", "system/event_script?include_count=true&fields=name", expect=200).json

    assert full == read(stage, name)
    assert set(full) == {
        *("name", "type", "content", "config", "is_active", "allow_event_modification"),
        *("storage_service_id", "storage_path", "scm_repository", "scm_reference"),
        *("created_date", "last_modified_date", "created_by_id", "last_modified_by_id"),
    }
    assert (full["content"], full["config"]) == ("return 1;", {"queue": "q"})
    assert short == {"name": name, "is_active": False}
    assert counted["meta"]["count"] == len(counted["resource"])
    assert {"name": name} in counted["resource"]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"is_active": True}), ("DELETE", None)])
def test_a_name_that_is_not_there_is_a_404(stage: Stage, method: str, body: JSONValue) -> None:
    name = stage.name("nobody")

    answer = stage.ask(method, f"system/event_script/{name}", body)

    assert answer.status == 404
    assert name in error(answer)["message"]


def test_a_name_with_braces_comes_back_as_it_was_sent(stage: Stage) -> None:
    name = f"{stage.name('svc')}._table.{{table_name}}.get.queued"
    encoded = name.replace("{", "%7B").replace("}", "%7D")

    made = stage.ask("POST", f"system/event_script/{encoded}", draft(), expect=201)

    assert made.json == {"name": name}
    assert read(stage, encoded)["name"] == name
    assert name in stage.ask("GET", "system/event_script?as_list=true").json["resource"]
    assert stage.ask("DELETE", f"system/event_script/{encoded}", expect=200).json == {"name": name}
    assert stage.ask("GET", f"system/event_script/{encoded}").status == 404


@languages
def test_a_script_is_off_until_it_is_switched_on_and_runs_on_the_very_next_call(stage: Stage, language: str) -> None:
    create(stage, EVENT, language=language, text=MARKS[language], allow_event_modification=True)
    seen = [marked(stage)]

    for active in (True, False, True):
        stage.ask("PATCH", f"system/event_script/{EVENT}", {"is_active": active}, expect=200)
        seen.append(marked(stage))

    assert seen == [False, True, False, True]


@languages
def test_a_deleted_script_does_not_run_on_the_next_call(stage: Stage, language: str) -> None:
    create(stage, EVENT, language=language, text=MARKS[language], allow_event_modification=True, is_active=True)
    before = marked(stage)

    stage.ask("DELETE", f"system/event_script/{EVENT}", expect=200)

    assert (before, marked(stage)) == (True, False)


@pytest.mark.parametrize("sent_as", [dict, str])
def test_a_config_comes_back_as_it_was_sent_and_names_the_queue(stage: Stage, sent_as: type) -> None:
    queue = stage.name("queue")
    config = {"queue": queue} if sent_as is dict else json.dumps({"queue": queue})
    name = f"db._table.{TABLE}.get.queued"

    create(stage, name, config=config, is_active=True)

    assert read(stage, name)["config"] == config
    stage.server.as_key("GET", ROWS)
    jobs = stage.ask("GET", f"system/job?queue={queue}", expect=200).json["resource"]
    assert [job["name"] for job in jobs] == [f"event:{name}"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_script_keeps_its_name(stage: Stage, method: str) -> None:
    name, other = stage.name("keeps"), stage.name("other")
    create(stage, name)

    answer = stage.ask(method, f"system/event_script/{name}", {"name": other, "content": "return 2;"}, expect=200)

    assert answer.json == {"name": name}
    assert (read(stage, name)["name"], read(stage, name)["content"]) == (name, "return 2;")
    assert stage.ask("GET", f"system/event_script/{other}").status == 404


def test_all_scripts_are_deleted_only_by_force(data: Path) -> None:
    with running(data, REVERIE_WORKERS="0") as server:
        server.as_admin("POST", SCRIPTS, {"resource": [draft("a.get"), draft("b.get")]})

        refused = server.as_admin("DELETE", SCRIPTS)
        kept = server.as_admin("GET", f"{SCRIPTS}?as_list=true").json
        forced = server.as_admin("DELETE", f"{SCRIPTS}?force=true")
        left = server.as_admin("GET", f"{SCRIPTS}?as_list=true").json

    assert (refused.status, error(refused)["message"]) == (400, "No filter or records given for delete request.")
    assert kept == {"resource": ["a.get", "b.get"]}
    assert forced.status == 200
    assert left == {"resource": []}


def test_the_cache_of_a_script_can_be_cleared_and_the_script_still_runs(stage: Stage) -> None:
    create(stage, EVENT, text=MARKS["v8js"], allow_event_modification=True, is_active=True)

    answer = stage.ask("DELETE", f"system/cache/_event/{EVENT}", expect=200)

    assert answer.json == {"success": True}
    assert marked(stage)


def test_only_who_may_reach_the_records_of_scripts_reaches_them(stage: Stage) -> None:
    app, key = stage.app()
    without, allowed = stage.role(stage.access("db")), stage.role(stage.access("system", "event_script/*"))
    name = stage.name("theirs")
    stage.undo("DELETE", f"system/event_script/{name}")
    statuses = []

    for role in (without, allowed):
        _, token = stage.user(app, role)
        headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}
        for method, path, body in (
            ("GET", SCRIPTS, None),
            ("POST", f"{SCRIPTS}/{name}", draft()),
            ("GET", f"{SCRIPTS}/{name}", None),
            ("GET", "/api/v2/system/role", None),
        ):
            statuses.append(stage.server.call(method, path, body, headers=headers).status)

    assert statuses == [403, 403, 403, 403, 200, 201, 200, 403]


def test_the_languages_that_run_here_are_listed(stage: Stage) -> None:
    listed = stage.ask("GET", "system/script_type", expect=200).json["resource"]

    names = [one["name"] for one in listed]
    assert names == ["nodejs", "php", "python", "python3", "typescript", "v8js"]
    assert {one["name"]: one["sandboxed"] for one in listed} == {name: name in ("v8js", "typescript") for name in names}
    assert [one["supports_inline_execution"] for one in listed] == [False] * len(names)
    assert stage.ask("GET", "system/script_type?as_list=true").json == {"resource": names}
    for name in names:
        made = stage.run(name, "return [7]" if name.startswith("python") else "return [7];")
        assert (made.status, made.json) == (200, [7])


def test_a_language_that_is_not_there_is_a_404_and_none_can_be_added(stage: Stage) -> None:
    unknown = stage.ask("GET", "system/script_type/lua")
    known = stage.ask("GET", "system/script_type/v8js", expect=200)

    assert (unknown.status, error(unknown)["message"]) == (404, "Script engine type 'lua' not found.")
    assert known.json["label"] == "V8Js"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert stage.ask(method, "system/script_type", {"name": "lua"}).status == 400
