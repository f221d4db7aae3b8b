"""What every pair of ledger and transport must do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reverie.errors import LeaseLost, NotFound, QueueUnavailable, UnknownConnection
from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import DAY, Queue, Retention
from reverie.model import JSON, JobStatus
from tests.contract.conftest import Opener, names, take, take_one
from tests.unit.jobs.scene import MovingClock, draft, push

pytestmark = pytest.mark.anyio


# -- in


async def test_a_pushed_job_can_be_claimed_as_it_was(queue: Queue) -> None:
    pushed = await push(queue, draft("service:echo", queue="slow_queue", tries=4, payload=b"\x00\xff"))

    [job] = await take(queue)

    assert (job.id, job.name, job.queue, job.tries) == (pushed.id, "service:echo", "slow_queue", 4)
    assert (job.status, job.epoch, job.payload) == (JobStatus.RUNNING, 1, b"\x00\xff")


async def test_an_unknown_connection_is_named_when_a_job_is_pushed(queue: Queue) -> None:
    with pytest.raises(UnknownConnection, match=r"The \[nope\] queue connection has not been configured\."):
        await queue.push(draft(connection="nope"))

    assert await queue.ledger.find(JobFilter()) == []


async def test_a_null_connection_keeps_nothing(queue: Queue) -> None:
    assert await queue.push(draft(connection="null")) is None
    assert await queue.ledger.find(JobFilter()) == []


async def test_jobs_pushed_side_by_side_are_all_there(queue: Queue) -> None:
    jobs = await asyncio.gather(*(push(queue, draft(f"n{number}")) for number in range(100)))

    claimed = await take(queue, 200)

    assert {job.id for job in claimed} == {job.id for job in jobs}


@pytest.mark.parametrize("size", [1, 4096, 65_537, 8 * 1024 * 1024])
async def test_a_payload_comes_back_byte_for_byte(queue: Queue, size: int) -> None:
    payload = bytes(index % 256 for index in range(min(size, 65_537))) * (size // 65_537 or 1)
    await push(queue, draft(payload=payload))

    assert (await take_one(queue)).payload == payload


async def test_texts_of_every_unicode_plane_come_back(queue: Queue) -> None:
    planes = "".join(chr(plane << 16 | 0x41) for plane in range(17)) + "'\"\\\u0000\r\n"
    await push(queue, draft(planes, queue=planes[:100]))

    job = await take_one(queue)
    await queue.fail(job, {"type": "Error", "message": planes, "line": None, "excerpt": "", "output": ""})
    kept = await queue.ledger.get(job.id)

    assert (kept.name, kept.queue) == (planes, planes[:100])
    assert isinstance(kept.error, dict)
    assert kept.error["message"] == planes


async def test_lists_stay_lists_and_large_integers_stay_exact(queue: Queue) -> None:
    error: JSON = {"list": [], "map": {}, "one": [1], "large": 2**53 + 1, "larger": 2**63 + 1, "null": None}
    await push(queue, draft())

    await queue.fail(await take_one(queue), error)

    [job] = await queue.ledger.find(JobFilter(status=JobStatus.FAILED))
    assert job.error == error


# -- order


async def test_jobs_are_claimed_in_the_order_of_pushing(queue: Queue) -> None:
    for number in range(5):
        await push(queue, draft(str(number)))

    assert names(await take(queue)) == ["0", "1", "2", "3", "4"]


async def test_a_delayed_job_is_not_claimed_before_its_time(queue: Queue, clock: MovingClock) -> None:
    late = await push(queue, draft("late", delay=60))
    await push(queue, draft("now"))

    assert names(await take(queue)) == ["now"]
    assert (await queue.ledger.get(late.id)).status is JobStatus.DELAYED
    clock.move(59.9)
    assert await take(queue) == []
    clock.move(0.2)
    assert names(await take(queue)) == ["late"]


@pytest.mark.parametrize("delay", [0, -5, None])
async def test_no_delay_and_a_negative_one_are_due_now(queue: Queue, delay: float | None) -> None:
    await push(queue, draft(delay=delay))

    assert len(await take(queue)) == 1


async def test_a_higher_priority_goes_first(queue: Queue) -> None:
    for name, priority in (("low", -1), ("plain", 0), ("high", 5), ("plain too", 0)):
        await push(queue, draft(name, priority=priority))

    assert names(await take(queue)) == ["high", "plain", "plain too", "low"]


async def test_a_list_of_queues_is_a_strict_order(queue: Queue) -> None:
    for name in ("low", "low", "high", "other"):
        await push(queue, draft(name, queue=name))

    assert names(await take(queue, 2, "high", "low")) == ["high", "low"]
    assert names(await take(queue, 2, "high", "low")) == ["low"]


async def test_without_a_list_every_queue_is_served_the_default_one_first(queue: Queue, clock: MovingClock) -> None:
    for name in ("slow_queue", "another", "default"):
        await push(queue, draft(name, queue=name))
        clock.move(0.01)

    assert names(await take(queue)) == ["default", "slow_queue", "another"]


async def test_a_claim_never_takes_more_than_its_limit(queue: Queue) -> None:
    for number in range(7):
        await push(queue, draft(str(number), priority=number % 3, queue=f"q{number % 2}"))

    assert [len(await take(queue, 3)) for _ in range(4)] == [3, 3, 1, 0]
    assert await take(queue, 0) == []


async def test_a_paused_queue_is_left_alone_until_it_is_resumed(queue: Queue) -> None:
    await push(queue, draft("slow", queue="slow_queue"))
    await push(queue, draft("plain"))
    await queue.pause("database", "slow_queue")
    await queue.pause("database", "slow_queue")

    assert names(await take(queue)) == ["plain"]
    assert names(await take(queue, 5, "slow_queue")) == []
    await queue.resume("database", "slow_queue")
    assert names(await take(queue)) == ["slow"]


async def test_two_claimers_run_each_of_200_jobs_exactly_once(
    queue: Queue, opener: Opener, tmp_path: Path, clock: MovingClock
) -> None:
    jobs = [await push(queue, draft()) for _ in range(200)]

    async def drain(claimer: Queue, worker: str) -> list[str]:
        mine: list[str] = []
        while claimed := await take(claimer, 3, worker=worker):
            for job in claimed:
                await claimer.finish(job)
            mine += [job.id for job in claimed]
        return mine

    async with opener(tmp_path, clock) as other:
        shares = await asyncio.gather(drain(queue, "a"), drain(other, "b"))

    assert sorted(shares[0] + shares[1]) == sorted(job.id for job in jobs)
    assert shares[0]
    assert shares[1]
    assert [(count.status, count.jobs) for count in await queue.ledger.counts()] == [(JobStatus.DONE, 200)]


# -- by hand


async def test_a_cancelled_job_is_never_claimed(queue: Queue) -> None:
    job = await push(queue, draft())

    cancelled = await queue.cancel([job.id, "unknown"])

    assert [one.id for one in cancelled] == [job.id]
    assert await take(queue) == []
    assert (await queue.ledger.get(job.id)).status is JobStatus.CANCELLED


async def test_cancelling_a_running_job_fences_off_its_worker(queue: Queue) -> None:
    await push(queue, draft())
    job = await take_one(queue)

    await queue.cancel([job.id])

    assert await queue.ledger.held("a") == set()
    with pytest.raises(LeaseLost):
        await queue.finish(job)
    assert (await queue.ledger.get(job.id)).status is JobStatus.CANCELLED
    assert await queue.cancel([job.id]) == []


async def test_retrying_a_failed_job_starts_it_over_at_once(queue: Queue) -> None:
    pushed = await push(queue, draft(delay=0.0, queue="slow_queue", tries=1))
    await queue.fail(await take_one(queue), {"message": "no"})

    [again] = await queue.retry([pushed.id, "unknown"])

    assert (again.status, again.attempts, again.error, again.queue) == (JobStatus.WAITING, 0, None, "slow_queue")
    job = await take_one(queue)
    assert (job.id, job.epoch, job.payload) == (pushed.id, 2, b"sealed")
    assert await queue.retry([pushed.id]) == []


async def test_only_jobs_that_have_ended_can_be_forgotten(queue: Queue) -> None:
    ended, waiting = await push(queue, draft()), await push(queue, draft())
    await queue.finish(await take_one(queue))

    assert await queue.ledger.forget([ended.id, waiting.id]) == [ended.id]

    with pytest.raises(NotFound):
        await queue.ledger.get(ended.id)
    assert await queue.ledger.attempts(ended.id) == []
    assert (await queue.ledger.get(waiting.id)).payload == b"sealed"


# -- looking


async def test_jobs_are_counted_by_queue_and_state(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft(queue="a"))
    await push(queue, draft(queue="a", delay=60))
    await push(queue, draft(queue="b"))
    await take(queue, 1, "b")

    counts = {(count.queue, count.status): (count.jobs, count.oldest_due) for count in await queue.ledger.counts()}

    assert counts == {
        ("a", JobStatus.WAITING): (1, clock.now()),
        ("a", JobStatus.DELAYED): (1, clock.now() + 60),
        ("b", JobStatus.RUNNING): (1, clock.now()),
    }


async def test_jobs_are_found_by_state_newest_first(queue: Queue, clock: MovingClock) -> None:
    for name in ("one", "two", "three"):
        await push(queue, draft(name))
    await push(queue, draft("later", delay=5))
    for job in await take(queue, 2):
        await queue.fail(job, {"message": "no"})
        clock.move(1)

    async def found(where: JobFilter, limit: int = 10, offset: int = 0) -> list[str]:
        return names(await queue.ledger.find(where, limit=limit, offset=offset))

    assert await found(JobFilter()) == ["later", "three", "two", "one"]
    assert await found(JobFilter(), limit=2, offset=1) == ["three", "two"]
    assert await found(JobFilter(status=JobStatus.FAILED)) == ["two", "one"]
    assert await found(JobFilter(status=JobStatus.WAITING)) == ["three"]
    assert await found(JobFilter(status=JobStatus.DELAYED)) == ["later"]
    assert await found(JobFilter(queue="nope")) == []
    assert await found(JobFilter(script="service:7", connection="database"), limit=1) == ["later"]


async def test_the_next_due_time_counts_delays_and_leases(queue: Queue, clock: MovingClock) -> None:
    assert await queue.ledger.next_due() is None
    await push(queue, draft(delay=40))
    assert await queue.ledger.next_due() == 40
    await push(queue, draft(queue="other"))
    assert await queue.ledger.next_due() == 0
    await take(queue)
    assert await queue.ledger.next_due() == 30
    clock.move(100)
    assert await queue.ledger.next_due(None, ["nope"]) == 0


async def test_done_jobs_go_after_a_week_and_failed_ones_after_a_month(queue: Queue, clock: MovingClock) -> None:
    done, failed = await push(queue, draft()), await push(queue, draft())
    await queue.finish(await take_one(queue))
    await queue.fail(await take_one(queue), None)

    clock.move(6 * DAY)
    assert await queue.purge(Retention()) == 0
    clock.move(2 * DAY)
    assert await queue.purge(Retention()) == 1
    with pytest.raises(NotFound):
        await queue.ledger.get(done.id)
    clock.move(23 * DAY)
    assert await queue.purge(Retention()) == 1
    with pytest.raises(NotFound):
        await queue.ledger.get(failed.id)


async def test_only_the_newest_done_jobs_are_kept(queue: Queue, clock: MovingClock) -> None:
    for number in range(6):
        await push(queue, draft(str(number)))
        await queue.finish(await take_one(queue))
        clock.move(1)

    assert await queue.purge(Retention(most_done=4)) == 2
    assert names(await queue.ledger.find(JobFilter())) == ["5", "4", "3", "2"]


async def test_purging_leaves_waiting_and_running_jobs_however_old(queue: Queue, clock: MovingClock) -> None:
    for _ in range(2):
        await push(queue, draft())
    await take_one(queue)
    clock.move(1000 * DAY)

    assert await queue.purge(Retention()) == 0
    assert len(await queue.ledger.find(JobFilter())) == 2


async def test_a_purge_deletes_in_batches(queue: Queue, clock: MovingClock) -> None:
    for _ in range(5):
        await push(queue, draft())
        await queue.finish(await take_one(queue))

    later = clock.now() + 1
    purged = [await queue.ledger.purge(status=JobStatus.DONE, ended_before=later, limit=2) for _ in range(4)]

    assert purged == [2, 2, 1, 0]


# -- waking


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
