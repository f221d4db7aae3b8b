"""``system/queue``, ``system/worker`` and ``system/failed_job``: what operators look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reverie.jobs.ledger import WorkerRecord
from reverie.jobs.queue import Draft
from reverie.jobs.settle import finished
from reverie.model import JSON, Response
from reverie.services.system.fields import moment
from tests.integration.system.conftest import at, message
from tests.integration.system.queue_stage import Stage, staged, user

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def by_name(response: Response) -> dict[str, Any]:
    return {entry["name"]: entry for entry in at(response, "resource")}


@pytest.mark.parametrize("resource", ["queue", "worker", "failed_job"])
async def test_only_administrators_look_at_queues_workers_and_failures(stage: Stage, resource: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        assert (await stage.ask(method, resource, caller=user(5))).status == 403


# -- queues


async def test_a_queue_tells_its_depth_its_oldest_job_and_its_speed(stage: Stage) -> None:
    for _ in range(3):
        await stage.done()
    await stage.failed()
    oldest = await stage.push()
    await stage.push()
    await stage.push(delay=60)
    stage.clock.move(5)

    found = at(await stage.ask("GET", "queue/database:default"))

    assert {name: found[name] for name in ("waiting", "delayed", "running", "done", "failed", "cancelled")} == {
        "waiting": 2, "delayed": 1, "running": 0, "done": 3, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert found["oldest_due_at"] == moment(oldest.due_at)
    assert found["oldest_waits"] == 7.0
    assert found["ended_per_second"] == round(4 / 60, 3)
    assert found["failed_per_second"] == round(1 / 60, 3)
    assert found["expected_wait"] == 0.002, "two jobs are ahead, and one took no time that could be measured"


async def test_every_connection_shows_the_queue_it_uses_by_itself_and_every_other_that_has_a_job(stage: Stage) -> None:
    await stage.push(queue="slow_queue")

    listed = by_name(await stage.ask("GET", "queue"))

    assert list(listed) == ["database:default", "database:slow_queue", "other:its_own"]
    assert listed["database:slow_queue"]["waiting"] == 1
    assert listed["other:its_own"]["oldest_due_at"] is None


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_a_queue_is_paused_and_resumed(stage: Stage, method: str) -> None:
    job = await stage.push()

    paused = await stage.ask(method, "queue/database:default", {"paused": True})
    assert paused.content == {"name": "database:default", "paused": True}
    assert await stage.queue.claim(worker="w1") == []
    assert at(await stage.ask("GET", "queue/database:default"), "paused") is True

    await stage.ask(method, "queue", {"resource": [{"name": "database:default", "paused": False}]})
    assert [one.id for one in await stage.queue.claim(worker="w1")] == [job.id]
    assert at(await stage.ask("GET", "queue/database:default"), "paused_at") is None


async def test_a_queue_whose_name_has_blanks_slashes_and_colons_is_reached(stage: Stage) -> None:
    await stage.ask("PATCH", "queue/database:a b/c:d", {"paused": True})

    assert by_name(await stage.ask("GET", "queue"))["database:a b/c:d"]["paused"] is True


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("queue/database:default", {"paused": "perhaps"}, 400, '{"paused": true}'),
        ("queue/database:default", {"depth": 3}, 400, '{"paused": true}'),
        ("queue/default", {"paused": True}, 400, "connection:queue"),
        ("queue/nope:default", {"paused": True}, 404, "there are database, sync, null, other"),
    ],
)
async def test_what_cannot_be_done_to_a_queue_is_told(
    stage: Stage, path: str, body: JSON, status: int, reason: str
) -> None:
    answer = await stage.ask("PATCH", path, body)

    assert answer.status == status
    assert reason in message(answer)


async def test_a_queue_that_jobs_leave_faster_than_the_ledger_looks_back_is_measured_over_less(stage: Stage) -> None:
    draft = Draft(kind="script.service", script="service:7", name="service:echo", payload=b"")
    for ended in (9_500, 500):
        await stage.queue.ledger.create_many([stage.queue.make(draft) for _ in range(ended)])
        taken = await stage.queue.claim(worker="w1", limit=ended)
        await stage.queue.ledger.settle_many([finished(job) for job in taken])
        stage.clock.move(3)

    found = at(await stage.ask("GET", "queue/database:default"))
    assert (found["measured_over"], found["ended_per_second"]) == (6.0, round(10_000 / 6, 3))

    stage.clock.move(10)
    found = at(await stage.ask("GET", "queue/database:default"))
    assert (found["measured_over"], found["ended_per_second"]) == (16.0, 10_000 / 16)


# -- workers


async def test_workers_tell_what_they_serve_what_they_run_and_whether_they_live(stage: Stage) -> None:
    await stage.queue.ledger.register(WorkerRecord(name="w1", host="dock", process=11, queues=("high", "low")))
    stage.clock.move(90)
    await stage.queue.ledger.register(WorkerRecord(name="w2", host="pier", process=12, connection="other"))
    await stage.push()
    await stage.take()

    listed = by_name(await stage.ask("GET", "worker"))

    assert listed["w1"] | {"started_at": 0, "last_seen_at": 0} == {
        "name": "w1", "host": "dock", "process": 11, "connection": None, "queues": ["high", "low"], "running": 1,
        "started_at": 0, "last_seen_at": 0, "alive": False,
    }  # fmt: skip
    assert listed["w2"]["alive"] is True
    assert listed["w2"]["connection"] == "other"
    assert at(await stage.ask("GET", "worker/w2", fields="name,host")) == {"name": "w2", "host": "pier"}
    assert (await stage.ask("GET", "worker/w3")).status == 404
    assert (await stage.ask("DELETE", "worker/w2")).status == 400
    assert at(await stage.ask("GET", "queue/other:its_own"), "workers") == 1


# -- failures


async def test_failures_are_listed_newest_first_in_the_shape_that_operators_know(stage: Stage) -> None:
    first = await stage.failed(delay=None, tries=3)
    second = await stage.failed(queue="slow_queue")
    await stage.done()

    answer = await stage.ask("GET", "failed_job")

    assert [entry["id"] for entry in at(answer, "resource")] == [second.id, first.id]
    ended = (await stage.queue.ledger.get(first.id)).finished_at
    assert at(await stage.ask("GET", f"failed_job/{first.id}")) == {
        "id": first.id,
        "uuid": first.id,
        "connection": "database",
        "queue": "default",
        "payload": {
            "uuid": first.id, "displayName": "service:echo", "job": "script.service", "maxTries": 3, "timeout": None,
            "backoff": None, "delay": None, "attempts": 1, "createdAt": int(first.created_at),
            "data": {"script": "service:7", "hops": 1},
        },
        "exception": "Error: out of stock\n  at line 2: throw 'x'",
        "failed_at": moment(ended),
    }  # fmt: skip


async def test_failures_are_found_by_filter_and_counted(stage: Stage) -> None:
    job = await stage.failed(queue="slow_queue")
    await stage.failed()

    found = await stage.ask(
        "GET", "failed_job", filter="queue='slow_queue' and exception contains 'stock'", include_count="true"
    )

    assert [entry["uuid"] for entry in at(found, "resource")] == [job.id]
    assert at(found, "meta", "count") == 1
    assert (await stage.ask("GET", "failed_job", filter="status='failed'")).status == 400


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"action": "retry"}), ("POST", None), ("POST", {})])
async def test_a_failure_is_retried_by_patch_and_by_post(stage: Stage, method: str, body: JSON) -> None:
    job = await stage.failed()

    answer = await stage.ask(method, f"failed_job/{job.id}", body)

    assert answer.content == {"id": job.id}
    assert await stage.status(job) == "waiting"
    assert (await stage.ask("GET", f"failed_job/{job.id}")).status == 404


async def test_all_failures_of_a_filter_are_retried_and_the_rest_forgotten(stage: Stage) -> None:
    slow, other = await stage.failed(queue="slow_queue"), await stage.failed()
    done = await stage.done()

    await stage.ask("POST", "failed_job", filter="queue='slow_queue'")
    assert [await stage.status(job) for job in (slow, other)] == ["waiting", "failed"]
    assert (await stage.ask("DELETE", f"failed_job/{done.id}")).status == 404, "it did not fail"
    assert (await stage.ask("DELETE", "failed_job", force="true")).content == {"resource": [{"id": other.id}]}
    assert await stage.status(done) == "done"
