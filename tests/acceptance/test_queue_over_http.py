"""Jobs, queues, workers and failures over HTTP, as an operator and as a user meet them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.job_scenes import person, queued, script_service, service_id, set_script, unique
from tests.acceptance.server import Server, running, wait_for

JOB = "/api/v2/system/job"
LATER = {"delay": 300}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tries a job once, so that a failure is final at once."""
    with running(tmp_path_factory.mktemp("reverie") / "once", REVERIE_QUEUE_TRIES="1") as started:
        yield started


# -- an operator


def test_a_failure_is_found_mended_retried_and_gone(once: Server) -> None:
    with script_service(once, "v8js", "throw new Error('out of stock');") as service:
        job = queued(once.as_admin("POST", service.path, {"qty": 1}))
        once.wait_for_job(job, "failed")
        [failed] = once.as_admin("GET", f"/api/v2/system/failed_job?filter=uuid='{job}'").json["resource"]
        assert failed["payload"]["displayName"] == f"service:{service.name}"
        assert failed["exception"].startswith("Error: out of stock")
        assert [
            one["id"] for one in once.as_admin("GET", f"{JOB}?filter=service='{service.name}'").json["resource"]
        ] == [job]

        set_script(once, service, "return {mended: true};")
        assert once.as_admin("PATCH", f"{JOB}/{job}", {"action": "retry"}).json == {"id": job}
        once.wait_for_job(job)
        assert once.as_admin("GET", f"{JOB}/{job}/result").json == {"mended": True}
        assert once.as_admin("GET", f"/api/v2/system/failed_job/{job}").status == 404

        assert once.as_admin("DELETE", f"{JOB}/{job}").json == {"id": job}
        assert once.as_admin("GET", f"{JOB}/{job}").status == 404


def test_a_delayed_job_is_cancelled_and_never_runs(once: Server) -> None:
    with script_service(once, "v8js", "1;", config=LATER) as service:
        job = queued(once.as_admin("POST", service.path))
        refused = once.as_admin("DELETE", f"{JOB}/{job}")
        assert (refused.status, "cancel it first" in refused.json["error"]["message"]) == (409, True)

        assert once.as_admin("PATCH", f"{JOB}/{job}", {"action": "cancel"}).status == 200
        assert once.job(job)["status"] == "cancelled"
        assert once.as_admin("PATCH", f"{JOB}/{job}", {"action": "cancel"}).status == 409


def test_a_running_job_is_stopped_by_cancel(once: Server) -> None:
    with script_service(once, "v8js", "while (true) {}") as service:
        job = queued(once.as_admin("POST", service.path))
        once.wait_for_job(job, "running")

        assert once.as_admin("PATCH", f"{JOB}/{job}", {"action": "cancel"}).status == 200
        assert once.job(job)["status"] == "cancelled"
        with script_service(once, "v8js", "1;") as other:
            once.wait_for_job(queued(once.as_admin("POST", other.path)))


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(once: Server) -> None:
    queue = unique("slow")
    place = f"/api/v2/system/queue/database:{queue}"
    with script_service(once, "v8js", "1;", config={"queue": queue}) as service:
        assert once.as_admin("PATCH", place, {"paused": True}).json["paused"] is True
        job = queued(once.as_admin("POST", service.path))
        with script_service(once, "v8js", "1;") as other:
            once.wait_for_job(queued(once.as_admin("POST", other.path)))
        found = once.as_admin("GET", place).json
        assert (found["waiting"], found["running"], found["paused"]) == (1, 0, True)

        once.as_admin("PATCH", place, {"paused": False})
        once.wait_for_job(job)
        found = once.as_admin("GET", place).json
        assert (found["waiting"], found["done"], found["paused"]) == (0, 1, False)
        assert found["ended_per_second"] > 0


def test_the_worker_of_the_server_is_listed_alive(once: Server) -> None:
    def workers() -> list[dict[str, object]]:
        found: list[dict[str, object]] = once.as_admin("GET", "/api/v2/system/worker").json["resource"]
        return found

    wait_for(lambda: len(workers()) == 1, 20)
    [worker] = workers()
    assert worker["alive"] is True
    assert worker["queues"] is None
    assert once.as_admin("GET", f"/api/v2/system/worker/{worker['name']}").json["name"] == worker["name"]


def test_the_resources_of_the_queue_are_listed_with_their_events_and_access(once: Server) -> None:
    names = {one["name"] for one in once.as_admin("GET", "/api/v2/system").json["resource"]}
    assert {"job", "queue", "worker", "failed_job"} <= names

    access = once.as_admin("GET", "/api/v2/system?as_access_list=true").json["resource"]
    assert {"queue/", "queue/*", "worker/*", "failed_job/*", "job/*"} <= set(access)
    events = once.as_admin("GET", "/api/v2/system/event?service=system&as_list=true").json["resource"]
    assert {"system.job.{id}.patch", "system.job.delete", "system.queue.{name}.patch", "system.worker.get"} <= set(
        events
    )
    assert "system.job.post" not in events
    assert "system.worker.delete" not in events


# -- a user


def test_a_role_that_may_use_jobs_reaches_its_users_own_and_no_others(once: Server) -> None:
    system = service_id(once, "system")
    with (
        script_service(once, "v8js", "1;", config=LATER) as service,
        person(once, service.id, system) as owner,
        person(once, service.id, system) as other,
    ):
        mine, theirs = (queued(someone.ask("POST", service.path)) for someone in (owner, other))

        assert [one["id"] for one in owner.ask("GET", JOB).json["resource"]] == [mine]
        assert owner.ask("GET", f"{JOB}?count_only=true").json == 1
        assert owner.ask("GET", f"{JOB}?ids={mine},{theirs}").status == 400
        assert owner.ask("PATCH", f"{JOB}/{theirs}", {"action": "cancel"}).status == 404
        assert owner.ask("PATCH", JOB, {"action": "cancel"}).status == 400, "it names no job"
        assert owner.ask("PATCH", f"{JOB}/{mine}", {"action": "cancel"}).status == 200
        assert owner.ask("DELETE", f"{JOB}?force=true").json == {"resource": [{"id": mine}]}
        assert once.job(theirs)["status"] == "delayed"
        for resource in ("queue", "worker", "failed_job"):
            assert owner.ask("GET", f"/api/v2/system/{resource}").status == 403


def test_a_role_without_access_to_jobs_reads_its_own_by_id_and_changes_none(once: Server) -> None:
    with script_service(once, "v8js", "1;", config=LATER) as service, person(once, service.id) as owner:
        mine = queued(owner.ask("POST", service.path))

        assert owner.ask("GET", f"{JOB}/{mine}").status == 200
        assert owner.ask("GET", f"{JOB}/{mine}/result").status == 404
        assert owner.ask("GET", f"{JOB}/{mine}/payload").status == 403
        for method, path in (("PATCH", f"{JOB}/{mine}"), ("DELETE", f"{JOB}/{mine}"), ("PATCH", JOB), ("GET", JOB)):
            assert owner.ask(method, path, {"action": "cancel"}).status == 403, (method, path)
        assert once.job(mine)["status"] == "delayed"
