"""What whoever queues a call gets: the answer itself if he waits, any call made later, one job for one key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import (
    event_script,
    make_tables,
    note,
    notes,
    person,
    queued,
    script_service,
    service_id,
    unique,
)
from tests.acceptance.server import Answer, Server, running

ASYNC = "respond-async"
TODO = "/api/v2/db/_table/job_cause"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tries a job once, so that a failure is final at once."""
    with running(tmp_path_factory.mktemp("reverie") / "once", REVERIE_QUEUE_TRIES="1") as started:
        make_tables(started)
        yield started


def result(server: Server, answer: Answer) -> Answer:
    """What the job of a 202 answered in the end."""
    server.wait_for_job(queued(answer))
    return server.as_admin("GET", answer.headers["location"] + "/result")


# -- waiting for the answer


ADDS_ONE = {
    "v8js": """\
const x = event.request.payload.x + 1;
return {response: {content: {x: x}, status_code: 201, headers: {'X-Made': 'yes'}}};
""",
    "python3": """\
x = event.request.payload.x + 1
return {'response': {'content': {'x': x}, 'status_code': 201, 'headers': {'X-Made': 'yes'}}}
""",
}


@pytest.mark.parametrize("language", ADDS_ONE)
def test_who_waits_gets_the_answer_with_its_own_status_and_headers(once: Server, language: str) -> None:
    with script_service(once, language, ADDS_ONE[language]) as service:
        answer = once.as_admin("POST", service.path, {"x": 4}, Prefer="wait=30")

        assert (answer.status, answer.json) == (201, {"x": 5})
        assert answer.headers["x-made"] == "yes"
        assert answer.headers["preference-applied"] == "wait=30"
        later = once.as_admin("GET", answer.headers["location"] + "/result")
        assert (later.status, later.json, later.headers["x-made"]) == (201, {"x": 5}, "yes")
        assert once.job(answer.headers["x-reverie-job"])["result"] is True


def test_an_answer_that_is_no_json_comes_back_as_it_is(once: Server) -> None:
    script = "return {response: {content: 'a,b\\n1,2\\n', content_type: 'text/csv'}};"
    with script_service(once, "v8js", script) as service:
        for answer in (
            once.as_admin("GET", service.path, Prefer="wait=30"),
            result(once, once.as_admin("GET", service.path)),
        ):
            assert answer.body == b"a,b\n1,2\n"
            assert answer.headers["content-type"].startswith("text/csv")


def test_who_waits_too_short_gets_the_promise_and_when_to_look_again(once: Server) -> None:
    with script_service(once, "v8js", "1;", config={"delay": 300}) as service:
        began = time.monotonic()
        answer = once.as_admin("POST", service.path, Prefer="wait=1")

        assert time.monotonic() - began >= 1
        assert (answer.status, answer.json) == (202, {"success": True})
        assert "preference-applied" not in answer.headers
        assert 290 <= int(answer.headers["retry-after"]) <= 400


def test_a_promise_tells_when_to_look_again_and_at_least_a_second(once: Server) -> None:
    with script_service(once, "v8js", "1;") as service:
        assert 1 <= int(once.as_admin("POST", service.path).headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ("throw {message: 'out of stock', status_code: 409};", 409, "out of stock"),
        ("throw new Error('broken');", 500, "broken"),
    ],
)
def test_who_waits_for_a_script_that_throws_gets_its_error_as_if_it_had_run_at_once(
    once: Server, script: str, status: int, message: str
) -> None:
    with script_service(once, "v8js", script) as later, script_service(once, "v8js", script, queued=False) as now:
        waited = once.as_admin("POST", later.path, Prefer="wait=30")
        direct = once.as_admin("POST", now.path)

        assert waited.status == direct.status == status
        errors = []
        for answer, service in ((waited, later), (direct, now)):
            error = answer.json["error"]
            assert message in error.pop("message")
            assert message in error["context"].pop("message")
            assert error["context"].pop("script") == f"service.{service.name}"
            errors.append(error)
        assert errors[0] == errors[1]
        assert once.as_admin("GET", waited.headers["location"] + "/result").status == 404


def test_who_waits_for_a_job_that_is_cancelled_is_told(once: Server) -> None:
    with script_service(once, "v8js", "1;", config={"delay": 300}) as service, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(once.as_admin, "POST", service.path, Prefer="wait=30")
        name = f"service:{service.name}"
        listed: list[str] = []
        while not listed:
            listed = once.as_admin("GET", f"/api/v2/system/job?filter=name='{name}'&as_list=true").json["resource"]
        assert once.as_admin("PATCH", f"/api/v2/system/job/{listed[0]}", {"action": "cancel"}).status == 200

        answer = waiting.result(20)
        assert answer.status == 409
        assert "cancelled" in answer.json["error"]["message"]


