"""What a queue keeps of the calls behind its jobs: keys that make a call once, answers, rates; and orders by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from reverie.jobs.ledger import Kept
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished
from reverie.model import JobStatus
from tests.contract.conftest import names, take, take_one
from tests.unit.jobs.scene import MovingClock, draft, push

pytestmark = pytest.mark.anyio


async def test_a_key_makes_one_job_however_often_it_comes(queue: Queue) -> None:
    first, second = queue.make(draft("service:first")), queue.make(draft("service:second"))

    kept = await asyncio.gather(
        queue.ledger.create_once(first, key="k", digest="d", keep_for=60),
        queue.ledger.create_once(second, key="k", digest="other", keep_for=60),
    )

    assert sorted(kept, key=str) == [Kept(first.id, "d"), None] or sorted(kept, key=str) == [
        Kept(second.id, "other"),
        None,
    ]
    assert len(await take(queue)) == 1


async def test_a_key_is_free_again_when_its_time_is_over(queue: Queue, clock: MovingClock) -> None:
    await queue.ledger.create_once(queue.make(draft()), key="k", digest="d", keep_for=60)

    clock.move(61)

    assert await queue.ledger.create_once(queue.make(draft()), key="k", digest="d", keep_for=60) is None
    assert len(await take(queue)) == 2


async def test_the_answer_of_a_run_is_kept_until_its_job_is_forgotten(queue: Queue) -> None:
    await push(queue, draft())
    job = await take_one(queue)
    assert await queue.ledger.result(job.id) is None

    await queue.settle(finished(job, result=b"sealed answer"))

    assert await queue.ledger.result(job.id) == b"sealed answer"
    await queue.ledger.forget([job.id])
    assert await queue.ledger.result(job.id) is None


async def test_a_waiting_job_can_be_given_another_priority_and_a_running_one_cannot(queue: Queue) -> None:
    running = await push(queue, draft("service:running"))
    await take_one(queue)
    await push(queue, draft("service:low"))
    urgent = await push(queue, draft("service:urgent"))

    changed = await queue.ledger.prioritise([running.id, urgent.id], 9)

    assert [(job.id, job.priority) for job in changed] == [(urgent.id, 9)]
    assert names(await take(queue)) == ["service:urgent", "service:low"]


async def test_clearing_a_queue_deletes_what_has_not_ended_and_leaves_other_queues_alone(queue: Queue) -> None:
    done = await push(queue, draft("service:done"))
    await queue.finish(await take_one(queue))
    await push(queue, draft("service:running"))
    running = await take_one(queue)
    await push(queue, draft("service:waiting"))
    await push(queue, draft("service:delayed", delay=60))
    await push(queue, draft("service:other", queue="other"))

    assert await queue.ledger.clear("database", "default", limit=2) == 2
    assert await queue.ledger.clear("database", "default", limit=2) == 1

    assert (await queue.ledger.get(done.id)).status is JobStatus.DONE
    assert names(await take(queue)) == ["service:other"]
    assert await queue.ledger.settle_many([finished(running)]) == [(running.id, running.epoch)]


async def test_rates_tell_how_many_ended_how_long_they_waited_and_ran(queue: Queue, clock: MovingClock) -> None:
    began = clock.now()
    await push(queue, draft())
    await push(queue, draft())
    clock.move(4)
    first, second = await take(queue, 2)
    await queue.start(first)
    await queue.start(second)
    clock.move(2)
    await queue.finish(first)
    await queue.fail(second, {"type": "Error"})

    [rate] = await queue.ledger.rates(since=began)

    assert (rate.connection, rate.queue, rate.ended, rate.failed) == ("database", "default", 2, 1)
    assert (rate.waited, rate.ran) == (4.0, 2.0)
    assert await queue.ledger.rates(since=clock.now()) == []


async def test_what_a_job_says_about_its_call_comes_back(queue: Queue) -> None:

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = replace(draft(), verb="POST", service="db", user_id=3, role_id=4, app_id=5, trace=trace)

    pushed = await push(queue, told)

    [job] = await take(queue)
    for found in (job, await queue.ledger.get(pushed.id)):
        assert (found.verb, found.service, found.trace) == ("POST", "db", trace)
        assert (found.user_id, found.role_id, found.app_id) == (3, 4, 5)


async def test_several_jobs_are_looked_up_at_once_and_those_that_are_gone_are_left_out(queue: Queue) -> None:
    due = await push(queue, draft("due"))
    later = await push(queue, draft("later", delay=60))
    await push(queue, draft("another"))
    await take_one(queue)

    found = await queue.ledger.get_many([due.id, later.id, "nope"])

    assert {(job.name, job.status, job.payload) for job in found} == {
        ("due", JobStatus.RUNNING, b""),
        ("later", JobStatus.DELAYED, b""),
    }
    assert await queue.ledger.get_many([]) == []
