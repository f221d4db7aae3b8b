"""What a script's edits do to a request and an answer."""

from __future__ import annotations

import pytest

from reverie.events.changes import request_after, response_after, response_instead
from reverie.events.event import event_map, request_map, response_map, stored_request
from reverie.model import JSON, Request, Response
from reverie.scripting.engine import NOTHING, Outcome

REQUEST = Request(
    method="POST",
    service="db",
    resource="_table/todo",
    payload={"resource": [{"name": "a"}]},
    content=b'{"resource":[{"name":"a"}]}',
)


def edited(**request: JSON) -> Outcome:
    return Outcome(event={"resource": "todo", "request": {**request_map(REQUEST), **request}})


def after(outcome: Outcome) -> Request:
    return request_after(outcome, request_map(REQUEST), REQUEST)


def test_a_changed_payload_counts() -> None:
    changed = after(edited(payload={"resource": [{"name": "b"}]}))

    assert changed.payload == {"resource": [{"name": "b"}]}
    assert b'"b"' in changed.content


def test_a_changed_content_counts_when_the_payload_did_not_change() -> None:
    assert after(edited(content='{"name": "c"}')).payload == {"name": "c"}


def test_the_payload_wins_when_both_changed() -> None:
    assert after(edited(content='{"name": "c"}', payload={"name": "p"})).payload == {"name": "p"}


def test_parameters_and_headers_change_but_method_and_service_do_not() -> None:
    changed = after(edited(parameters={"limit": 1}, headers={"X-A": 1}, method="DELETE", service="other"))

    assert (changed.method, changed.service) == ("POST", "db")
    assert (changed.parameters, changed.headers) == ({"limit": 1}, {"x-a": "1"})


def test_edits_are_kept_when_the_script_returns_something_else() -> None:
    outcome = edited(parameters={"limit": 1})

    changed = after(Outcome(event=outcome.event, returned=True))

    assert changed.parameters == {"limit": 1}


def test_a_returned_map_that_names_a_response_answers() -> None:
    outcome = Outcome(event={"request": {}}, returned={"response": {"content": "x", "status_code": 201}})

    assert response_instead(outcome) == Response(status=201, content="x")


def test_a_returned_content_without_response_does_not_answer_before_the_service() -> None:
    assert response_instead(Outcome(event={"request": {}}, returned={"content": "x"})) is None


def test_a_response_without_content_is_a_body() -> None:
    outcome = Outcome(event={"response": {"status_code": 400}})

    assert response_instead(outcome) == Response(content={"status_code": 400})


ANSWER = Response(content={"resource": [{"id": 1}]}, headers={"X-Own": "1"}, encoded=b"{}")


@pytest.mark.parametrize(
    ("returned", "status", "content"),
    [
        ({"content": {"ok": True}, "status_code": 206}, 206, {"ok": True}),
        ([1, 2], 200, [1, 2]),
        ("x", 200, "x"),
        (True, 200, True),
        ({"a": 1}, 200, {"a": 1}),
        ({"response": {"content": 5}}, 200, 5),
        (0, 200, ANSWER.content),
        ({}, 200, ANSWER.content),
    ],
)
def test_what_a_post_process_script_returns_becomes_the_answer(returned: JSON, status: int, content: JSON) -> None:
    changed = response_after(Outcome(event={"response": response_map(ANSWER)}, returned=returned), ANSWER)

    assert (changed.status, changed.content, changed.encoded) == (status, content, None)


def test_a_changed_status_keeps_the_content() -> None:
    event: dict[str, JSON] = {"response": {**response_map(ANSWER), "status_code": 201}}

    changed = response_after(Outcome(event=event, returned=NOTHING), ANSWER)

    assert (changed.status, changed.content) == (201, ANSWER.content)


def test_headers_are_added_and_none_is_removed() -> None:
    event: dict[str, JSON] = {"response": {**response_map(ANSWER), "headers": {"X-B": "2\r\nX-Evil: 1"}}}

    changed = response_after(Outcome(event=event, returned=NOTHING), ANSWER)

    assert changed.headers == {"X-Own": "1", "X-B": "2  X-Evil: 1"}


def test_a_pre_process_event_has_no_response() -> None:
    assert "response" not in event_map("todo", REQUEST, None)


def test_a_body_that_is_no_text_is_kept_as_base64() -> None:
    request = Request(method="POST", service="db", content=b"\xff\x00", payload=None)

    assert request_map(request)["content"] == "--non-parsable-data--"
    assert stored_request(request)["content"] == {"encoding": "base64", "data": "/wA="}