def test_a_sync_connection_gives_who_waits_its_answer_and_nobody_else(once: Server) -> None:
    script = "return {response: {content: {x: 1}, status_code: 201}};"
    with script_service(once, "v8js", script, config={"connection": "sync"}) as service:
        waited = once.as_admin("POST", service.path, Prefer="wait=5")
        other = once.as_admin("POST", service.path)

        assert (waited.status, waited.json) == (201, {"x": 1})
        assert (other.status, other.json) == (202, {"success": True})
        assert "retry-after" not in other.headers


# -- any call made later


def test_any_call_is_made_later_and_its_answer_kept(once: Server) -> None:
    label = unique("later")
    made = once.as_admin("POST", f"{TODO}?fields=label", {"label": label}, Prefer=ASYNC)

    assert (made.status, made.json) == (202, {"success": True})
    assert made.headers["preference-applied"] == ASYNC
    answer = result(once, made)
    assert (answer.status, answer.json) == (200, {"resource": [{"label": label}]})
    job = once.job(made.headers["x-reverie-job"])
    assert (job["kind"], job["verb"], job["service"]) == ("call", "POST", "db")
    assert job["request"]["payload"] == {"label": label}
    query = f"{TODO}?filter=label='{label}'&fields=label"
    assert result(once, once.as_admin("GET", query, Prefer=ASYNC)).json == once.as_admin("GET", query).json


def test_who_prefers_both_gets_the_answer_if_it_is_there_in_time(once: Server) -> None:
    answer = once.as_admin("GET", f"{TODO}?limit=1", Prefer=f"{ASYNC}, wait=30")

    assert answer.status == 200
    assert answer.headers["preference-applied"] == "wait=30"
    assert once.job(answer.headers["x-reverie-job"])["kind"] == "call"


def test_a_call_that_is_refused_when_it_is_made_has_the_refusal_as_its_answer(once: Server) -> None:
    path = f"{TODO}/987654"
    direct = once.as_admin("GET", path)

    answer = result(once, once.as_admin("GET", path, Prefer=ASYNC))

    assert (answer.status, answer.json) == (direct.status, direct.json) == (404, direct.json)


def test_a_call_that_cannot_be_made_at_all_is_refused_at_once(once: Server) -> None:
    assert once.as_admin("GET", "/api/v2/nothing_here", Prefer=ASYNC).status == 404
    assert once.call("GET", TODO, headers={"Prefer": ASYNC}).status == 400


def test_the_events_of_a_call_fire_when_it_is_made(once: Server) -> None:
    label = unique("note")
    seen = "[event.request.method, event.request.headers.prefer || null]"
    with event_script(once, "db._table.job_cause.get.pre_process", "v8js", note("v8js", label, seen)):
        answer = once.as_admin("GET", f"{TODO}?limit=1", Prefer=ASYNC)
        assert result(once, answer).status == 200

    assert notes(once, label) == [["GET", None]]


@pytest.mark.parametrize("body", [b"\xff\xfe\x00 no text \x80", '{"label": "ä"}'.encode("utf-16"), b"{not json"])
def test_every_body_reaches_a_call_that_is_made_later(once: Server, body: bytes) -> None:
    script = "return {content: event.request.content, payload: event.request.payload};"
    headers = {"Content_Type": "application/json; charset=utf-16" if body[:2] == b"\xff\xfe" else "text/json"}
    with script_service(once, "v8js", script, queued=False) as service:
        direct = once.as_admin("POST", service.path, body, **headers)
        later = result(once, once.as_admin("POST", service.path, body, Prefer=ASYNC, **headers))

    assert (later.status, later.body) == (direct.status, direct.body)


@pytest.mark.parametrize(
    "path", ["/api/v2/system/job", "/api/v2/system/queue", "/api/v2/system/environment", "/api/v2/system/admin/session"]
)
def test_what_looks_after_jobs_and_sessions_is_answered_at_once(once: Server, path: str) -> None:
    assert once.as_admin("GET", path, Prefer=ASYNC).status == 200


def test_where_nothing_would_be_made_later_the_call_is_made_at_once(data: Path) -> None:
    with running(data, REVERIE_QUEUE_CONNECTION="null", REVERIE_WORKERS="0") as nothing_kept:
        answer = nothing_kept.as_admin("GET", "/api/v2/system/role", Prefer=ASYNC)
        assert (answer.status, answer.json) == (200, nothing_kept.as_admin("GET", "/api/v2/system/role").json)
        with script_service(nothing_kept, "v8js", "1;") as service:
            kept = nothing_kept.as_admin("POST", service.path, Prefer="wait=5", Idempotency_Key="k")
            assert (kept.status, "location" in kept.headers) == (202, False)


