"""What a job holds, how it is stored, and what of it stays as it was when the job was queued."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import (
    JSON,
    LANGUAGES,
    Service,
    event_script,
    make_tables,
    note,
    notes,
    person,
    queued,
    script_service,
    service_id,
    set_script,
    take_away_db,
    unique,
    work,
)
from tests.acceptance.php_words import php_of
from tests.acceptance.server import Server, running

CAUSE = "db._table.job_cause.post"
every_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True, scope="module")
def tables(server: Server, idle: Server) -> None:
    make_tables(server)
    make_tables(idle)


@contextlib.contextmanager
def in_every_language(server: Server, queue: str, content: Callable[[str], str]) -> Iterator[dict[str, Service]]:
    """A queued service in each language, so that one worker runs them all."""
    with contextlib.ExitStack() as stack:
        yield {
            language: stack.enter_context(script_service(server, language, content(language), config={"queue": queue}))
            for language in LANGUAGES
        }


def status_of(server: Server, jobs: dict[str, str]) -> dict[str, str]:
    return {language: server.job(job)["status"] for language, job in jobs.items()}


def same(value: JSON) -> dict[str, JSON]:
    """*value* for each language."""
    return dict.fromkeys(LANGUAGES, value)


# -- at rest


@dataclass
class Row:
    """A job as it lies in the store: its columns, and the sealed bytes beside them."""

    columns: dict[str, JSON]
    payload: bytes

    def holds(self, text: str) -> bool:
        return text in str(self.columns) or text.encode() in self.payload


def stored(server: Server, job: str) -> Row:
    connection = sqlite3.connect(f"{(server.data / 'reverie.sqlite').as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        connection.row_factory = sqlite3.Row
        columns = dict(connection.execute("SELECT * FROM job WHERE id = ?", (job,)).fetchone())
        [payload] = connection.execute("SELECT payload FROM job_payload WHERE job_id = ?", (job,)).fetchone()
        return Row(columns, payload)
    finally:
        connection.close()


def files_that_hold(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.glob("reverie.sqlite*") if text.encode() in path.read_bytes()]


def test_a_stored_job_names_script_and_queue_and_hides_token_key_body_and_email(idle: Server) -> None:
    queue, canary = unique("queue"), unique("canary")
    db = service_id(idle, "db")
    with (
        script_service(idle, "python3", "pass", config={"queue": queue}) as service,
        person(idle, db, service.id) as someone,
        event_script(idle, f"{CAUSE}.queued", "python3", "pass", config={"queue": queue}) as script,
    ):
        of_service = queued(someone.ask("POST", service.path, {"label": canary}))
        assert someone.ask("POST", "/api/v2/db/_table/job_cause", {"resource": [{"label": canary}]}).status == 200
        found = idle.as_admin("GET", f"/api/v2/system/job?queue={queue}").json["resource"]
        [of_event] = [job["id"] for job in found if job["id"] != of_service]

        for job, identifier in ((of_service, f"service:{service.id}"), (of_event, script)):
            row = stored(idle, job)
            assert {"script": identifier, "queue": queue, "connection": "database"}.items() <= row.columns.items()
            assert len(row.payload) > len(canary)
            for secret in (someone.token, someone.key, someone.email, canary):
                assert not row.holds(secret)
            shown = idle.job(job)
            assert shown["request"]["payload"] in (
                {"label": canary},
                {"resource": [{"label": canary}]},
            )  # for who may see it
            assert someone.token not in json.dumps(shown)
            assert someone.key not in json.dumps(shown)
        assert files_that_hold(idle.data, canary) == []
        work(idle, queue)


# -- the event


@every_language
def test_a_queued_event_is_what_the_last_post_process_script_left(server: Server, language: str) -> None:
    after, later = unique("after"), unique("later")
    edit = "event.response.status_code = 202; event.response.content['edited'] = 'by the script';"
    if language == "nodejs":  # its calls are made when the script's own lines are through
        post_process = edit + note(language, after, "event")
    elif language == "php":
        post_process = php_of(edit) + note(language, after, "event")
    else:
        post_process = edit.replace("; ", "\n").rstrip(";") + "\n" + note(language, after, "event")
    with (
        event_script(server, f"{CAUSE}.post_process", language, post_process, allow_event_modification=True),
        event_script(server, f"{CAUSE}.queued", language, note(language, later, "event")),
    ):
        answer = server.as_admin("POST", "/api/v2/db/_table/job_cause?fields=*", {"resource": [{"label": "tea"}]})
        [job] = server.as_admin("GET", f"/api/v2/system/job?script={CAUSE}.queued&limit=1").json["resource"]
        server.wait_for_job(job["id"])

    [seen_after], [seen_later] = notes(server, after), notes(server, later)
    assert answer.status == 202
    assert answer.json["edited"] == "by the script"
    for part in ("request", "response", "resource"):
        assert seen_later[part] == seen_after[part], part
    assert seen_later["response"]["content"] == answer.json
    assert seen_later["request"]["payload"] == {"resource": [{"label": "tea"}]}


# -- the caller


def test_a_role_that_loses_its_access_after_the_call_still_lets_the_job_write(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    content = {language: note(language, f"{label}_{language}", "'written'") for language in LANGUAGES}
    with (
        in_every_language(idle, queue, content.__getitem__) as services,
        person(idle, service_id(idle, "db"), *(service.id for service in services.values())) as someone,
    ):
        jobs = {language: queued(someone.ask("POST", service.path)) for language, service in services.items()}
        assert someone.ask("GET", "/api/v2/db/_table/job_note?limit=1").status == 200
        take_away_db(idle, someone)
        assert someone.ask("GET", "/api/v2/db/_table/job_note?limit=1").status == 403

        work(idle, queue)

        assert status_of(idle, jobs) == same("done")
        assert {one: notes(idle, f"{label}_{one}") for one in LANGUAGES} == same(["written"])


def test_a_session_that_has_ended_after_the_call_still_lets_the_job_call_the_platform(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    content = {language: note(language, f"{label}_{language}", "'written'") for language in LANGUAGES}
    with (
        in_every_language(idle, queue, content.__getitem__) as services,
        person(idle, service_id(idle, "db"), *(service.id for service in services.values())) as someone,
    ):
        jobs = {language: queued(someone.ask("POST", service.path)) for language, service in services.items()}
        assert someone.ask("DELETE", "/api/v2/user/session").status == 200
        assert someone.ask("GET", "/api/v2/db/_table/job_note?limit=1").status == 403

        work(idle, queue)

        assert status_of(idle, jobs) == same("done")
        assert {one: notes(idle, f"{label}_{one}") for one in LANGUAGES} == same(["written"])


def test_a_job_runs_todays_text_with_the_lookups_of_its_call(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")

    def text(language: str, edition: str) -> str:
        return note(language, f"{label}_{language}", f"['{edition}', '{{shade}}', platform.session.lookup.shade]")

    with (
        in_every_language(idle, queue, lambda language: text(language, "first")) as services,
        person(
            idle,
            service_id(idle, "db"),
            *(service.id for service in services.values()),
            lookups={"shade": "green"},
        ) as someone,
    ):
        for service in services.values():
            queued(someone.ask("POST", service.path))
        path = f"/api/v2/system/user/{someone.ids['user']}"
        [lookup] = idle.as_admin("GET", f"{path}?related=lookup_by_user_id").json["lookup_by_user_id"]
        changed = idle.as_admin("PATCH", path, {"lookup_by_user_id": [{**lookup, "value": "black"}]})
        assert changed.status == 200, changed.body
        for language, service in services.items():
            set_script(idle, service, text(language, "second"))
        for service in services.values():
            queued(someone.ask("POST", service.path))

        work(idle, queue)

        old, new = ["second", "green", "green"], ["second", "black", "black"]
        assert {one: notes(idle, f"{label}_{one}") for one in LANGUAGES} == same([old, new])


# -- what is gone


def skipped_with_a_warning(server: Server, queue: str, jobs: dict[str, str]) -> None:
    ran = work(server, queue)

    assert ran.code == 0
    assert status_of(server, jobs) == same("skipped")
    for job in jobs.values():
        [line] = [line for line in ran.log.splitlines() if job in line]
        assert "warning" in line
        assert server.job(job)["error"] is None or "message" in server.job(job)["error"]
    assert server.as_admin("GET", f"/api/v2/system/job?queue={queue}&status=failed").json["resource"] == []


@pytest.mark.parametrize("fate", ["deleted", "switched off"])
def test_a_job_whose_event_script_is_gone_is_skipped_and_not_failed(idle: Server, fate: str) -> None:
    queue, label = unique("queue"), unique("note")
    verbs = dict(zip(LANGUAGES, ("post", "get", "put", "patch", "delete"), strict=True))
    jobs = {}
    with contextlib.ExitStack() as stack:
        made = idle.as_admin("POST", "/api/v2/db/_table/job_cause", {"resource": [{"label": label}]}).json
        row = [{"id": made["resource"][0]["id"], "label": label}]
        for language, verb in verbs.items():
            name = f"db._table.job_cause.{verb}.queued"
            record = event_script(idle, name, language, note(language, label, "1"), config={"queue": queue})
            stack.enter_context(record)
            body = {"resource": [{"label": label}] if verb == "post" else row}
            answer = idle.as_admin(verb.upper(), "/api/v2/db/_table/job_cause", None if verb == "get" else body)
            assert answer.status == 200, answer.body
            [found] = idle.as_admin("GET", f"/api/v2/system/job?queue={queue}&script={name}").json["resource"]
            jobs[language] = found["id"]
            path = f"/api/v2/system/event_script/{name}"
            gone = (
                idle.as_admin("DELETE", path)
                if fate == "deleted"
                else idle.as_admin("PATCH", path, {"is_active": False})
            )
            assert gone.status == 200, gone.body

        skipped_with_a_warning(idle, queue, jobs)

    assert notes(idle, label) == []


@pytest.mark.parametrize("fate", ["deleted", "switched off"])
def test_a_job_whose_service_is_gone_is_skipped_and_not_failed(idle: Server, fate: str) -> None:
    queue, label = unique("queue"), unique("note")
    with in_every_language(idle, queue, lambda language: note(language, label, "1")) as services:
        jobs = {language: queued(idle.as_admin("POST", service.path)) for language, service in services.items()}
        for service in services.values():
            path = f"/api/v2/system/service/{service.id}"
            gone = (
                idle.as_admin("DELETE", path)
                if fate == "deleted"
                else idle.as_admin("PATCH", path, {"is_active": False})
            )
            assert gone.status == 200, gone.body

        skipped_with_a_warning(idle, queue, jobs)

    assert notes(idle, label) == []


def test_a_job_sealed_under_another_secret_key_fails_at_once_and_the_worker_goes_on(data: Path) -> None:
    with (
        running(data, REVERIE_WORKERS="0", REVERIE_SECRET_KEY="first " * 8) as server,
        script_service(server, "python3", "pass", config={"queue": "sealed"}) as service,
    ):
        old = queued(server.as_admin("POST", service.path))
        server.stop()
        server.environment["REVERIE_SECRET_KEY"] = "second " * 8
        server.start()
        server.log_in()
        new = queued(server.as_admin("POST", service.path))

        ran = work(server, "sealed", "--tries=5")

        assert ran.of(old) == [("starting", 1), ("failed", 1)]
        assert ran.of(new) == [("starting", 1), ("success", 1)]
        assert (server.job(old)["status"], server.job(new)["status"]) == ("failed", "done")
        assert "another secret key" in server.job(old)["error"]["message"]


# -- who, from within a script


@every_language
def test_a_job_queued_by_a_script_carries_the_caller_of_the_script(server: Server, language: str) -> None:
    label = unique("note")
    email = "platform.session.user.email"
    with script_service(server, language, note(language, label, email)) as inner:
        text = f"platform.api.post('{inner.name}', {{'a': 1}})"
        text = php_of(text) if language == "php" else text
        with (
            script_service(server, language, text, queued=False) as outer,
            person(server, service_id(server, "db"), inner.id, outer.id) as someone,
        ):
            assert someone.ask("POST", outer.path).status == 200
            [found] = server.as_admin("GET", f"/api/v2/system/job?script=service:{inner.id}").json["resource"]
            job = server.wait_for_job(found["id"])

            assert job["environment"]["session"]["user"]["id"] == someone.ids["user"]
            assert job["environment"]["session"]["role"]["id"] == someone.ids["role"]
            assert job["environment"]["session"]["app"]["id"] == someone.ids["app"]
            assert someone.ask("GET", f"/api/v2/system/job/{found['id']}").status == 200
    assert notes(server, label) == [someone.email]


# -- bodies

LENGTHS = {
    "python3": "[len(event.request.content), event.request.content[-5:], len(event.request.payload['text'])]",
    "nodejs": "[event.request.content.length, event.request.content.slice(-5), event.request.payload.text.length]",
    "v8js": "[event.request.content.length, event.request.content.slice(-5), event.request.payload.text.length]",
    "php": "[strlen($event['request']['content']), substr($event['request']['content'], -5),"
    " strlen($event['request']['payload']['text'])]",
}
LENGTHS["typescript"] = LENGTHS["v8js"]


@every_language
def test_a_job_sees_the_whole_of_a_body_of_two_mebibytes(server: Server, language: str) -> None:
    label = unique("note")
    letters = 2 * 1024 * 1024
    body = json.dumps({"text": "x" * letters + "end"}).encode()
    seen: JSON = [len(body), 'end"}', letters + 3]
    script = note(language, label, LENGTHS[language])
    with (
        script_service(server, language, script) as service,
        event_script(server, f"{CAUSE}.queued", language, script),
    ):
        of_service = queued(server.as_admin("POST", service.path, body))
        assert server.as_admin("POST", "/api/v2/db/_table/job_cause?fields=id", body).status == 200
        server.wait_for_job(of_service)
        [of_event] = server.as_admin("GET", f"/api/v2/system/job?script={CAUSE}.queued&limit=1").json["resource"]
        server.wait_for_job(of_event["id"])

    assert notes(server, label) == [seen, seen]


@every_language
def test_a_body_that_is_no_text_reaches_the_job_in_base64_with_a_marker(server: Server, language: str) -> None:
    label, body = unique("note"), b"\xff\xfe\x00 no text \x80"
    script = note(language, label, "[event.request.content, event.request.payload]")
    with script_service(server, language, script) as service:
        answer = server.as_admin("POST", service.path, body, Content_Type="application/octet-stream")
        server.wait_for_job(queued(answer))

    [[content, payload]] = notes(server, label)
    assert payload is None
    assert content["encoding"] == "base64"
    assert base64.b64decode(content["data"]) == body
