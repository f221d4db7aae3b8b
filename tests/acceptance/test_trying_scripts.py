"""Scripts are tried on captured, stored and written events before they are saved, and kept events become tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.acceptance.script_stage import ROWS, TABLE, Stage, each_stage
from tests.acceptance.server import JSONValue, wait_for

stage = each_stage
EVENT = f"db._table.{TABLE}.post.pre_process"
LANGUAGES = pytest.mark.parametrize("language", ["v8js", "typescript", "nodejs", "python3", "php"])
STAMP = "event.request.payload.resource[0].qty = 7;"
STAMPS = {
    "v8js": f"print('before');\n{STAMP}",
    "typescript": f"print('before');\n{STAMP}",
    "nodejs": f"console.log('before');\n{STAMP}",
    "python3": "print('before')\nevent.request.payload.resource[0].qty = 7",
    "php": "echo 'before', \"\\n\";\n$event['request']['payload']['resource'][0]['qty'] = 7;",
}
WRITTEN = {"request": {"method": "POST", "payload": {"resource": [{"name": "a", "password": "canary-1"}]}}}


def tried(stage: Stage, status: int = 200, **asked: JSONValue) -> JSONValue:
    return stage.ask("POST", "system/script_run", asked, expect=status).json


def watched(stage: Stage, name: str = EVENT, **options: JSONValue) -> str:
    stage.ask("PUT", f"system/script_capture/{name}", options, expect=200)
    stage.undo("DELETE", f"system/script_capture/{name}")
    return name


def captured(stage: Stage, name: str = EVENT, count: int = 1) -> list[JSONValue]:
    """What is kept of a script, the newest first."""

    def events() -> list[JSONValue]:
        return list(stage.ask("GET", f"system/script_capture/{name}", expect=200).json["events"])

    wait_for(lambda: len(events()) >= count, 10)
    return events()


def reverie(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reverie", *arguments],
        env=stage.server.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# -- a written event


@LANGUAGES
def test_an_unsaved_script_runs_on_a_written_event(stage: Stage, language: str) -> None:
    told = tried(stage, script=EVENT, language=language, content=STAMPS[language], event=WRITTEN)

    assert told["error"] is None
    assert told["console"] == [{"number": 1, "line": 1, "text": "before"}]
    assert told["changes"] == [{"path": "request.payload.resource[0].qty", "change": "added", "after": 7}]
    assert told["effective"] is True
    assert told["times"]["run"] > 0
    assert set(told["times"]) == {"wait", "start", "run"}


@LANGUAGES
def test_a_mistake_is_told_with_its_place(stage: Stage, language: str) -> None:
    text = STAMPS[language].replace("resource[0]", "nothing[0]").replace("['resource'][0]['qty'] = 7", "->no()")

    told = tried(stage, script=EVENT, language=language, content=text, event=WRITTEN)

    assert (told["error"]["line"], told["console"][0]["text"]) == (2, "before")
    assert told["error"]["source"].split("\n")[1].startswith("> 2 | ")


def test_secrets_of_the_event_are_hidden_in_what_is_told(stage: Stage) -> None:
    answer = stage.ask(
        "POST", "system/script_run", {"language": "v8js", "content": STAMP, "event": WRITTEN}, expect=200
    )

    assert b"canary-1" not in answer.body


def test_what_cannot_be_tried_is_refused(stage: Stage) -> None:
    for asked, said in [
        ({"content": "1", "language": "v8js"}, "Name what the script shall run on"),
        ({"event": {}, "language": "v8js"}, "Send the text of the script"),
        ({"event": {}, "content": "1"}, "Say in which 'language'"),
        ({"event": {}, "content": "1", "language": "v8js", "mode": "wet"}, "no mode 'wet'"),
        ({"event": {}, "content": "1", "language": "v8js", "timeout": 0}, "'timeout' must be"),
    ]:
        answer = stage.ask("POST", "system/script_run", asked)
        assert (answer.status, said in answer.json["error"]["message"]) == (400, True), answer.body
    assert tried(stage, 404, capture=999999, content="1", language="v8js")["error"]["status_code"] == 404
    refused = stage.server.as_key(
        "POST", "/api/v2/system/script_run", {"event": {}, "content": "1", "language": "v8js"}
    )
    assert refused.status in (401, 403)


# -- what a dry run does not do


def test_a_dry_run_reads_and_does_not_write(stage: Stage) -> None:
    [row] = stage.add("kept")
    text = f"""
        var read = platform.api.get('db/_table/{TABLE}/{row}');
        var made = platform.api.post('db/_table/{TABLE}', {{resource: [{{name: 'never'}}]}});
        var gone = platform.api.delete('db/_table/{TABLE}/{row}');
        var out = platform.api.post('http://127.0.0.1:9/hook', 'x');
        platform.store.set('a', 5);
        var held = platform.store.get('a');
        return [read.content.name, made.status_code, made.content, gone.headers, out.status_code, held];
    """

    told = tried(stage, language="v8js", content=text, event={"request": {"method": "GET"}})

    assert told["result"] == ["kept", 200, {"resource": [{"name": "never"}]}, {"X-Reverie-Withheld": "true"}, 200, 5]
    assert stage.names() == ["kept"]
    assert [(one["verb"], one["path"]) for one in told["writes"]] == [
        ("POST", f"/api/v2/db/_table/{TABLE}"),
        ("DELETE", f"/api/v2/db/_table/{TABLE}/{row}"),
        ("POST", "http://127.0.0.1:9/hook"),
    ]
    assert [one["source"] for one in told["calls"]] == [
        "platform", "withheld", "withheld", "withheld", "withheld", "withheld",
    ]  # fmt: skip
    assert [one["status"] for one in told["calls"][:4]] == [200, 200, 200, 200]


def test_a_real_run_does_write(stage: Stage) -> None:
    text = f"platform.api.post('db/_table/{TABLE}', {{resource: [{{name: 'made'}}]}});"

    told = tried(stage, language="v8js", content=text, event={"request": {"method": "GET"}}, mode="real")

    assert (told["writes"], told["calls"][0]["source"]) == ([], "platform")
    assert stage.names() == ["made"]


def test_scripts_of_calls_in_a_dry_run_do_not_write_either(stage: Stage) -> None:
    writes = f"platform.api.post('db/_table/{TABLE}', {{resource: [{{name: 'never'}}]}}); return 'did';"
    service = stage.service("v8js", writes)
    later = stage.service("v8js", writes, queued=True)

    told = tried(
        stage,
        language="v8js",
        content=f"return [platform.api.get('{service}').content, platform.api.get('{later}').status_code];",
        event={"request": {"method": "GET"}},
    )

    assert told["result"] == ["did", 202]
    assert [one["path"] for one in told["writes"]] == [f"/api/v2/db/_table/{TABLE}"]
    assert stage.names() == []
    assert stage.ask("GET", f"system/job?filter=(name='service:{later}')", expect=200).json["resource"] == []


def test_a_role_is_asked_in_a_dry_run_too(stage: Stage) -> None:
    watched(stage)
    stage.server.as_key("POST", ROWS, {"resource": [{"name": "a"}]})
    [event] = captured(stage)

    told = tried(
        stage, script=EVENT, language="v8js", capture=event["id"],
        content="return platform.api.post('system/role', {resource: [{name: 'x'}]}).status_code;",
    )  # fmt: skip

    assert told["result"] == 401
    assert told["writes"] == []


def test_a_script_that_tries_itself_comes_to_an_end(stage: Stage) -> None:
    text = "return platform.api.post('system/script_run', event.again).content;"
    again: dict[str, JSONValue] = {"language": "v8js", "content": text, "mode": "real"}
    event: dict[str, JSONValue] = {"request": {"method": "GET"}}
    for _ in range(20):
        event = {**event, "again": {**again, "event": event}}

    told = stage.ask("POST", "system/script_run", {**again, "event": event}, expect=200).json

    assert "calls nest more than 16 deep" in told["error"]["message"]


@pytest.mark.parametrize("what", [0, -1, 2**40, "\u00b2", "x", True])
def test_an_id_that_none_can_be_is_not_found(stage: Stage, what: JSONValue) -> None:
    assert tried(stage, 404, language="v8js", content="1", capture=what)["error"]["code"] == 404


# -- captured events


def test_an_event_without_a_script_is_captured_and_a_new_script_tried_on_it(stage: Stage) -> None:
    watched(stage, keep=2)
    for name in ("one", "two", "three"):
        body = {"resource": [{"name": name, "qty": 1}]}
        stage.server.as_key("POST", ROWS, body, X_Partner_Token="canary-2")
    events = captured(stage, count=2)

    assert [one["outcome"] for one in events] == ["seen", "seen"]  # the oldest has made room
    assert (events[0]["verb"], events[0]["uri"]) == ("POST", ROWS)
    whole = stage.ask("GET", f"system/script_capture/{EVENT}/{events[0]['id']}", expect=200)
    assert whole.json["event"]["request"]["payload"] == {"resource": [{"name": "three", "qty": 1}]}
    assert b"canary-2" not in whole.body
    assert stage.server.key.encode() not in whole.body

    told = tried(stage, script=EVENT, language="v8js", content=STAMP, capture=events[0]["id"])
    assert told["changes"] == [
        {"path": "request.payload.resource[0].qty", "change": "changed", "before": 1, "after": 7}
    ]


def test_a_dry_run_answers_reads_as_the_first_run_was_answered(stage: Stage) -> None:
    [row] = stage.add("then")
    reading = f"return {{x: platform.api.get('db/_table/{TABLE}/{row}').content.name}};"
    name = stage.service("v8js", reading)
    watched(stage, f"service:{name}")
    assert stage.server.as_admin("GET", f"/api/v2/{name}").json == {"x": "then"}
    [event] = captured(stage, f"service:{name}")
    stage.server.as_key("PATCH", f"{ROWS}/{row}", {"name": "now"})

    told = tried(stage, capture=event["id"])

    assert (event["outcome"], told["result"], told["calls"][0]["source"]) == ("done", {"x": "then"}, "tape")
    assert tried(stage, capture=event["id"], mode="real")["result"] == {"x": "now"}


def test_what_is_watched_no_longer_is_gone(stage: Stage) -> None:
    watched(stage)
    stage.server.as_key("POST", ROWS, {"resource": [{"name": "a"}]})
    [event] = captured(stage)
    assert EVENT in stage.ask("GET", "system/script_capture?as_list=true", expect=200).json["resource"]

    stage.ask("DELETE", f"system/script_capture/{EVENT}", expect=200)

    assert stage.ask("GET", f"system/script_capture/{EVENT}").status == 404
    assert tried(stage, 404, script=EVENT, language="v8js", content="1", capture=event["id"])["error"]


def test_captures_are_for_administrators(stage: Stage) -> None:
    role = stage.role(stage.access("system"))
    _, key = stage.app(role)
    asks = [("GET", "script_capture"), ("GET", "script_fixture"), ("POST", "script_run")]

    for method, resource in asks:
        answer = stage.server.call(method, f"/api/v2/system/{resource}", headers={"X-DreamFactory-API-Key": key})
        assert (answer.status, b"Only administrators" in answer.body) == (403, True), resource


# -- stored jobs


def failed_job(stage: Stage) -> str:
    event = f"db._table.{TABLE}.post.queued"
    stage.event_script(event, "v8js", "var a = 1;\nthrow new Error('no ' + event.request.method);")
    stage.server.as_key("POST", ROWS, {"resource": [{"name": "a"}]})
    job = str(stage.ask("GET", f"system/job?script={event}&limit=1", expect=200).json["resource"][0]["id"])
    wait_for(lambda: stage.server.job(job)["attempt_count"] >= 1, 30)
    return job


def test_a_job_is_replayed_with_another_script_and_is_not_touched(stage: Stage, tmp_path: Path) -> None:
    job = failed_job(stage)
    before = stage.server.job(job)["attempt_count"]
    assert tried(stage, job=job)["error"]["source"].startswith("  1 | var a = 1;\n> 2 | throw")

    file = tmp_path / "better.js"
    file.write_text("print('fixed');\nreturn event.request.method;")
    told = reverie(stage, "queue", "replay", job, "--script", str(file))

    assert told.returncode == 0, told.stderr
    assert "   1 | line 1    | fixed" in told.stdout.split("\n")
    assert 'Returned: "POST"' in told.stdout
    assert stage.server.job(job)["attempt_count"] >= before
    assert reverie(stage, "queue", "replay", job).returncode == 1  # as it is saved it fails still
    stage.ask("PATCH", f"system/job/{job}", {"action": "cancel"})


def test_a_captured_job_is_replayed_with_the_answers_of_its_first_run(stage: Stage) -> None:
    [row] = stage.add("then")
    name = stage.service("python3", f"return platform.api.get('db/_table/{TABLE}/{row}').content", queued=True)
    watched(stage, f"service:{name}")
    job = stage.server.as_admin("POST", f"/api/v2/{name}", {}).headers["x-reverie-job"]
    stage.server.wait_for_job(job)
    [event] = captured(stage, f"service:{name}")
    stage.server.as_key("PATCH", f"{ROWS}/{row}", {"name": "now"})

    told = tried(stage, job=job)

    assert (event["job_id"], told["calls"][0]["source"], told["result"]["name"]) == (job, "tape", "then")


def test_an_unsaved_script_is_queued(stage: Stage) -> None:
    told = tried(
        stage, 202, mode="queue", language="v8js", event={"request": {"method": "PUT"}},
        content="print('later'); return event.request.method;",
    )  # fmt: skip

    job = stage.server.wait_for_job(told["job"])
    assert (job["kind"], job["attempts"][0]["output"]) == ("script.trial", "later\n")
    assert stage.ask("GET", f"system/job/{told['job']}/result").json == "PUT"


# -- fixtures


def fixture(stage: Stage, **sent: JSONValue) -> int:
    made = stage.ask("POST", "system/script_fixture", sent, expect=201).json["resource"][0]["id"]
    stage.undo("DELETE", f"system/script_fixture/{made}")
    return int(made)


def test_a_fixture_holds_what_the_script_does_and_is_tested(stage: Stage, tmp_path: Path) -> None:
    [row] = stage.add("then")
    reading = f"event.request.payload.resource[0].name = platform.api.get('db/_table/{TABLE}/{row}').content.name;"
    stage.on_table("post.pre_process", "v8js", reading)
    made = fixture(stage, script=EVENT, name="takes the name", event=WRITTEN)
    whole = stage.ask("GET", f"system/script_fixture/{made}", expect=200)
    assert whole.json["expect"]["changes"][0]["after"] == "then"
    assert b"canary-1" not in whole.body
    stage.server.as_key("PATCH", f"{ROWS}/{row}", {"name": "now"})  # what it read is kept with it

    junit = tmp_path / "junit.xml"
    good = reverie(stage, "scripts", "test", "--script", EVENT, "--junit", str(junit))
    assert (good.returncode, "1 fixtures, 0 failed." in good.stdout) == (0, True), good.stdout + good.stderr
    stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": "throw new Error('worse');"}, expect=200)
    bad = reverie(stage, "scripts", "test", "--script", EVENT, "--junit", str(junit))

    assert (bad.returncode, "The script failed in line 1: Error: worse" in bad.stdout) == (1, True), bad.stdout
    [suite] = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_a_save_that_fails_its_fixtures_is_refused_where_the_script_wants_that(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", STAMP, config={"require_fixtures": True})
    expect = {"request": {"payload": {"resource": [{"qty": 7}]}}}
    fixture(stage, script=EVENT, name="stamps", event=WRITTEN, expect=expect)

    refused = stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": STAMP.replace("7", "8")})

    assert stage.ask("PATCH", f"system/event_script?ids={EVENT}", {"content": "1"}).status == 409  # by another door
    assert refused.status == 409
    [problem] = refused.json["error"]["context"]["fixtures"]["stamps"]
    assert problem.startswith("request: expected ")
    assert stage.ask("GET", f"system/event_script/{EVENT}").json["content"] == STAMP
    stage.ask("PATCH", f"system/event_script/{EVENT}", {"content": f"{STAMP} // same"}, expect=200)


def test_a_service_can_want_its_fixtures_to_pass(stage: Stage) -> None:
    name = stage.service("v8js", "return {sum: 2};", config={"require_fixtures": True})
    service = stage.service_id(name)
    fixture(stage, script=f"service:{name}", name="adds", event={"request": {"method": "GET"}})

    refused = stage.ask("PATCH", f"system/service/{service}", {"config": {"content": "return {sum: 3};"}})

    assert (refused.status, "1 of its 1 fixtures fail" in refused.json["error"]["message"]) == (409, True)
    stage.ask("PATCH", f"system/service/{service}", {"config": {"content": "return {sum: 1 + 1};"}}, expect=200)


def test_an_expectation_that_makes_no_sense_is_refused(stage: Stage) -> None:
    stage.on_table("post.pre_process", "v8js", STAMP)

    answer = stage.ask(
        "POST", "system/script_fixture", {"script": EVENT, "name": "x", "event": WRITTEN, "expect": {"colour": 1}}
    )

    assert (answer.status, "An expectation has no 'colour'" in answer.body.decode()) == (400, True)
