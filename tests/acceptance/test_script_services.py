"""Services that a script answers: at once or queued, cached, with a list of components, with options of the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import pytest

from tests.acceptance.job_scenes import failed_list
from tests.acceptance.php_words import php_of
from tests.acceptance.script_stage import LANGUAGES, TABLE, Scene, Stage, each_stage, error, scene
from tests.acceptance.server import Answer, JSONValue

stage = each_stage
languages = pytest.mark.parametrize("language", LANGUAGES)
ACCEPTED = b'{"success":true}'
DOC = "service_doc_by_service_id"
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def counting(then: str) -> Scene:
    """A script that counts its runs, in ``n``, and then does as told."""
    get, put = "platform.store.get('n', 0)", "platform.store.set('n', n)"
    late = f"return {get}.then(function (was) {{ var n = was + 1; return {put}.then(function () {{ {then} }}); }});"
    php = f"{php_of(f'n = {get}')} $n += 1; {php_of(put)} {php_of(then)}"
    return scene(f"var n = {get} + 1; {put}; {then}", f"n = {get} + 1\n{put}\n{then}", late, php)


def notes(what: str) -> Scene:
    """A script that adds a row with that text."""
    post = f"platform.api.post('db/_table/{TABLE}', {{'name': {what}}})"
    return scene(f"{post};", post, f"return {post};")


def empty(language: str) -> JSONValue:
    """An empty map as a script of that language hands it on: PHP's arrays do not know which they were."""
    return [] if language == "php" else {}


def options(**config: JSONValue) -> Mapping[str, JSONValue]:
    return {"queued": True, "config": config}


def job_of(answer: Answer) -> str:
    assert (answer.status, answer.body) == (202, ACCEPTED)
    job_id = answer.headers["x-reverie-job"]
    assert answer.headers["location"] == f"/api/v2/system/job/{job_id}"
    return job_id


def jobs_of(stage: Stage, name: str) -> list[JSONValue]:
    script = f"service:{stage.service_id(name)}"
    return list(stage.ask("GET", f"system/job?script={script}", expect=200).json["resource"])


def waits(job: JSONValue) -> float:
    """Seconds from its making until it is due."""
    return (datetime.fromisoformat(job["due_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()


# At once.


@languages
def test_what_a_script_returns_is_the_body(stage: Stage, language: str) -> None:
    map_ = stage.run(language, scene("return {a: 1};", "return {'a': 1}"))
    text = stage.run(language, scene("return 'txt';", "return 'txt'"))

    assert (map_.status, map_.body) == (200, b'{"a":1}')
    assert (text.status, text.body, text.headers["content-type"]) == (200, b'"txt"', "application/json")


@languages
def test_what_a_script_sets_of_the_response_is_the_answer(stage: Stage, language: str) -> None:
    sets = scene(
        "event.response.content = {a: 1}; event.response.status_code = 203; event.response.headers = {'X-A': 'one'};",
        "event.response.content = {'a': 1}\nevent.response.status_code = 203\nevent.response.headers = {'X-A': 'one'}",
    )
    typed = scene(
        "event.response = {content: 'a,b', content_type: 'text/csv'};",
        "event.response = {'content': 'a,b', 'content_type': 'text/csv'}",
    )

    answer, text = stage.run(language, sets), stage.run(language, typed)

    assert (answer.status, answer.body, answer.headers["x-a"]) == (203, b'{"a":1}', "one")
    assert (text.status, text.body) == (200, b"a,b")
    assert text.headers["content-type"].startswith("text/csv")


@languages
def test_nothing_returned_is_the_blank_response(stage: Stage, language: str) -> None:
    for text in (
        "",
        scene("return 0;", "return 0"),
        scene("return false;", "return False"),
        scene("return {};", "return {}"),
    ):
        answer = stage.run(language, text)
        assert (answer.status, answer.body) == (200, b"")


@languages
def test_a_returned_response_is_the_answer(stage: Stage, language: str) -> None:
    returns = scene(
        "return {response: {content: {x: 1}, status_code: 201}};",
        "return {'response': {'content': {'x': 1}, 'status_code': 201}}",
    )

    answer = stage.run(language, returns)

    assert (answer.status, answer.body) == (201, b'{"x":1}')


@languages
def test_every_verb_reaches_the_script(stage: Stage, language: str) -> None:
    told = "[event.request.method, event.resource, event.request.payload]"
    name = stage.service(language, scene(f"return {told};", f"return {told}"))

    answers = {verb: stage.ask(verb, f"{name}/sub/path", None if verb == "GET" else {"a": 1}) for verb in VERBS}

    assert {verb: answer.json for verb, answer in answers.items()} == {
        verb: [verb, "sub/path", empty(language) if verb == "GET" else {"a": 1}] for verb in VERBS
    }


# Queued.


@languages
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "?q=1", None), ("POST", "", {"a": 1}), ("DELETE", "", None), ("PUT", "/s/b", {})],
)
def test_every_call_of_a_queued_service_is_one_job_that_sees_the_call(
    stage: Stage, language: str, method: str, path: str, body: JSONValue
) -> None:
    request = "event.request.method, event.resource, event.request.resource, event.request.parameters"
    told = f"[{request}, event.request.payload]"
    name = stage.service(language, _noting(told), queued=True)

    answer = stage.ask(method, f"{name}{path}", body)

    job_id = job_of(answer)
    stage.server.wait_for_job(job_id)
    sub = path.strip("/") if path.startswith("/") else ""
    query = {"q": "1"} if "?" in path else empty(language)
    assert [json.loads(text) for text in stage.names()] == [[method, sub, sub, query, body or empty(language)]]
    assert [job["id"] for job in jobs_of(stage, name)] == [job_id]


