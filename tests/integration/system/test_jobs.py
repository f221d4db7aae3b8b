"""``system/job``: found, changed, forgotten, by whom they belong to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.jobs.queue import Draft
from reverie.jobs.results import seal_result
from reverie.jobs.settle import finished
from reverie.model import JSON, Caller, Job, Response
from reverie.services.system.fields import moment
from tests.integration.system.conftest import at, inner, message
from tests.integration.system.queue_stage import Stage, staged, user

pytestmark = pytest.mark.anyio

DRAFT = Draft(kind="script.service", script="service:7", name="service:echo", payload=b"")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def ids(response: Response) -> list[str]:
    assert response.status == 200, response.content
    return [entry["id"] for entry in at(response, "resource")]


# -- the list


async def test_jobs_are_listed_newest_first_and_without_what_they_hold(stage: Stage) -> None:
    jobs = [await stage.push() for _ in range(3)]

    answer = await stage.ask("GET", "job")

    assert ids(answer) == [job.id for job in reversed(jobs)]
    assert "request" not in at(answer, "resource", 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("service='orders'", "orders"),
        ("(service='orders') and (verb='POST')", "orders"),
        ("verb='DELETE'", "stock"),
        ("role_id=4", "stock"),
        ("user_id in (8, 9)", "stock"),
        ("app_id is null", "orders"),
        ("script starts with 'db.'", "stock"),
        ("priority > 5", "stock"),
        ("attempts >= 1", None),
        ("queue='slow' or connection='other'", "stock"),
        ("not (service='orders')", "stock"),
        ("trace contains 'b7ad'", "orders"),
    ],
)
async def test_a_filter_finds_jobs_by_what_call_they_were(stage: Stage, text: str, found: str | None) -> None:
    made = {
        "orders": await stage.push(verb="POST", service="orders", user_id=5, trace="00-0af7-b7ad-01"),
        "stock": await stage.push(
            verb="DELETE", service="stock", user_id=8, role_id=4, app_id=2, priority=9, queue="slow", script="db.x.post"
        ),
    }

    assert ids(await stage.ask("GET", "job", filter=text)) == ([made[found].id] if found else [])


@pytest.mark.parametrize("status", ["waiting", "delayed", "running", "done", "failed", "cancelled"])
async def test_each_status_is_found_by_filter_and_by_parameter(stage: Stage, status: str) -> None:
    made = {"done": await stage.done(), "failed": await stage.failed()}
    made["running"] = await stage.push()
    await stage.take()
    made |= {"waiting": await stage.push(), "delayed": await stage.push(delay=60), "cancelled": await stage.push()}
    await stage.queue.cancel([made["cancelled"].id])

    assert ids(await stage.ask("GET", "job", filter=f"status='{status}'")) == [made[status].id]
    assert ids(await stage.ask("GET", "job", status=status)) == [made[status].id]
    assert ids(await stage.ask("GET", "job", filter=f"status in ('{status}')")) == [made[status].id]
    assert made[status].id not in ids(await stage.ask("GET", "job", filter=f"status != '{status}'"))
    shown = (await stage.ask("GET", f"job/{made[status].id}")).content
    assert isinstance(shown, dict)
    assert shown["status"] == status


async def test_times_are_compared_as_iso_text_and_as_unix_seconds(stage: Stage) -> None:
    early, late = await stage.push(), await stage.push()

    for text in (f"created_at > '{moment(early.created_at)}'", f"created_at > {early.created_at}"):
        assert ids(await stage.ask("GET", "job", filter=text)) == [late.id]
    wrong = await stage.ask("GET", "job", filter="created_at > 'yesterday'")
    assert wrong.status == 400
    assert "2024-05-02T10:00:00Z" in message(wrong)


async def test_order_limit_offset_fields_ids_and_counts_are_those_of_other_resources(stage: Stage) -> None:
    jobs = [await stage.push(priority=number) for number in (2, 3, 1)]
    by_priority = [jobs[1].id, jobs[0].id, jobs[2].id]

    assert ids(await stage.ask("GET", "job", order="priority desc")) == by_priority
    assert ids(await stage.ask("GET", "job", order="priority desc", limit="1", offset="1")) == by_priority[1:2]
    counted = await stage.ask("GET", "job", limit="1", include_count="true", fields="id,priority")
    assert counted.content == {"resource": [{"id": jobs[2].id, "priority": 1}], "meta": {"count": 3}}
    assert (await stage.ask("GET", "job", count_only="true")).content == 3
    assert sorted(ids(await stage.ask("GET", "job", ids=f"{jobs[0].id},{jobs[2].id}"))) == [jobs[0].id, jobs[2].id]
    assert (await stage.ask("GET", "job", as_list="true")).content == {"resource": [job.id for job in reversed(jobs)]}
    lost = await stage.ask("GET", "job", ids=f"{jobs[0].id},nobody")
    assert lost.status == 400
    assert inner(lost, 1)["message"] == "There is no job 'nobody'."


@pytest.mark.parametrize(
    "parameters",
    [
        {"filter": "payload='x'"},
        {"filter": "status='faild'"},
        {"filter": "created_at like '2024%'"},
        {"order": "secret"},
        {"fields": "payload"},
        {"status": "gone"},
        {"related": "user"},
    ],
)
async def test_what_cannot_be_asked_of_jobs_is_told(stage: Stage, parameters: dict[str, JSON]) -> None:
    assert (await stage.ask("GET", "job", query=parameters)).status == 400


# -- who may see


async def test_a_user_sees_finds_and_changes_his_own_jobs_only(stage: Stage) -> None:
    mine, theirs = await stage.push(user_id=5), await stage.push(user_id=6)
    me = user(5)

    assert ids(await stage.ask("GET", "job", caller=me)) == [mine.id]
    assert (await stage.ask("GET", "job", caller=me, count_only="true")).content == 1
    assert ids(await stage.ask("GET", "job", caller=me, filter=f"id='{theirs.id}'")) == []
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/result")):
        answer = await stage.ask(method, f"job/{theirs.id}{path}", {"action": "cancel"}, caller=me)
        assert answer.status == 404, (method, path)
    assert (await stage.ask("PATCH", "job", {"action": "cancel"}, caller=me, filter="id is not null")).content == {
        "resource": [{"id": mine.id}]
    }
    assert (await stage.status(mine), await stage.status(theirs)) == ("cancelled", "waiting")


async def test_a_key_without_a_user_sees_the_jobs_of_its_app_that_have_no_user(stage: Stage) -> None:
    of_app = await stage.push(app_id=3)
    await stage.push(app_id=3, user_id=5)
    await stage.push(app_id=4)

    assert ids(await stage.ask("GET", "job", caller=Caller(app_id=3))) == [of_app.id]
    assert ids(await stage.ask("GET", "job", caller=Caller())) == []


# -- changes


async def test_a_failed_job_is_retried_and_a_waiting_one_cancelled_and_moved_up(stage: Stage) -> None:
    failed, waiting = await stage.failed(), await stage.push()

    retried = await stage.ask(
        "PATCH", f"job/{failed.id}", {"action": "retry", "priority": 7}, fields="id,status,priority"
    )
    moved = await stage.ask("PATCH", f"job/{waiting.id}", {"priority": -3})
    assert retried.content == {"id": failed.id, "status": "waiting", "priority": 7}
    assert moved.content == {"id": waiting.id}
    assert (await stage.queue.ledger.get(waiting.id)).priority == -3

    assert (await stage.ask("PATCH", f"job/{waiting.id}", {"action": "cancel"})).status == 200
    assert await stage.status(waiting) == "cancelled"


async def _running(stage: Stage) -> Job:
    await stage.push()
    return await stage.take()


async def test_what_a_job_cannot_become_is_409_and_says_why(stage: Stage) -> None:
    done, running = await stage.done(), await _running(stage)
    waiting = await stage.push()
    refused: list[tuple[str, Job, JSON, str]] = [
        ("PATCH", running, {"action": "retry"}, "is running"),
        ("PATCH", done, {"action": "retry"}, "is done"),
        ("PATCH", waiting, {"action": "retry"}, "is waiting"),
        ("PATCH", done, {"action": "cancel"}, "has ended already"),
        ("PATCH", running, {"priority": 2}, "only one that waits"),
        ("DELETE", waiting, None, "cancel it first"),
        ("DELETE", running, None, "cancel it first"),
    ]

    for method, job, body, reason in refused:
        answer = await stage.ask(method, f"job/{job.id}", body)
        assert answer.status == 409, (method, body)
        assert reason in message(answer)
    assert [await stage.status(job) for job in (done, running, waiting)] == ["done", "running", "waiting"]


@pytest.mark.parametrize(
    "body",
    [{}, {"action": "explode"}, {"status": "done"}, {"priority": "high"}, {"priority": 2**31}, {"priority": True},
     {"action": "cancel", "priority": 1}],
)  # fmt: skip
async def test_a_change_that_makes_no_sense_is_400(stage: Stage, body: JSON) -> None:
    job = await stage.push()

    assert (await stage.ask("PATCH", f"job/{job.id}", body)).status == 400
    assert await stage.status(job) == "waiting"


async def test_many_are_changed_by_ids_by_filter_and_by_a_list(stage: Stage) -> None:
    first, second, third = [await stage.failed(service=name) for name in ("a", "a", "b")]

    by_filter = await stage.ask("PATCH", "job", {"action": "retry"}, filter="service='a' and status='failed'")
    assert by_filter.content == {"resource": [{"id": first.id}, {"id": second.id}]}
    by_list = await stage.ask(
        "PATCH", "job", {"resource": [{"id": first.id, "priority": 4}, {"id": third.id, "action": "retry"}]}
    )
    assert by_list.content == {"resource": [{"id": first.id}, {"id": third.id}]}
    by_ids = await stage.ask("PATCH", "job", {"action": "cancel"}, ids=f"{second.id},{third.id}")
    assert by_ids.content == {"resource": [{"id": second.id}, {"id": third.id}]}
    assert (await stage.queue.ledger.get(first.id)).priority == 4
    assert [await stage.status(job) for job in (first, second, third)] == ["waiting", "cancelled", "cancelled"]


async def test_many_are_changed_and_forgotten_by_the_parameters_with_a_name_of_their_own(stage: Stage) -> None:
    slow, other = await stage.failed(queue="slow"), await stage.failed()

    retried = await stage.ask("PATCH", "job", {"action": "retry"}, status="failed", queue="slow")
    assert retried.content == {"resource": [{"id": slow.id}]}
    assert [await stage.status(job) for job in (slow, other)] == ["waiting", "failed"]
    listed: JSON = {"resource": [{"id": slow.id, "priority": 3}]}
    assert (await stage.ask("PATCH", "job", listed, queue="slow")).content == {"resource": [{"id": slow.id}]}
    assert (await stage.ask("PATCH", "job", {"action": "retry"})).status == 400, "it names no job"
    assert (await stage.ask("DELETE", "job", status="failed")).content == {"resource": [{"id": other.id}]}
    assert (await stage.ask("DELETE", "job", status="waiting")).status == 400
    assert await stage.status(slow) == "waiting"


async def test_a_batch_stops_at_what_cannot_be_unless_it_shall_go_on(stage: Stage) -> None:
    good, bad, last = await stage.failed(), await stage.done(), await stage.failed()
    named = f"{good.id},{bad.id},{last.id}"

    stopped = await stage.ask("PATCH", "job", {"action": "retry"}, ids=named)
    assert stopped.status == 400
    assert at(stopped, "error", "code") == 1000
    assert at(stopped, "error", "context", "error") == [1]
    assert inner(stopped, 0) == {"id": good.id}
    assert inner(stopped, 1)["status_code"] == 409
    assert [await stage.status(job) for job in (good, last)] == ["waiting", "failed"]

    await stage.ask("PATCH", "job", {"action": "retry"}, ids=f"{bad.id},{last.id}", query={"continue": "true"})
    assert await stage.status(last) == "waiting"
    undo = await stage.ask("PATCH", "job", {"action": "cancel"}, ids=good.id, rollback="true")
    assert (undo.status, await stage.status(good)) == (400, "waiting")


async def test_two_thousand_jobs_are_changed_in_one_call(stage: Stage) -> None:
    jobs = [stage.queue.make(DRAFT) for _ in range(2000)]
    await stage.queue.ledger.create_many(jobs)

    answer = await stage.ask("PATCH", "job", {"action": "cancel"}, filter="status='waiting'", fields="id,status")

    assert len(at(answer, "resource")) == 2000
    assert {entry["status"] for entry in at(answer, "resource")} == {"cancelled"}
    assert (await stage.ask("GET", "job", status="cancelled", count_only="true")).content == 2000


async def test_ended_jobs_are_forgotten_alone_by_filter_and_all(stage: Stage) -> None:
    done, failed, waiting = await stage.done(), await stage.failed(), await stage.push()

    gone = await stage.ask("DELETE", f"job/{done.id}", fields="id,status")
    assert gone.content == {"id": done.id, "status": "done"}
    assert (await stage.ask("GET", f"job/{done.id}")).status == 404
    assert (await stage.ask("DELETE", "job")).status == 400
    assert (await stage.ask("DELETE", "job", force="true")).content == {"resource": [{"id": failed.id}]}
    assert ids(await stage.ask("GET", "job")) == [waiting.id]


async def test_verbs_that_jobs_do_not_have_are_refused(stage: Stage) -> None:
    for method in ("POST", "PUT"):
        assert (await stage.ask(method, "job", {"name": "x"})).status == 400


# -- the answer of a run


async def test_the_result_is_the_answer_with_its_status_and_headers(stage: Stage) -> None:
    for response in (
        Response(status=201, content={"id": 7, "big": 2**70, "text": "ä\ud800"}, headers={"X-Made": "yes"}),
        Response(content=b"\x00\xff", content_type="image/png"),
        Response(content="a,b\n", content_type="text/csv"),
        Response(status=204),
        Response(content=[{"n": "x" * 200_000}]),
    ):
        job = await stage.push()
        held = await stage.take()
        sealed = seal_result(response, stage.store.sealer, job_id=job.id)
        await stage.queue.settle(finished(held, result=sealed))
        assert await stage.ask("GET", f"job/{job.id}/result") == response
        assert at(await stage.ask("GET", f"job/{job.id}"), "result") is True


async def test_without_a_result_the_reason_is_told(stage: Stage) -> None:
    done, failed, waiting = await stage.done(), await stage.failed(), await stage.push()

    for job, reason in ((done, "no answer was kept"), (failed, "failed"), (waiting, "it is waiting")):
        answer = await stage.ask("GET", f"job/{job.id}/result")
        assert answer.status == 404
        assert reason in message(answer)
    assert at(await stage.ask("GET", f"job/{done.id}"), "result") is False


async def test_an_answer_that_was_moved_to_another_job_is_not_told(stage: Stage) -> None:
    job = await stage.done(seal_result(Response(content="theirs"), stage.store.sealer, job_id="another"))

    answer = await stage.ask("GET", f"job/{job.id}/result")

    assert answer.status == 404
    assert "cannot be opened" in message(answer)


async def test_an_answer_larger_than_a_mebibyte_is_not_kept_and_that_is_told(stage: Stage) -> None:
    job = await stage.push()
    held = await stage.take()
    sealed = seal_result(Response(content="x" * 1_100_000), stage.store.sealer, job_id=job.id)
    await stage.queue.settle(finished(held, result=sealed))

    answer = await stage.ask("GET", f"job/{job.id}/result")
    assert answer.status == 404
    assert "1048576" in message(answer)
    assert len(sealed) < 200


async def test_one_job_tells_its_call(stage: Stage) -> None:
    job = await stage.push(verb="POST", service="orders", role_id=4, trace="00-ab-cd-01")

    shown = (await stage.ask("GET", f"job/{job.id}")).content
    assert isinstance(shown, dict)
    assert shown["verb"] == "POST"
    assert shown["service"] == "orders"
    assert shown["role_id"] == 4
    assert shown["trace"] == "00-ab-cd-01"
    assert shown["request"] == {"headers": None, "parameters": None, "payload": {"qty": 3}}


async def test_the_newest_of_very_many_jobs_are_listed_within_300_ms(stage: Stage) -> None:
    """30,000 here, as the suite runs everywhere; a million was measured by hand: see docs/reference/jobs.md."""
    for _ in range(30):
        await stage.queue.ledger.create_many([stage.queue.make(DRAFT) for _ in range(1000)])

    began = time.monotonic()
    asked: list[dict[str, JSON]] = [{}, {"status": "waiting"}, {"filter": "service='orders'"}, {"status": "running"}]
    for parameters in asked:
        assert (await stage.ask("GET", "job", query={**parameters, "limit": "100"})).status == 200
    assert time.monotonic() - began < 4 * 0.3
