"""One worker: what it reports, what it takes and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import Queue
from reverie.jobs.work import Done, Report, Step, Stop, Turn, WorkerOptions
from reverie.model import JobStatus
from reverie.worker import Worker
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue, until
from tests.unit.jobs.scripts import Scripts, serve, serving, some, statuses

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        yield opened


# -- what it reports


async def test_each_job_is_reported_as_running_and_as_what_became_of_it(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    names = ("fine", "skip me", "broken")
    for name in names:
        await push(queue, draft(name))
    scripts.errors["broken"] = ValueError("no")
    reports: list[Report] = []
    options = WorkerOptions(concurrency=1, tries=1, stop_when_empty=True)

    await Worker(queue, scripts, options, clock, on_report=reports.append).run()

    steps = {name: [report.step for report in reports if report.job.name == name] for name in names}
    assert steps == {
        "fine": [Step.RUNNING, Step.DONE],
        "skip me": [Step.RUNNING, Step.SKIPPED],
        "broken": [Step.RUNNING, Step.FAILED],
    }
    assert await statuses(queue) == [JobStatus.FAILED, JobStatus.SKIPPED, JobStatus.DONE]


# -- when it stops


async def test_it_stops_when_empty_after_the_last_job(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    for number in range(5):
        await push(queue, draft(str(number)))

    assert await serve(queue, scripts, clock, WorkerOptions(stop_when_empty=True)) is Stop.EMPTY
    assert sorted(scripts.ended) == ["0", "1", "2", "3", "4"]
    assert Stop.EMPTY.exit_code == 0


async def test_it_stops_after_so_many_jobs_and_counts_those_that_fail(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    for number in range(5):
        await push(queue, draft(str(number)))
    scripts.errors["0"] = ValueError("no")

    assert await serve(queue, scripts, clock, WorkerOptions(max_jobs=2, tries=1)) is Stop.MAX_JOBS

    counts = {count.status: count.jobs for count in await queue.ledger.counts()}
    assert counts == {JobStatus.FAILED: 1, JobStatus.DONE: 1, JobStatus.WAITING: 3}


async def test_once_runs_one_job_and_leaves_the_others(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    for number in range(3):
        await push(queue, draft(str(number)))

    assert await serve(queue, scripts, clock, WorkerOptions(once=True)) is Stop.ONCE
    assert scripts.ended == ["0"]


async def test_once_on_an_empty_queue_waits_its_sleep(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(once=True, sleep=3)))
    await asyncio.sleep(0.1)
    clock.move(2.9)
    await asyncio.sleep(0.05)
    assert not task.done()

    clock.move(0.2)

    assert await task is Stop.ONCE


async def test_it_stops_at_its_memory_limit_also_with_jobs_in_its_hands(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    for number in range(200):
        await push(queue, draft(str(number)))
    options = WorkerOptions(concurrency=1, memory=100)
    worker = Worker(queue, scripts, options, clock, memory=lambda: 100 if len(scripts.ended) >= 10 else 1)

    assert await asyncio.wait_for(worker.run(), 20) is Stop.MEMORY

    assert 10 <= len(scripts.ended) <= 12
    waiting = await queue.ledger.find(JobFilter(status=JobStatus.WAITING), limit=200)
    assert len(waiting) == 200 - len(scripts.ended)


async def test_it_stops_with_12_at_its_memory_limit_after_a_loop(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    await push(queue, draft())

    stop = await serve(queue, scripts, clock, WorkerOptions(memory=1))

    assert (stop, stop.exit_code) == (Stop.MEMORY, 12)
    assert await statuses(queue) == [JobStatus.DONE]


async def test_its_time_being_up_never_interrupts_a_job(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    await push(queue, draft("long"))
    await push(queue, draft("next"))
    scripts.gates["long"] = asyncio.Event()
    task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(max_time=2, concurrency=1, sleep=1)))
    await until(some(lambda: scripts.begun))
    clock.move(5)
    await asyncio.sleep(0.05)

    scripts.gates["long"].set()

    assert await task is Stop.MAX_TIME
    assert await statuses(queue) == [JobStatus.WAITING, JobStatus.DONE]


async def test_draining_lets_a_running_job_end_and_claims_nothing_more(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    await push(queue, draft("long"))
    scripts.gates["long"] = asyncio.Event()
    async with serving(queue, scripts, clock) as worker:
        await until(some(lambda: scripts.begun))
        worker.drain()
        await push(queue, draft("next"))
        await asyncio.sleep(0.05)
        assert scripts.begun == ["long"]

    assert await statuses(queue) == [JobStatus.WAITING, JobStatus.DONE]
    assert await queue.ledger.workers() == []


async def test_what_outlives_the_grace_is_given_back_with_no_counter_changed(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    await push(queue, draft("endless"))
    scripts.gates["endless"] = asyncio.Event()
    worker = Worker(queue, scripts, WorkerOptions(grace=10), clock)
    task = asyncio.create_task(worker.run())
    await until(some(lambda: scripts.begun))
    worker.drain()
    await asyncio.sleep(0.05)

    clock.move(11)

    assert await asyncio.wait_for(task, 5) is Stop.DRAINED
    [job] = await queue.ledger.find(JobFilter())
    assert (job.status, job.attempts, job.crashes) == (JobStatus.WAITING, 0, 0)
    assert [attempt.outcome for attempt in await queue.ledger.attempts(job.id)] == ["released"]


# -- what it takes, and when


async def test_a_push_is_noticed_without_waiting_for_the_next_look(
    queue: Queue, scripts: Scripts, clock: MovingClock, tmp_path: Path
) -> None:
    async with serving(queue, scripts, clock), sqlite_queue(tmp_path, clock) as elsewhere:
        await asyncio.sleep(0.05)
        await push(elsewhere, draft("woken"))

        await until(some(lambda: scripts.ended))


async def test_a_delayed_job_is_taken_when_it_is_due(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    await push(queue, draft("late", delay=60))
    async with serving(queue, scripts, clock):
        await asyncio.sleep(0.05)
        clock.move(59)
        await asyncio.sleep(0.05)
        assert scripts.begun == []

        clock.move(1.1)

        await until(some(lambda: scripts.ended))


async def test_a_higher_queue_is_looked_at_before_each_job(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    for number in range(3):
        await push(queue, draft(f"low {number}", queue="low"))
    scripts.gates["low 0"] = asyncio.Event()
    options = WorkerOptions(queues=("high", "low"), concurrency=1, sleep=1000)
    async with serving(queue, scripts, clock, options):
        await until(some(lambda: scripts.begun))
        await push(queue, draft("high", queue="high"))
        scripts.gates["low 0"].set()
        await until(some(lambda: len(scripts.ended) == 4))

    assert scripts.ended == ["low 0", "high", "low 1", "low 2"]


@pytest.mark.parametrize(("limit", "given"), [(0, None), (120, 120)])
async def test_a_script_may_run_as_long_as_its_worker_says(
    queue: Queue, clock: MovingClock, limit: float, given: float | None
) -> None:
    turns: list[Turn] = []

    async def perform(turn: Turn) -> Done:
        turns.append(turn)
        return Done()

    await push(queue, draft())
    await Worker(queue, perform, WorkerOptions(timeout=limit, stop_when_empty=True), clock).run()

    assert [turn.timeout for turn in turns] == [given]


async def test_a_rest_keeps_the_starts_of_jobs_apart(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    for number in range(3):
        await push(queue, draft(str(number)))
    async with serving(queue, scripts, clock, WorkerOptions(rest=1, sleep=1000)):
        for expected in (1, 2, 3):
            await asyncio.sleep(0.1)
            assert len(scripts.begun) == expected
            clock.move(1)


async def test_a_job_that_was_cancelled_while_it_waited_in_a_worker_s_hand_never_begins(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    scripts.gates["long"] = asyncio.Event()
    async with serving(queue, scripts, clock, WorkerOptions(concurrency=1, sleep=1000)):
        await push(queue, draft("quick"))  # from here on the worker claims ahead
        await until(some(lambda: "quick" in scripts.ended))
        await push(queue, draft("long"))
        await until(some(lambda: "long" in scripts.begun))
        job = await push(queue, draft("late"))

        async def claimed() -> bool:
            return (await queue.ledger.get(job.id)).status is JobStatus.RUNNING

        await until(claimed)
        assert await queue.cancel([job.id]) != []
        clock.move(0.5)
        scripts.gates["long"].set()
        await push(queue, draft("next"))
        await until(some(lambda: "next" in scripts.ended))

    assert scripts.begun == ["quick", "long", "next"]