def _noting(told: str) -> Scene:
    written = notes(f"JSON.stringify({told})")
    return {**written, "python3": "import json\n" + notes(f"json.dumps({told})")["python3"]}


@languages
def test_a_queued_script_may_fill_a_response_that_nobody_reads(stage: Stage, language: str) -> None:
    text = scene("event.response.content = 1;", "event.response.content = 1")
    name = stage.service(language, text, queued=True)

    answer = stage.ask("POST", name)

    job = stage.server.wait_for_job(job_of(answer))
    assert (job["attempt_count"], job["error"]) == (1, None)


# The list of components, and names.


def test_a_list_of_components_makes_no_job_unless_the_script_answers_it(stage: Stage) -> None:
    plain = stage.service("v8js", "", queued=True)
    own = stage.service("v8js", "", queued=True, implements_access_list=True)

    listed = stage.ask("GET", f"{plain}?as_access_list=true")
    queued = stage.ask("GET", f"{own}?as_access_list=true")

    assert (listed.status, listed.json) == (200, {"resource": ["", "*"]})
    assert jobs_of(stage, plain) == []
    assert [job["id"] for job in jobs_of(stage, own)] == [job_of(queued)]


@languages
def test_a_script_that_answers_the_list_of_components_is_run_for_it(stage: Stage, language: str) -> None:
    name = stage.service(language, scene("return ['a', 'b'];", "return ['a', 'b']"), implements_access_list=True)

    assert stage.ask("GET", f"{name}?as_access_list=true", expect=200).json == ["a", "b"]


def described(stage: Stage, name: str, *paths: str) -> None:
    content = json.dumps({"paths": {path: {"get": {}} for path in paths}})
    change = {DOC: {"format": 0, "content": content}}
    stage.ask("PATCH", f"system/service/{stage.service_id(name)}", change, expect=200)


def test_the_list_of_components_has_documented_paths_and_what_is_above_them(stage: Stage) -> None:
    name = stage.service("v8js", "")

    described(stage, name, "/b10", "/a/{id}/b", "/b9", "/a/{id}/c/d")

    listed = stage.ask("GET", f"{name}?as_access_list=true").json["resource"]
    assert listed == ["", "*", "a/*", "a/{id}/*", "a/{id}/b", "a/{id}/c/*", "a/{id}/c/d", "b9", "b10"]


# Kept answers.


@languages
def test_kept_answers_spare_the_script(stage: Stage, language: str) -> None:
    name = stage.service(language, counting("return [n];"), cache_enabled=True, cache_ttl=60)

    def runs(method: str, path: str) -> int:
        return int(stage.ask(method, f"{name}{path}", expect=200).json[0])

    asked = [("GET", ""), ("GET", ""), ("GET", "?a=1"), ("GET", "?a=1&_=123"), ("GET", "/sub"), ("GET", "")]
    assert [runs(method, path) for method, path in asked] == [1, 1, 2, 2, 3, 1]
    assert [runs("POST", ""), runs("POST", ""), runs("GET", "")] == [4, 5, 1]


