"""Who holds a job, and how he loses it: what every pair of ledger and transport must do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reverie.errors import LeaseLost, QueueUnavailable
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished, lease_of, released, retried
from reverie.model import Job, JobStatus
from tests.contract.conftest import Opener, names, take, take_one
from tests.unit.jobs.scene import MovingClock, draft, push

VERBS: dict[str, Callable[[Queue, Job], Awaitable[None]]] = {
    "start": lambda queue, job: queue.start(job),
    "extend": lambda queue, job: queue.extend(job, worker="stopped"),
    "finish": lambda queue, job: queue.finish(job),
    "release": lambda queue, job: queue.release(job),
    "fail": lambda queue, job: queue.fail(job, None),
    "skip": lambda queue, job: queue.skip(job, "gone"),
}

pytestmark = pytest.mark.anyio


async def test_a_finished_job_is_done_and_has_one_attempt(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    job = await take_one(queue)
    await queue.start(job)
    clock.move(2)

    await queue.finish(job, output="hello")

    done = await queue.ledger.get(job.id)
    [attempt] = await queue.ledger.attempts(job.id)
    assert (done.status, done.attempts, done.crashes, done.finished_at) == (JobStatus.DONE, 1, 0, clock.now())
    assert (attempt.number, attempt.outcome, attempt.started_at, attempt.ended_at) == (
        1,
        "done",
        clock.now() - 2,
        clock.now(),
    )


async def test_a_settlement_tells_of_a_beginning_that_nobody_noted(queue: Queue, clock: MovingClock) -> None:
    for _ in range(2):
        await push(queue, draft())
    noted, unnoted = await take(queue)
    await queue.start(noted)
    clock.move(3)

    await queue.ledger.settle_many([replace(finished(job), ran=1.0) for job in (noted, unnoted)])

    [first], [second] = [await queue.ledger.attempts(job.id) for job in (noted, unnoted)]
    assert (first.started_at, second.started_at) == (clock.now() - 3, clock.now() - 1)
    [rate] = await queue.ledger.rates(since=0)
    assert (rate.waited, rate.ran) == (1.0, 2.0)


async def test_a_run_that_had_begun_is_kept_when_it_is_given_back(queue: Queue) -> None:
    for _ in range(2):
        await push(queue, draft())
    begun, untouched = await take(queue)

    await queue.ledger.settle_many([replace(released(begun), ran=0.5), released(untouched)])

    assert [attempt.outcome for attempt in await queue.ledger.attempts(begun.id)] == ["released"]
    assert await queue.ledger.attempts(untouched.id) == []


@pytest.mark.parametrize("verb", VERBS)
async def test_a_late_worker_can_no_longer_do_anything_to_its_job(queue: Queue, clock: MovingClock, verb: str) -> None:
    """As when a worker is stopped for longer than its lease, and comes back."""
    await push(queue, draft())
    stopped = await take_one(queue, "stopped")
    await queue.start(stopped)
    clock.move(31)
    await queue.take_back(max_crashes=3)
    taken = await take_one(queue, "other")

    with pytest.raises(LeaseLost):
        await VERBS[verb](queue, stopped)
    await queue.finish(taken)

    done = await queue.ledger.get(stopped.id)
    assert (done.status, done.attempts, done.crashes, done.epoch) == (JobStatus.DONE, 1, 1, 2)
    assert [attempt.outcome for attempt in await queue.ledger.attempts(done.id)] == ["crashed", "done"]


async def test_nothing_can_be_settled_twice(queue: Queue) -> None:
    await push(queue, draft())
    job = await take_one(queue)
    await queue.finish(job)

    with pytest.raises(LeaseLost):
        await queue.fail(job, None)

    assert (await queue.ledger.get(job.id)).status is JobStatus.DONE


async def test_an_extended_lease_holds(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    job = await take_one(queue)
    for _ in range(5):
        clock.move(20)
        await queue.extend(job, worker="a")
        await queue.take_back(max_crashes=3)

    await queue.finish(job)

    assert (await queue.ledger.get(job.id)).crashes == 0


async def test_extending_tells_which_of_many_are_lost(queue: Queue) -> None:
    for _ in range(3):
        await push(queue, draft())
    jobs = await take(queue)
    await queue.cancel([jobs[1].id])

    lost = await queue.ledger.extend_many("a", [lease_of(job) for job in jobs], lease=30)

    assert [lease[0] for lease in lost] == [jobs[1].id]


async def test_a_lease_lost_before_the_script_began_costs_nothing(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    await take_one(queue)
    clock.move(31)

    swept = await queue.take_back(max_crashes=1)

    again = await take_one(queue, "b")
    assert (swept.released, swept.crashed, swept.failed) == (1, 0, 0)
    assert (again.epoch, again.attempts, again.crashes) == (2, 0, 0)
    assert await queue.ledger.attempts(again.id) == []


async def test_a_job_lost_three_times_with_its_worker_has_failed_and_says_why(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    for _ in range(3):
        job = await take_one(queue)
        await queue.start(job)
        clock.move(31)
        await queue.take_back(max_crashes=3)

    failed = await queue.ledger.get(job.id)
    assert (failed.status, failed.crashes, failed.attempts) == (JobStatus.FAILED, 3, 0)
    assert isinstance(failed.error, dict)
    assert "crash 3" in str(failed.error["message"])
    assert await take(queue) == []


async def test_a_jump_of_the_host_clock_ends_no_lease_of_a_living_worker(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    job = await take_one(queue)
    await queue.start(job)

    clock.drift += 3600
    first = await queue.take_back(max_crashes=3)
    clock.move(10)
    await queue.extend(job, worker="a")  # as a living worker does
    clock.move(25)
    second = await queue.take_back(max_crashes=3)

    assert (first.crashed, second.crashed) == (0, 0)
    clock.move(31)
    assert (await queue.take_back(max_crashes=3)).crashed == 1


async def test_a_buried_worker_loses_its_jobs_at_once(queue: Queue) -> None:
    await push(queue, draft())
    await queue.start(await take_one(queue))

    await queue.ledger.bury("a")

    assert (await queue.take_back(max_crashes=3)).crashed == 1


async def test_a_released_job_keeps_its_place_and_its_counters(queue: Queue) -> None:
    for name in ("first", "second"):
        await push(queue, draft(name))
    first = await take_one(queue)
    await queue.start(first)

    await queue.release(first)

    again = await take_one(queue)
    assert (again.name, again.attempts, again.crashes, again.epoch) == ("first", 0, 0, 2)


async def test_a_retried_job_goes_behind_those_that_wait(queue: Queue, clock: MovingClock) -> None:
    for name in ("first", "second"):
        await push(queue, draft(name))
        clock.move(0.01)
    first = await take_one(queue)

    await queue.settle(retried(first, {"message": "no"}, pause=0))

    jobs = await take(queue)
    assert names(jobs) == ["second", "first"]
    assert jobs[1].attempts == 1


async def test_300_attempts_do_not_overflow(queue: Queue) -> None:
    pushed = await push(queue, draft(tries=0))
    for _ in range(300):
        await queue.settle(retried(await take_one(queue), {"message": "no"}, pause=0))

    job = await queue.ledger.get(pushed.id)
    assert (job.attempts, job.epoch, job.status) == (300, 300, JobStatus.WAITING)
    assert [attempt.number for attempt in await queue.ledger.attempts(job.id)] == list(range(1, 301))


async def test_a_push_wakes_who_waits_in_another_process(
    queue: Queue, opener: Opener, tmp_path: Path, clock: MovingClock
) -> None:
    await queue.transport.join("sleeper")
    async with opener(tmp_path, clock) as other:
        waiting = asyncio.create_task(queue.transport.wait())
        await push(other, draft())

        await asyncio.wait_for(waiting, 5)

    assert len(await take(queue)) == 1


async def test_a_store_that_is_away_is_a_queue_that_is_away(opener: Opener, tmp_path: Path, clock: MovingClock) -> None:
    async with opener(tmp_path, clock) as closed:
        pass

    with pytest.raises(QueueUnavailable):
        await closed.ledger.create_many([closed.make(draft())])
