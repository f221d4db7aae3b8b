"""Each save of a script is a version: listed, compared, restored, and run again by jobs that were made with it."""

from __future__ import annotations

import hashlib

import pytest

from tests.acceptance.script_stage import ROWS, TABLE, Stage, each_stage
from tests.acceptance.server import JSONValue, wait_for

stage = each_stage
EVENT = f"db._table.{TABLE}.post.pre_process"
FIRST = "event.response = {content: 'first'};\nreturn;\n"
SECOND = "event.response = {content: 'second'};\nreturn;\n"


def versions(stage: Stage, script: str) -> list[JSONValue]:
    """The newest first."""
    return list(stage.ask("GET", f"system/script_version?script={script}", expect=200).json["resource"])


def answered(stage: Stage) -> JSONValue:
    return stage.server.as_key("POST", ROWS, {"resource": [{"name": "a"}]}).json


def test_each_save_of_an_event_script_is_a_version(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", FIRST, config={"queue": "q"})
    stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": SECOND, "config": {"queue": "r"}}, expect=200)

    new, old = versions(stage, EVENT)[:2]

    assert new["number"] == old["number"] + 1
    assert (old["content"], new["content"]) == (FIRST, SECOND)
    assert (old["settings"]["config"], new["settings"]["config"]) == ({"queue": "q"}, {"queue": "r"})
    assert new["hash"] == hashlib.sha256(SECOND.encode()).hexdigest()
    assert (new["type"], new["is_current"], old["is_current"]) == ("v8js", True, False)
    assert new["created_by_id"] is not None
    assert new["created_date"]


def test_two_versions_are_compared(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", FIRST, config={"queue": "q"})
    stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": SECOND, "config": {"queue": "r"}}, expect=200)
    new = versions(stage, EVENT)[0]["id"]

    compared = stage.ask("GET", f"system/script_version/{new}?compare=previous", expect=200).json

    lines = compared["text"].split("\n")
    assert "-event.response = {content: 'first'};" in lines
    assert "+event.response = {content: 'second'};" in lines
    assert compared["settings"] == [{"path": "config.queue", "change": "changed", "before": "q", "after": "r"}]


def test_a_restored_version_is_a_new_one_and_runs(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", FIRST)
    old = versions(stage, EVENT)[0]
    stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": SECOND}, expect=200)
    assert answered(stage) == "second"

    made = stage.ask("PATCH", f"system/script_version/{old['id']}", {"action": "restore"}, expect=200).json

    newest = versions(stage, EVENT)[0]
    assert (newest["id"], newest["number"], newest["content"]) == (made["id"], old["number"] + 2, FIRST)
    assert answered(stage) == "first"


def test_a_deleted_script_is_restored_and_its_numbers_go_on(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", FIRST)
    old = versions(stage, EVENT)[0]
    stage.ask("DELETE", f"system/event_script/{EVENT}", expect=200)

    stage.ask("PATCH", f"system/script_version/{old['id']}", {"action": "restore"}, expect=200)

    assert versions(stage, EVENT)[0]["number"] == old["number"] + 1
    assert answered(stage) == "first"


def test_script_services_have_versions_too(stage: Stage) -> None:
    name = stage.service("v8js", "return 'one';")
    service = stage.service_id(name)
    stage.ask("PATCH", f"system/service/{service}", {"config": {"content": "return 'two';"}}, expect=200)
    new, old = versions(stage, f"service:{service}")

    assert (old["content"], new["content"], new["name"]) == ("return 'one';", "return 'two';", f"service.{name}")
    stage.ask("PATCH", f"system/script_version/{old['id']}", {"action": "restore"}, expect=200)
    assert stage.server.as_admin("GET", f"/api/v2/{name}").json == "one"


def test_nothing_else_can_be_done_to_a_version(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", FIRST)
    version = versions(stage, EVENT)[0]["id"]

    assert stage.ask("DELETE", f"system/script_version/{version}").status == 400
    assert stage.ask("PATCH", f"system/script_version/{version}", {"content": "x"}).status == 400
    assert stage.server.as_key("GET", "/api/v2/system/script_version").status in (401, 403)


@pytest.mark.parametrize(("version", "printed"), [("then", "as it was\n"), ("now", "as it is\n")])
def test_a_retry_runs_the_script_of_then_or_of_now(stage: Stage, version: str, printed: str) -> None:
    event = f"db._table.{TABLE}.post.queued"
    broken = "print('as it was'); throw new Error('not yet');"
    stage.event_script(event, "v8js", broken)
    stage.server.as_key("POST", ROWS, {"resource": [{"name": "a"}]})
    newest = f"system/job?script={event}&limit=1"
    job = stage.ask("GET", newest, expect=200).json["resource"][0]["id"]
    # Between two tries a job can be cancelled, and so be retried by hand.
    wait_for(lambda: stage.server.job(job)["attempt_count"] >= 1, 30)
    stage.ask("PATCH", f"system/job/{job}", {"action": "cancel"})
    stage.ask("PATCH", f"system/event_script/{event}", {"content": "print('as it is');"}, expect=200)
    before = len(stage.server.job(job)["attempts"])

    stage.ask("PATCH", f"system/job/{job}", {"action": "retry", "version": version}, expect=200)

    wait_for(lambda: len(stage.server.job(job)["attempts"]) > before, 30)
    run = stage.server.job(job)["attempts"][before]
    assert (run["output"] or run["error"]["output"]) == printed
    stage.ask("PATCH", f"system/job/{job}", {"action": "cancel"})


def test_only_a_retry_has_a_version(stage: Stage) -> None:
    answer = stage.ask("PATCH", "system/job/x", {"action": "cancel", "version": "then"})

    assert answer.status == 400
    assert "A retry can have a 'version'" in answer.json["error"]["message"]