@languages
def test_an_answer_that_tells_of_a_failure_is_not_kept(stage: Stage, language: str) -> None:
    fails = scene(
        "event.response = {content: [n], status_code: 500};", "event.response = {'content': [n], 'status_code': 500}"
    )
    name = stage.service(language, counting(fails[language]), cache_enabled=True, cache_ttl=60)

    answers = [stage.ask("GET", name) for _ in range(2)]

    assert [(answer.status, answer.json) for answer in answers] == [(500, [1]), (500, [2])]


@languages
def test_a_changed_script_answers_at_once_and_so_it_does_when_what_is_kept_is_cleared(
    stage: Stage, language: str
) -> None:
    name = stage.service(language, counting("return [n];"), cache_enabled=True, cache_ttl=60)
    at = f"system/service/{stage.service_id(name)}"
    first = stage.ask("GET", name).json

    stage.ask("PATCH", at, {"config": {"content": scene("return ['new'];", "return ['new']")[language]}}, expect=200)
    changed = stage.ask("GET", name).json
    stage.ask("PATCH", at, {"config": {"content": counting("return [n];")[language]}}, expect=200)
    kept = [stage.ask("GET", name).json for _ in range(2)]
    stage.ask("DELETE", f"system/cache/{name}", expect=200)
    cleared = stage.ask("GET", name).json

    assert (first, changed, kept, cleared) == ([1], ["new"], [[2], [2]], [3])


# Options of the queue.


def test_an_unknown_connection_is_saved_and_named_when_it_is_needed(stage: Stage) -> None:
    name = stage.service("v8js", "", **options(connection="nope"))

    answer = stage.ask("GET", name)

    assert answer.status == 500
    assert error(answer)["message"] == "The [nope] queue connection has not been configured."
    assert jobs_of(stage, name) == []


@languages
def test_on_a_sync_connection_the_work_is_done_with_the_answer_and_a_throw_is_the_answer(
    stage: Stage, language: str
) -> None:
    works = stage.service(language, notes("'done'"), **options(connection="sync", delay=300))
    refuses = scene(
        "throw {message: 'no', status_code: 409};",
        "e = Exception('no')\ne.status_code = 409\nraise e",
        php="throw new DreamFactory\\Core\\Exceptions\\ConflictResourceException('no');",
    )
    throws = stage.service(language, refuses, **options(connection="sync"))

    done, refused = stage.ask("POST", works), stage.ask("POST", throws)

    assert (done.status, done.body, stage.names()) == (202, ACCEPTED, ["done"])
    assert (refused.status, error(refused)["message"]) == (409, "no")
    [job] = jobs_of(stage, throws)
    assert (job["status"], job["attempt_count"], job["error"]["message"]) == ("failed", 1, "no")
    assert job["id"] not in {entry["id"] for entry in failed_list(stage.server)}


@languages
def test_sync_jobs_inside_sync_jobs_end(stage: Stage, language: str) -> None:
    name = stage.service(language, notes("'bottom'"), **options(connection="sync"))
    for _ in range(4):
        call = f"platform.api.post('{name}')"
        name = stage.service(language, scene(f"{call};", call, f"return {call};"), **options(connection="sync"))

    assert stage.ask("POST", name).status == 202
    assert stage.names() == ["bottom"]


def test_on_a_null_connection_nothing_is_kept(stage: Stage) -> None:
    name = stage.service("v8js", notes("'never'"), **options(connection="null"))

    answer = stage.ask("POST", name)

    assert (answer.status, answer.body) == (202, ACCEPTED)
    assert "location" not in answer.headers
    assert (jobs_of(stage, name), stage.names()) == ([], [])


