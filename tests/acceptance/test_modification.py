"""What pre_process and post_process scripts may change, and how they answer in place of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.event_scenes import (
    ERRAND,
    EVENT,
    GENERIC,
    Scene,
    Stage,
    built,
    every_engine,
    scene,
    staged,
)
from tests.acceptance.server import Server

GET_PRE = f"{EVENT}.get.pre_process"
GET_POST = f"{EVENT}.get.post_process"
POST_PRE = f"{EVENT}.post.pre_process"
POST_POST = f"{EVENT}.post.post_process"

RENAME = scene(
    "event.request.payload.resource[0].name = 'x'; note('ran');",
    "event.request.payload.resource[0].name = 'x'\nnote('ran')",
)
ANSWER_A = scene(
    "event.response = {content: {a: 1}}; note('pre');", "event.response = {'content': {'a': 1}}\nnote('pre')"
)
ADD_EXTRA = scene(
    "event.response.content.resource[0].extra = 1; note('ran');",
    "event.response.content.resource[0].extra = 1\nnote('ran')",
)


@pytest.fixture(scope="module")
def theatre(server: Server) -> Iterator[Server]:
    with built(server) as ready:
        yield ready


@pytest.fixture
def stage(theatre: Server) -> Iterator[Stage]:
    with staged(theatre) as made:
        yield made


def answering(response: str) -> Scene:
    """A script that sets `event.response`, to a map written so that all languages read it alike."""
    return scene(f"event.response = {response};")


# -- the request


@every_engine
def test_a_changed_payload_is_what_is_stored(stage: Stage, engine: str) -> None:
    stage.hang(POST_PRE, engine, RENAME, modify=True)

    assert stage.add({"name": "sent"}).status == 200

    assert stage.names() == ["x"]


@every_engine
def test_without_the_permission_the_payload_is_stored_as_sent(stage: Stage, engine: str) -> None:
    stage.hang(POST_PRE, engine, RENAME)

    assert stage.add({"name": "sent"}).status == 200

    assert stage.notes() == ["ran"]
    assert stage.names() == ["sent"]


@every_engine
def test_a_changed_parameter_takes_effect(stage: Stage, engine: str) -> None:
    stage.add({"name": "a"}, {"name": "b"}, {"name": "c"})
    stage.hang(GET_PRE, engine, scene("event.request.parameters.limit = 1;"), modify=True)

    assert len(stage.call("GET", ERRAND).json["resource"]) == 1


@every_engine
def test_changed_content_alone_is_used(stage: Stage, engine: str) -> None:
    text = json.dumps({"resource": [{"name": "from content"}]})
    stage.hang(POST_PRE, engine, scene(f"event.request.content = '{text}';"), modify=True)

    assert stage.add({"name": "sent"}).status == 200

    assert stage.names() == ["from content"]


@every_engine
def test_a_changed_payload_wins_over_changed_content(stage: Stage, engine: str) -> None:
    text = json.dumps({"resource": [{"name": "from content"}]})
    script = scene(f"event.request.content = '{text}'; event.request.payload.resource[0].name = 'from payload';")
    stage.hang(POST_PRE, engine, script, modify=True)

    assert stage.add({"name": "sent"}).status == 200

    assert stage.names() == ["from payload"]


@every_engine
def test_the_method_cannot_be_changed(stage: Stage, engine: str) -> None:
    stage.add({"name": "kept"})
    stage.hang(GET_PRE, engine, scene("event.request.method = 'DELETE';"), modify=True)
    stage.hang(
        GET_POST,
        engine,
        scene("note('get ' + event.request.method);", php="$note('get ' . $event['request']['method']);"),
    )
    stage.hang(f"{EVENT}.delete.post_process", engine, scene("note('delete');"))

    before = stage.server.output().count("script.method_ignored")

    answer = stage.call("GET", f"{ERRAND}?fields=name")

    assert answer.json == {"resource": [{"name": "kept"}]}
    assert stage.names() == ["kept"]
    assert stage.server.output().count("script.method_ignored") == before + 1
    assert stage.notes() == ["get GET"]


# -- an answer in place of the service


@every_engine
def test_a_pre_process_response_replaces_the_service_and_later_scripts_still_run(stage: Stage, engine: str) -> None:
    stage.hang(POST_PRE, engine, ANSWER_A, modify=True)
    stage.hang(POST_POST, engine, scene("note(['post', event.response.content]);"))
    stage.hang(f"{EVENT}.post.queued", engine, scene("note(['queued', event.response.content]);"))

    answer = stage.add({"name": "never stored"})

    assert (answer.status, answer.json) == (200, {"a": 1})
    assert stage.rows() == []
    assert stage.notes(at_least=3) == ["pre", ["post", {"a": 1}], ["queued", {"a": 1}]]


@every_engine
def test_a_pre_process_response_may_have_a_status(stage: Stage, engine: str) -> None:
    response = "{'content': {'a': 1}, 'status_code': 403}"
    stage.hang(POST_PRE, engine, answering(response), modify=True)

    answer = stage.add({"name": "never stored"})

    assert (answer.status, answer.json) == (403, {"a": 1})
    assert stage.rows() == []


@every_engine
def test_a_pre_process_response_may_have_headers_and_a_content_type(stage: Stage, engine: str) -> None:
    response = "{'content': 'hi', 'content_type': 'text/plain', 'headers': {'X-A': '1'}}"
    stage.hang(GET_PRE, engine, answering(response), modify=True)

    answer = stage.call("GET", ERRAND)

    assert (answer.status, answer.body) == (200, b"hi")
    assert answer.headers["x-a"] == "1"
    assert answer.headers["content-type"].startswith("text/plain")


@every_engine
def test_a_pre_process_response_without_content_is_itself_the_body(stage: Stage, engine: str) -> None:
    stage.hang(GET_PRE, engine, answering("{'status_code': 400}"), modify=True)

    answer = stage.call("GET", ERRAND)

    assert (answer.status, answer.json) == (200, {"status_code": 400})


@every_engine
def test_a_pre_process_script_may_return_its_response(stage: Stage, engine: str) -> None:
    stage.hang(GET_PRE, engine, scene("return {'response': {'content': 'x', 'status_code': 201}}"), modify=True)

    answer = stage.call("GET", ERRAND)

    assert (answer.status, answer.body) == (201, b'"x"')
    assert answer.headers["content-type"] == "application/json"


@every_engine
def test_a_returned_content_does_not_answer_in_pre_process(stage: Stage, engine: str) -> None:
    stage.hang(POST_PRE, engine, scene("note('ran'); return {'content': 'x'}"), modify=True)

    answer = stage.add({"name": "stored"}, query="?fields=name")

    assert stage.notes() == ["ran"]
    assert answer.json == {"resource": [{"name": "stored"}]}
    assert stage.names() == ["stored"]


@every_engine
def test_edits_are_kept_when_something_else_is_returned(stage: Stage, engine: str) -> None:
    script = scene(
        "event.request.payload.resource[0].name = 'x'; return true;",
        "event.request.payload.resource[0].name = 'x'\nreturn True",
    )
    stage.hang(POST_PRE, engine, script, modify=True)

    stage.add({"name": "sent"})

    assert stage.names() == ["x"]


@every_engine
def test_without_the_permission_a_pre_process_response_is_ignored(stage: Stage, engine: str) -> None:
    stage.hang(POST_PRE, engine, ANSWER_A)

    answer = stage.add({"name": "stored"}, query="?fields=name")

    assert stage.notes() == ["pre"]
    assert answer.json == {"resource": [{"name": "stored"}]}
    assert stage.names() == ["stored"]


# -- the answer of the service


@every_engine
@pytest.mark.parametrize("modify", [True, False])
def test_a_changed_response_goes_out_only_with_the_permission(stage: Stage, engine: str, modify: bool) -> None:
    stage.add({"name": "a"})
    stage.hang(GET_POST, engine, ADD_EXTRA, modify=modify)

    answer = stage.call("GET", f"{ERRAND}?fields=name")

    assert stage.notes() == ["ran"]
    assert answer.json == {"resource": [{"name": "a", "extra": 1} if modify else {"name": "a"}]}


@every_engine
def test_a_changed_status_keeps_the_content(stage: Stage, engine: str) -> None:
    stage.add({"name": "a"})
    stage.hang(GET_POST, engine, scene("event.response.status_code = 201;"), modify=True)

    answer = stage.call("GET", f"{ERRAND}?fields=name")

    assert (answer.status, answer.json) == (201, {"resource": [{"name": "a"}]})


@every_engine
def test_a_post_process_script_may_return_content_and_status(stage: Stage, engine: str) -> None:
    script = scene(
        "return {content: {ok: true}, status_code: 206};", "return {'content': {'ok': True}, 'status_code': 206}"
    )
    stage.hang(GET_POST, engine, script, modify=True)

    answer = stage.call("GET", ERRAND)

    assert (answer.status, answer.json) == (206, {"ok": True})


@every_engine
def test_anything_else_a_post_process_script_returns_is_the_body(stage: Stage, engine: str) -> None:
    stage.hang(GET_POST, engine, scene("return [1, 2];"), modify=True)

    answer = stage.call("GET", ERRAND)

    assert (answer.status, answer.json) == (200, [1, 2])


@every_engine
def test_a_returned_zero_changes_nothing(stage: Stage, engine: str) -> None:
    stage.add({"name": "a"})
    stage.hang(GET_POST, engine, scene("note('ran'); return 0;"), modify=True)

    answer = stage.call("GET", f"{ERRAND}?fields=name")

    assert stage.notes() == ["ran"]
    assert (answer.status, answer.json) == (200, {"resource": [{"name": "a"}]})


@every_engine
def test_headers_of_a_post_process_script_join_those_there_are(stage: Stage, engine: str) -> None:
    stage.serve("with_headers", engine, answering("{'content': {'a': 1}, 'headers': {'X-A': '1', 'X-C': 'old'}}"))
    script = scene("event.response.headers = {'X-B': '2', 'X-C': 'new'};")
    stage.hang("with_headers.get.post_process", engine, script, modify=True)

    answer = stage.call("GET", "/api/v2/with_headers")

    assert answer.json == {"a": 1}
    assert [answer.headers[name] for name in ("x-a", "x-b", "x-c")] == ["1", "2", "new"]
    assert answer.headers["content-type"] == "application/json"


@every_engine
def test_a_request_changed_after_the_call_has_no_effect(stage: Stage, engine: str) -> None:
    stage.hang(POST_POST, engine, scene("event.request.payload.resource[0].name = 'late'; note('ran');"), modify=True)
    stage.hang(f"{EVENT}.post", engine, scene("note(event.request.payload.resource[0].name);"))

    answer = stage.add({"name": "sent"}, query="?fields=name")

    assert answer.json == {"resource": [{"name": "sent"}]}
    assert stage.names() == ["sent"]
    assert stage.notes() == ["ran", "sent"]


@every_engine
def test_a_script_without_a_stage_changes_nothing(stage: Stage, engine: str) -> None:
    stage.add({"name": "a"})
    script = scene("event.response.content = {'changed': 1}; event.response.status_code = 299; note('ran');")
    stage.hang(f"{EVENT}.get", engine, script, modify=True)

    answer = stage.call("GET", f"{ERRAND}?fields=name")

    assert stage.notes() == ["ran"]
    assert (answer.status, answer.json) == (200, {"resource": [{"name": "a"}]})


# -- several scripts


@every_engine
def test_the_specific_script_sees_the_edits_of_the_generic_one(stage: Stage, engine: str) -> None:
    generic = scene("event.request.payload.resource[0].stamp = 'g';")
    specific = scene(
        "var row = event.request.payload.resource[0]; row.stamp = row.stamp + 's';",
        "row = event.request.payload.resource[0]\nrow.stamp = row.stamp + 's'",
        "$event['request']['payload']['resource'][0]['stamp'] .= 's';",
    )
    stage.hang(POST_PRE, engine, specific, modify=True)
    stage.hang(f"{GENERIC}.post.pre_process", engine, generic, modify=True)

    stage.add({"name": "sent"})

    assert [row["stamp"] for row in stage.rows()] == ["gs"]


@every_engine
def test_a_throw_before_the_call_ends_it_and_post_process_sees_the_error(stage: Stage, engine: str) -> None:
    stage.hang(
        f"{GENERIC}.post.pre_process",
        engine,
        scene("throw 'no';", "raise Exception('no')", "throw new Exception('no');"),
    )
    stage.hang(POST_PRE, engine, scene("note('specific');"))
    seen = scene("note([event.response.status_code, event.response.content.error.message]);")
    stage.hang(f"{GENERIC}.post.post_process", engine, seen)
    stage.hang(POST_POST, engine, seen)

    answer = stage.add({"name": "never stored"})

    assert answer.status == 500
    assert answer.json["error"]["message"] == "no"
    assert stage.notes() == [[500, "no"], [500, "no"]]
    assert stage.rows() == []


@every_engine
def test_a_throw_after_the_call_answers_although_the_row_is_there(stage: Stage, engine: str) -> None:
    script = scene(
        "throw {message: 'short and stout', status_code: 418};",
        "error = Exception('short and stout')\nerror.status_code = 418\nraise error",
        "throw new DreamFactory\\Core\\Exceptions\\RestException(418, 'short and stout');",
    )
    stage.hang(POST_POST, engine, script)

    answer = stage.add({"name": "stored"})

    assert answer.status == 418
    assert answer.json["error"]["message"] == "short and stout"
    assert stage.names() == ["stored"]


@every_engine
def test_stopped_propagation_stops_neither_the_call_nor_its_other_events(stage: Stage, engine: str) -> None:
    """Line 54, but for its log service, of which there is none."""
    stage.hang(POST_PRE, engine, scene("event.stop_propagation = true;", "event.stop_propagation = True"), modify=True)
    stage.hang(POST_POST, engine, scene("note('post');"))

    assert stage.add({"name": "stored"}).status == 200

    assert stage.names() == ["stored"]
    assert stage.notes() == ["post"]
