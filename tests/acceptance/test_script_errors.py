"""Errors from scripts: what is thrown, returned, mistyped, ended or switched off, and what the client is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.script_stage import (
    LANGUAGES,
    ROWS,
    SCRIPTS,
    Scene,
    Stage,
    asking,
    each_stage,
    envelope,
    error,
    scene,
)
from tests.acceptance.server import running

stage = each_stage
languages = pytest.mark.parametrize("language", LANGUAGES)
javascript = pytest.mark.parametrize("language", ["v8js", "typescript", "nodejs"])

PHP_REST = r"throw new \DreamFactory\Core\Exceptions\RestException"
THROWN_TEXT = scene("throw 'no';", "raise Exception('no')", php="throw new Exception('no');")
THROWN_OBJECT = scene(
    "throw {message: 'm', code: 77, status_code: 409};",
    "class Refused(Exception):\n    status_code = 409\n    code = 77\nraise Refused('m')",
    php=f"{PHP_REST}(409, 'm', 77);",
)
THROWN_STATUS = scene(
    "throw {message: 'too little', status_code: 422};",
    "problem = Exception('too little')\nproblem.status_code = 422\nraise problem",
    php=f"{PHP_REST}(422, 'too little');",
)
SYNTAX = scene("var a = ;", "def (:")
RETURNED_ERROR = scene("return {error: 'bad'};", "return {'error': 'bad'}")
RETURNED_MESSAGE = scene("return {error: {message: 'bad'}};", "return {'error': {'message': 'bad'}}")
FINE = scene("event.response = {content: 'fine'};", "event.response = {'content': 'fine'}")


def status_set_to(status: int) -> Scene:
    return scene(
        f"event.response = {{content: {{a: 1}}, status_code: {status}}};",
        f"event.response = {{'content': {{'a': 1}}, 'status_code': {status}}}",
    )


def still_serves(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, FINE)
    answer = stage.server.as_key("GET", ROWS)
    assert (answer.status, answer.json) == (200, "fine")


@languages
def test_a_thrown_text_is_the_message_of_a_500_and_nothing_is_written(stage: Stage, language: str) -> None:
    stage.on_table("post.pre_process", language, THROWN_TEXT)

    answer = stage.server.as_key("POST", ROWS, {"resource": [{"name": "never"}]})

    assert (answer.status, error(answer)) == (500, envelope("no", 500))
    assert stage.rows() == []


@languages
def test_a_thrown_object_says_message_code_and_status(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, THROWN_OBJECT)

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (409, envelope("m", 409, code=77))


@javascript
def test_a_thrown_object_with_only_a_message_is_a_500(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, "throw {message: 'm'};")

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (500, envelope("m", 500))


@javascript
def test_a_thrown_object_with_only_a_status_has_a_message_all_the_same(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, "throw {status_code: 404};")

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (404, envelope("Unknown scripting error.", 404))


@javascript
def test_a_thrown_error_is_a_500_with_its_message(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, "throw new Error('boom');")

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (500, envelope("boom", 500))


@pytest.mark.parametrize("where", ["after an answer", "in a callback", "in a promise"])
def test_what_nodejs_throws_late_is_an_error_too(stage: Stage, where: str) -> None:
    late = {
        "after an answer": "setTimeout(function () { throw {message: 'late', status_code: 409}; }, 5);",
        "in a callback": f"platform.api.get('db/_table/{ROWS.rpartition('/')[2]}', '', function () "
        "{ throw {message: 'late', status_code: 409}; });",
        "in a promise": "return Promise.reject({message: 'late', status_code: 409});",
    }
    stage.on_table("post.pre_process", "nodejs", late[where])

    answer = stage.server.as_key("POST", ROWS, {"resource": [{"name": "never"}]})

    assert (answer.status, error(answer)) == (409, envelope("late", 409))
    assert stage.rows() == []


@languages
def test_a_thrown_status_is_the_status_of_the_answer(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, THROWN_STATUS)

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (422, envelope("too little", 422))


@languages
def test_a_throw_after_the_work_replaces_the_answer_and_the_row_stays(stage: Stage, language: str) -> None:
    stage.on_table("post.post_process", language, THROWN_OBJECT)

    answer = stage.server.as_key("POST", ROWS, {"resource": [{"name": "stays"}]})

    assert answer.status == 409
    assert stage.names() == ["stays"]


@languages
def test_a_syntax_error_is_a_500_and_the_instance_keeps_serving(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, SYNTAX)

    answer = stage.server.as_key("GET", ROWS)

    assert answer.status == 500
    assert error(answer) == envelope(error(answer)["message"], 500)
    assert error(answer)["message"]
    still_serves(stage, language)


@languages
@pytest.mark.parametrize("returned", [RETURNED_ERROR, RETURNED_MESSAGE], ids=["text", "message"])
def test_a_returned_error_is_thrown(stage: Stage, language: str, returned: Scene) -> None:
    stage.on_table("get.pre_process", language, returned)

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (500, envelope("bad", 500))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("nodejs", "process.exit(3);"),
        ("python3", "import sys\nsys.exit(3)"),
        ("python3", "import os\nos._exit(3)"),
        ("php", "exit(3);"),
    ],
)
def test_a_script_that_ends_its_process_is_a_500_that_names_the_code(stage: Stage, language: str, text: str) -> None:
    stage.on_table("get.pre_process", language, text)

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (500, envelope("Executed command returned with error code: 3", 500))
    still_serves(stage, language)


@pytest.mark.parametrize(
    ("thrown", "status", "code", "message"),
    [
        ("new \\Exception('x')", 500, 500, "x"),
        ("new \\DreamFactory\\Core\\Exceptions\\NotFoundException('gone')", 404, 404, "gone"),
        ("new \\DreamFactory\\Core\\Exceptions\\RestException(418, 't')", 418, 418, "t"),
        ("new \\DreamFactory\\Core\\Exceptions\\BadRequestException('b', 123456)", 400, 123456, "b"),
        ("new \\TypeError('t')", 500, 500, "t"),
    ],
)
def test_what_php_throws_has_the_status_of_its_class(
    stage: Stage, thrown: str, status: int, code: int, message: str
) -> None:
    """Lines 60 and 61."""
    stage.on_table("get.pre_process", "php", f"throw {thrown};")

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, error(answer)) == (status, envelope(message, status, code=code))
    still_serves(stage, "php")


def test_an_unknown_language_is_a_500_when_its_script_is_to_run(stage: Stage) -> None:
    stage.on_table("get.pre_process", "lua", "return 1")

    answer = stage.server.as_key("GET", ROWS)

    assert answer.status == 500
    assert answer.json == {"error": {"code": 500, "message": "Unsupported script engine type 'lua'."}}


def test_with_all_scripting_off_nothing_is_saved_and_nothing_runs(data: Path) -> None:
    table, script = "/api/v2/db/_table/product?limit=1", f"{SCRIPTS}/db._table.product.get.post_process"
    record = {"type": "v8js", "content": "event.response.status_code = 201;", "is_active": True}
    service = {"name": "echo", "type": "v8js", "is_active": True, "config": {"content": "return 1;"}}
    with running(data) as server:
        assert server.as_admin("POST", script, record | {"allow_event_modification": True}).status == 201
        assert server.as_admin("POST", "/api/v2/system/service", service).status == 201
        assert server.as_admin("GET", table).status == 201

    with running(data, DF_SCRIPTING_DISABLE="all") as server:
        refused = [
            server.as_admin("POST", script, record),
            server.as_admin("PATCH", script, {"content": ""}),
            server.as_admin("POST", f"{SCRIPTS}/another", record),
            server.as_admin("GET", "/api/v2/echo"),
            server.as_admin("GET", table),
        ]
        without = server.as_admin("GET", "/api/v2/db/_table/category?limit=1")

    for answer in refused:
        told = {**error(answer), "context": None}  # which script it was, where the call met one
        assert (answer.status, told) == (503, envelope("All scripting is disabled for this instance.", 503))
    assert without.status == 200


def test_languages_are_switched_off_one_by_one(data: Path) -> None:
    with running(data, DF_SCRIPTING_DISABLE="php,python") as server:
        saved = {
            language: server.as_admin("POST", f"{SCRIPTS}/off.{language}", {"type": language, "content": ""})
            for language in ("nodejs", "python3", "php", "python")
        }

    assert {language: answer.status for language, answer in saved.items()} == {
        "nodejs": 201,
        "python3": 201,
        "php": 503,
        "python": 503,
    }
    assert error(saved["php"]) == envelope("Scripting with php is disabled for this instance.", 503)


@languages
@pytest.mark.parametrize("status", [299, 999])
def test_a_status_that_http_does_not_know_goes_out_as_500(stage: Stage, language: str, status: int) -> None:
    name = stage.service(language, status_set_to(status))
    stage.on_table("get.post_process", language, status_set_to(status))

    for path in (f"/api/v2/{name}", ROWS):
        answer = stage.server.as_admin("GET", path)
        assert (answer.status, answer.json) == (500, {"a": 1})


@languages
def test_a_script_that_throws_inside_a_call_of_a_script_is_an_answer_to_that_script(
    stage: Stage, language: str
) -> None:
    inner = stage.service(
        language, scene("throw 'inner';", "raise Exception('inner')", php="throw new Exception('inner');")
    )

    got = stage.value(language, asking(f"get('{inner}')", "[r.status_code, r.content.error.message, 'goes on']"))

    assert got == [500, "inner", "goes on"]