def test_the_older_names_of_options_count_where_the_short_ones_are_absent(stage: Stage) -> None:
    older, newer = stage.name("older"), stage.name("newer")
    old = {"QUEUED_QUEUE": older, "QUEUED_DELAY": 300, "QUEUED_CONNECTION": "database"}
    one = stage.service("v8js", "", **options(**old))
    other = stage.service("v8js", "", **options(**old, queue=newer, delay=600))
    gone = stage.service("v8js", "", **options(queued_connection="nope"))

    first, second = (stage.server.job(job_of(stage.ask("GET", name))) for name in (one, other))

    assert (first["queue"], first["connection"], first["status"]) == (older, "database", "delayed")
    assert waits(first) == pytest.approx(300, abs=2)
    assert second["queue"] == newer
    assert waits(second) == pytest.approx(600, abs=2)
    assert "nope" in error(stage.ask("GET", gone))["message"]


@pytest.mark.parametrize(("delay", "seconds"), [("300", 300), (0, 0), (-5, 0), ("-5", 0), (None, 0)])
def test_a_delay_is_seconds_in_whatever_type_and_never_in_the_past(
    stage: Stage, delay: JSONValue, seconds: float
) -> None:
    name = stage.service("v8js", "", **options(delay=delay))

    job_id = job_of(stage.ask("GET", name))

    assert waits(stage.server.job(job_id)) == pytest.approx(seconds, abs=2)
    if not seconds:
        stage.server.wait_for_job(job_id)


def test_a_delay_that_is_no_number_is_refused_when_it_is_saved(stage: Stage) -> None:
    name = stage.name("soon")
    config = {"content": "", "queued": True, "config": {"delay": "soon"}}

    answer = stage.ask("POST", "system/service", {"name": name, "type": "v8js", "config": config})

    assert answer.status == 400
    assert "Invalid queue delay" in answer.body.decode()
    assert stage.ask("GET", name).status == 404


# The record of a service.


def test_a_name_is_one_word_and_its_own_and_is_the_label_too(stage: Stage) -> None:
    name = stage.service("v8js", "")

    spaced = stage.ask("POST", "system/service", {"name": "two words", "type": "v8js", "config": {}})
    taken = stage.ask("POST", "system/service", {"name": name, "type": "v8js", "config": {}})

    assert (spaced.status, taken.status) == (400, 400)
    assert stage.ask("GET", f"system/service/{stage.service_id(name)}").json["label"] == name


def test_an_unknown_type_of_service_is_refused(stage: Stage) -> None:
    answer = stage.ask("POST", "system/service", {"name": stage.name("odd"), "type": "lua", "config": {}})

    assert answer.status == 400
    assert "lua" in answer.body.decode()


def test_the_events_of_a_service_come_from_its_document_until_that_is_removed(stage: Stage) -> None:
    name = stage.service("v8js", "")
    at = f"system/service/{stage.service_id(name)}"
    listing = f"system/event?service={name}&as_list=true"

    described(stage, name, "/item/{id}")
    documented = stage.ask("GET", listing).json["resource"]
    stage.ask("PATCH", at, {DOC: None}, expect=200)
    removed = stage.ask("GET", listing).json["resource"]
    unknown = stage.ask("PATCH", at, {DOC: {"format": 7, "content": "{}"}})

    assert documented == [f"{name}.item.{{id}}.get"]
    assert removed == [f"{name}.{verb.lower()}" for verb in VERBS]
    assert stage.ask("GET", f"{at}?related={DOC}").json[DOC] is None
    assert unknown.status >= 400
    assert error(unknown)["message"] == "Invalid API Doc Format '7'."


def test_a_service_that_is_switched_off_is_a_403_that_says_so(stage: Stage) -> None:
    name = stage.service("v8js", "return ['on'];")
    stage.ask("PATCH", f"system/service/{stage.service_id(name)}", {"is_active": False}, expect=200)

    answer = stage.ask("GET", name)

    assert (answer.status, error(answer)["message"]) == (403, f"Service {name} is deactivated.")


@languages
def test_a_script_after_a_queued_call_sees_the_202_and_may_change_it(stage: Stage, language: str) -> None:
    name = stage.service(language, "", queued=True)
    changes = scene(
        "event.response.content = {was: event.response.status_code, body: event.response.content};"
        " event.response.status_code = 200;",
        "event.response.content = {'was': event.response.status_code, 'body': event.response.content}\n"
        "event.response.status_code = 200",
    )
    stage.event_script(f"{name}.post.post_process", language, changes)

    answer = stage.ask("POST", name)

    assert (answer.status, answer.json) == (200, {"was": 202, "body": {"success": True}})
    stage.server.wait_for_job(answer.headers["x-reverie-job"])
