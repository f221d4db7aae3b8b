"""What scripts see of a call: the event's request, response and resource."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.acceptance.event_scenes import ERRAND, EVENT, GENERIC, NOTE_EVENT, Stage, built, every_engine, scene, staged
from tests.acceptance.server import Server


@pytest.fixture(scope="module")
def theatre(server: Server) -> Iterator[Server]:
    with built(server) as ready:
        yield ready


@pytest.fixture
def stage(theatre: Server) -> Iterator[Stage]:
    with staged(theatre) as made:
        yield made


@every_engine
def test_the_event_tells_method_version_and_parameters(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.post.post_process", engine, NOTE_EVENT)

    answer = stage.add({"name": "milk"}, query="?fields=id")

    assert answer.status == 200
    [event] = stage.notes()
    assert event["request"]["method"] == "POST"
    assert event["request"]["api_version"] == "2.0"
    assert event["request"]["parameters"] == {"fields": "id"}
    assert event["response"]["status_code"] == 200
    assert event["response"]["content"] == answer.json


@every_engine
def test_headers_have_lower_case_names_and_repeated_ones_are_joined(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.get.pre_process", engine, scene("note(event.request.headers['x-custom']);"))
    for values in (["A"], ["A", "B"]):
        connection = http.client.HTTPConnection("127.0.0.1", stage.server.port, timeout=30)
        connection.putrequest("GET", ERRAND)
        connection.putheader("X-DreamFactory-Session-Token", stage.server.admin)
        for value in values:
            connection.putheader("X-Custom", value)
        connection.endheaders()
        assert connection.getresponse().status == 200
        connection.close()

    assert stage.notes() == ["A", "A,B"]


@every_engine
def test_a_json_body_is_a_structure_and_its_text(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.post.pre_process", engine, NOTE_EVENT)
    text = '{"resource": [ {"name": "caf\u00e9", "qty": 2} ]}'

    assert stage.call("POST", ERRAND, text.encode(), Content_Type="application/json").status == 200

    [event] = stage.notes()
    assert event["request"]["payload"] == {"resource": [{"name": "caf\u00e9", "qty": 2}]}
    assert event["request"]["content"] == text
    assert event["request"]["content_type"] == "application/json"


@every_engine
def test_nothing_sent_is_an_empty_map_and_an_empty_text(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.get.pre_process", engine, NOTE_EVENT)

    stage.call("GET", ERRAND)

    [event] = stage.notes()
    nothing: object = [] if engine == "php" else {}  # PHP's arrays do not know which they were
    assert event["request"]["payload"] == nothing
    assert event["request"]["content"] == ""
    assert event["request"]["parameters"] == nothing


@every_engine
def test_a_body_that_cannot_be_decoded_has_no_payload(stage: Stage, engine: str) -> None:
    stage.hang(
        f"{EVENT}.post.pre_process",
        engine,
        scene(
            "note([event.request.payload === null, event.request.content]);",
            "note([event.request.payload is None, event.request.content])",
        ),
    )

    answer = stage.call("POST", ERRAND, b"not json <<<", Content_Type="application/octet-stream")

    assert stage.notes() == [[True, "not json <<<"]]
    assert answer.status == 400
    assert "Unrecognized payload type" in answer.json["error"]["message"]


@every_engine
def test_the_request_names_its_path_service_and_resource(stage: Stage, engine: str) -> None:
    stage.hang(f"{EVENT}.get.pre_process", engine, NOTE_EVENT)

    stage.call("GET", f"{ERRAND}?limit=1&fields=id")

    [event] = stage.notes()
    assert event["request"]["uri"] == ERRAND
    assert event["request"]["service"] == "db"
    assert event["request"]["resource"] == "_table/errand"


@every_engine
def test_a_pre_process_script_has_no_response(stage: Stage, engine: str) -> None:
    there = "note('response' in event);"
    for name in ("pre_process", "post_process"):
        php = "$note(array_key_exists('response', $event));"
        stage.hang(f"{EVENT}.get.{name}", engine, scene(there, there, php))

    stage.call("GET", ERRAND)

    assert stage.notes() == [False, True]


@every_engine
def test_the_resource_is_what_the_name_leaves_open(stage: Stage, engine: str) -> None:
    found = scene("note(event.resource);")
    stage.hang(f"{EVENT}.get.pre_process", engine, found)
    stage.hang(f"{GENERIC}.{{id}}.get.pre_process", engine, found)
    stage.hang(f"{EVENT}.{{id}}.get.pre_process", engine, found)

    stage.call("GET", ERRAND)
    stage.call("GET", f"{ERRAND}/7")

    assert stage.notes() == ["errand", "errand/7", "7"]


@every_engine
def test_a_script_service_sees_the_path_after_its_name_and_a_blank_response(stage: Stage, engine: str) -> None:
    stage.serve("math", engine, scene("note(event)"))

    answer = stage.call("GET", "/api/v2/math/add?n1=2")

    assert answer.status == 200
    [event] = stage.notes()
    assert event["resource"] == "add"
    assert event["response"] == {"content": None, "content_type": None, "status_code": 200}
    assert event["request"]["parameters"] == {"n1": "2"}


@every_engine
def test_a_csv_body_is_records(stage: Stage, engine: str) -> None:
    """Line 20."""
    stage.hang(f"{EVENT}.post.pre_process", engine, NOTE_EVENT)
    text = 'name,stamp\n"milk, sour",a\ntea,b\n'

    answer = stage.call("POST", ERRAND, text.encode(), Content_Type="text/csv")

    assert answer.status == 200, answer.body
    [event] = stage.notes()
    assert event["request"]["payload"] == {
        "resource": [{"name": "milk, sour", "stamp": "a"}, {"name": "tea", "stamp": "b"}]
    }
    assert (event["request"]["content"], event["request"]["content_type"]) == (text, "text/csv")
    assert stage.names() == ["milk, sour", "tea"]


@every_engine
def test_a_body_that_is_no_text_shows_as_such_and_the_call_goes_on(stage: Stage, engine: str) -> None:
    """Line 25."""
    stage.serve("takes_bytes", engine, scene("note(event.request.content); return {'a': 1}"))

    answer = stage.call("POST", "/api/v2/takes_bytes", b"\xff\xfe\x80", Content_Type="application/octet-stream")

    assert (answer.status, answer.json) == (200, {"a": 1})
    assert stage.notes() == ["--non-parsable-data--"]


@every_engine
def test_a_repeated_parameter_with_brackets_is_a_list(stage: Stage, engine: str) -> None:
    """Line 26."""
    stage.hang(f"{EVENT}.get.pre_process", engine, scene("note(event.request.parameters.a);"))

    assert stage.call("GET", f"{ERRAND}?a[]=1&a[]=2").status == 200

    assert stage.notes() == [["1", "2"]]


@every_engine
def test_a_tunnelled_verb_is_the_method_and_names_the_event(stage: Stage, engine: str) -> None:
    """Line 27."""
    [row] = stage.add({"name": "a"}).json["resource"]
    stage.hang(f"{EVENT}.patch.pre_process", engine, scene("note(event.request.method);"))
    stage.hang(f"{EVENT}.post.pre_process", engine, scene("note('post');"))

    answer = stage.call("POST", ERRAND, {"resource": [{**row, "name": "b"}]}, X_HTTP_Method="PATCH")

    assert answer.status == 200, answer.body
    assert stage.notes() == ["PATCH"]
    assert stage.names() == ["b"]


@every_engine
def test_a_call_within_a_script_has_an_event_with_headers_service_and_resource(stage: Stage, engine: str) -> None:
    """Line 28."""
    stage.hang(f"{EVENT}.get.pre_process", engine, NOTE_EVENT)
    stage.serve("asks", engine, scene("platform.api.get('db/_table/errand?limit=1'); return {'a': 1}"))

    assert stage.call("GET", "/api/v2/asks").status == 200

    [event] = stage.notes()
    assert event["request"]["headers"] == ([] if engine == "php" else {})
    assert (event["request"]["service"], event["request"]["resource"]) == ("db", "_table/errand")
    assert event["request"]["uri"] == ERRAND


@pytest.mark.parametrize("path", [ERRAND, "/api/v2/system/role", "/api/v2/system/event_script/db.get"])
def test_a_body_that_cannot_be_read_is_refused_with_its_reason(stage: Stage, path: str) -> None:
    answer = stage.call("POST", path, b'{"resource": [')

    assert answer.status == 400
    assert "not valid JSON" in answer.json["error"]["message"]


def test_json_that_a_client_labels_as_a_form_is_read_as_json(stage: Stage) -> None:
    body = b'{"resource": [{"name": "labelled"}]}'

    answer = stage.call("POST", ERRAND, body, Content_Type="application/x-www-form-urlencoded")

    assert answer.status == 200
    assert stage.names() == ["labelled"]
