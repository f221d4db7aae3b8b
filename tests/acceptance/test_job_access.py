"""Who may look at a job, and what it says while it waits."""

from __future__ import annotations

import pytest

from tests.acceptance.job_scenes import SOME, person, queued, script_service
from tests.acceptance.server import Server

LATER = {"delay": 300}


def test_who_queued_a_job_may_read_it_and_another_user_may_not(server: Server) -> None:
    with (
        script_service(server, "v8js", "1;", config=LATER) as service,
        person(server, service.id) as owner,
        person(server, service.id) as other,
    ):
        answer = owner.ask("POST", service.path, {"of": "the owner"})
        job = queued(answer)
        place = answer.headers["location"]

        shown = owner.ask("GET", place)
        assert shown.status == 200, shown.body
        assert shown.json["id"] == job
        assert shown.json["request"]["payload"] == {"of": "the owner"}
        assert other.ask("GET", place).status == 404
        assert owner.ask("GET", "/api/v2/system/job/no-such-job").status == 404
        assert server.call("GET", place, headers={"X-DreamFactory-Session-Token": owner.token}).status == 200


def test_the_list_of_jobs_stays_closed_to_a_role_without_access(server: Server) -> None:
    with script_service(server, "v8js", "1;", config=LATER) as service, person(server, service.id) as owner:
        job = queued(owner.ask("POST", service.path))

        for path in ("/api/v2/system/job", "/api/v2/system/job/"):
            assert owner.ask("GET", path).status == 403
        assert owner.ask("DELETE", f"/api/v2/system/job/{job}").status == 403
        assert server.job(job)["status"] == "delayed"


def test_a_key_without_a_user_reads_the_jobs_of_its_app_and_no_others(server: Server) -> None:
    with (
        script_service(server, "v8js", "1;", config=LATER) as service,
        person(server, service.id) as owner,
        person(server, service.id) as other,
    ):
        mine = {"X-DreamFactory-API-Key": owner.key}
        of_app = queued(server.call("POST", service.path, headers=mine))
        of_user = queued(owner.ask("POST", service.path))

        assert server.call("GET", f"/api/v2/system/job/{of_app}", headers=mine).status == 200
        assert server.call("GET", f"/api/v2/system/job/{of_user}", headers=mine).status == 404
        theirs = {"X-DreamFactory-API-Key": other.key}
        assert server.call("GET", f"/api/v2/system/job/{of_app}", headers=theirs).status == 404


def test_without_credentials_a_job_is_asked_for_in_vain(server: Server) -> None:
    with script_service(server, "v8js", "1;", config=LATER) as service:
        job = queued(server.as_admin("POST", service.path))

        for headers in ({}, {"X-DreamFactory-API-Key": "nobody's"}):
            answer = server.call("GET", f"/api/v2/system/job/{job}", headers=headers)
            assert answer.status == 400
            assert job not in answer.json["error"]["message"]


# -- while it waits


@pytest.mark.parametrize("language", SOME)
def test_without_a_worker_start_and_job_say_that_nobody_serves_the_queue(idle: Server, language: str) -> None:
    with script_service(idle, language, "", config={"queue": "unserved"}) as service:
        job = idle.job(queued(idle.as_admin("POST", service.path)))

    assert "worker: none (REVERIE_WORKERS=0)" in idle.output().splitlines()
    assert job["status"] == "waiting"
    assert job["note"] == "No worker serves the queue 'unserved' of the connection 'database'."


def test_with_a_worker_a_waiting_job_has_nothing_to_note(server: Server) -> None:
    with script_service(server, "v8js", "1;", config={**LATER, "queue": "served"}) as service:
        job = server.job(queued(server.as_admin("POST", service.path)))

    assert "worker: serves every queue" in server.output().splitlines()
    assert job["status"] == "delayed"
    assert job["note"] is None