def test_what_was_sent_to_the_platform_itself_is_not_shown_by_the_job(once: Server) -> None:
    secret = {"name": unique("secret"), "value": "the-private-value", "private": True}
    answer = once.as_admin("POST", "/api/v2/system/lookup", {"resource": [secret]}, Prefer=ASYNC)

    assert result(once, answer).status == 201
    shown = once.as_admin("GET", answer.headers["location"])
    assert b"the-private-value" not in shown.body
    assert shown.json["request"]["service"] == "system"


def test_a_call_is_made_as_whoever_asked_with_his_role_of_that_moment(once: Server) -> None:
    with person(once, service_id(once, "db")) as owner, person(once) as stranger:
        answer = owner.ask("GET", f"{TODO}?limit=1", Prefer=ASYNC)
        place = answer.headers["location"]
        once.wait_for_job(queued(answer))

        assert owner.ask("GET", f"{place}/result").status == 200
        assert stranger.ask("GET", f"{place}/result").status == 404
        assert once.call("GET", f"{place}/result").status == 400
        assert owner.ask("GET", "/api/v2/system/role", Prefer=ASYNC).status == 403
        assert once.job(queued(answer))["user_id"] == owner.ids["user"]
        assert once.job(queued(answer))["role_id"] == owner.ids["role"]


# -- once for a key


def test_a_key_makes_one_job_however_often_the_call_is_sent(once: Server) -> None:
    label, key = unique("note"), unique("key")
    with script_service(once, "v8js", note("v8js", label, "event.request.payload.qty")) as service:
        with ThreadPoolExecutor(8) as pool:
            sent = [
                pool.submit(once.as_admin, "POST", service.path, {"qty": 1}, Idempotency_Key=key) for _ in range(16)
            ]
            answers = [one.result(30) for one in sent]
        once.wait_for_job(queued(answers[0]))
        answers.append(once.as_admin("POST", service.path, {"qty": 1}, Idempotency_Key=key))

        assert {answer.status for answer in answers} == {202}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert notes(once, label) == [1]


def test_a_key_waits_for_the_job_that_it_made_before(once: Server) -> None:
    key = unique("key")
    with script_service(once, "v8js", "return {response: {content: {at: Math.random()}}};") as service:
        first = once.as_admin("POST", service.path, Prefer="wait=30", Idempotency_Key=key)
        again = once.as_admin("POST", service.path, Prefer="wait=30", Idempotency_Key=key)

        assert (again.status, again.json) == (first.status, first.json) == (200, first.json)


def test_a_key_with_another_call_is_422_and_does_nothing(once: Server) -> None:
    key = unique("key")
    with script_service(once, "v8js", "1;") as service:
        queued(once.as_admin("POST", service.path, {"qty": 1}, Idempotency_Key=key))

        for method, path, body in (
            ("POST", service.path, {"qty": 2}),
            ("PUT", service.path, {"qty": 1}),
            ("POST", f"{service.path}/x", {"qty": 1}),
        ):
            answer = once.as_admin(method, path, body, Idempotency_Key=key)
            assert answer.status == 422, (method, path)
            assert "new key" in answer.json["error"]["message"]
        found = once.as_admin("GET", f"/api/v2/system/job?filter=name='service:{service.name}'&count_only=true")
        assert found.json == 1


def test_a_key_is_its_callers_own(once: Server) -> None:
    key = unique("key")
    with (
        script_service(once, "v8js", "1;") as service,
        person(once, service.id) as one,
        person(once, service.id) as other,
    ):
        header = {"Idempotency-Key": key}
        jobs = [queued(someone.ask("POST", service.path, {}, **header)) for someone in (one, other, one)]

    assert jobs[0] == jobs[2] != jobs[1]


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_empty_or_too_long_is_400(once: Server, key: str) -> None:
    with script_service(once, "v8js", "1;") as service:
        assert once.as_admin("POST", service.path, Idempotency_Key=key).status == 400
    assert once.as_admin("GET", TODO, Prefer=ASYNC, Idempotency_Key=key).status == 400


def test_a_key_counts_for_a_call_that_is_made_later_and_on_a_sync_connection(once: Server) -> None:
    label, key = unique("note"), unique("key")
    later = [once.as_admin("POST", TODO, {"label": label}, Prefer=ASYNC, Idempotency_Key=key) for _ in range(2)]
    assert result(once, later[0]).status == 200
    assert later[0].headers["location"] == later[1].headers["location"]
    assert len(once.as_admin("GET", f"{TODO}?filter=label='{label}'").json["resource"]) == 1

    with script_service(once, "v8js", note("v8js", label, "1"), config={"connection": "sync"}) as service:
        sync = [queued(once.as_admin("POST", service.path, Idempotency_Key=key)) for _ in range(2)]
    assert sync[0] == sync[1]
    assert notes(once, label) == [1]
