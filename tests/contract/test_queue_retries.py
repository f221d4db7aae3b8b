"""How often and when a job is tried again, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from reverie.errors import ScriptError, ScriptTimeout
from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import Queue
from reverie.jobs.work import Done, Skipped, Turn, WorkerOptions
from reverie.model import Job, JobStatus
from reverie.worker import Worker
from tests.unit.jobs.scene import MovingClock, draft, push, until

pytestmark = pytest.mark.anyio


class Broken:
    """A script that throws, and remembers when it ran and as which attempt."""

    def __init__(self, clock: MovingClock, error: Exception | None = None) -> None:
        self.clock = clock
        self.error = error or ScriptError("out of stock", kind="Error", line=3, excerpt="throw 'out of stock'")
        self.runs: list[float] = []
        self.attempts: list[int] = []

    async def __call__(self, turn: Turn) -> Done | Skipped:
        await turn.begin()
        self.runs.append(self.clock.now())
        self.attempts.append(turn.attempt)
        raise self.error

    def pauses(self) -> list[float]:
        return [round(later - sooner, 1) for sooner, later in zip(self.runs, self.runs[1:], strict=False)]


@asynccontextmanager
async def served(queue: Queue, script: Broken, options: WorkerOptions) -> AsyncIterator[Worker]:
    worker = Worker(queue, script, options, script.clock)
    serving = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        await serving


async def failed(queue: Queue) -> list[Job]:
    return await queue.ledger.find(JobFilter(status=JobStatus.FAILED))


async def run_until_failed(queue: Queue, script: Broken, options: WorkerOptions) -> Job:
    async with served(queue, script, options), asyncio.timeout(60):
        while not await failed(queue):
            await all_wait(queue)
            script.clock.move(0.1)
    [job] = await failed(queue)
    return job


async def all_wait(queue: Queue) -> None:
    """Let the clock stand while a job is due or runs, so that a busy machine makes no run late; for long enough."""
    for _ in range(100):
        if all(job.status is JobStatus.DELAYED for job in await queue.ledger.find(JobFilter())):
            break
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.002)


async def test_with_one_try_a_script_that_throws_runs_once_and_is_kept_with_its_error(
    queue: Queue, clock: MovingClock
) -> None:
    pushed = await push(queue, draft(queue="slow_queue"))

    job = await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=1))

    assert script.attempts == [1]
    assert (job.id, job.connection, job.queue, job.attempts) == (pushed.id, "database", "slow_queue", 1)
    assert job.error == {
        "type": "Error",
        "message": "out of stock",
        "line": 3,
        "column": None,
        "excerpt": "throw 'out of stock'",
        "source": "",
        "output": "",
    }
    assert job.finished_at is not None
    assert (await queue.ledger.get(job.id)).payload == b"sealed"
    assert [count.status for count in await queue.ledger.counts()] == [JobStatus.FAILED]


async def test_with_three_tries_a_script_sees_attempts_one_two_three(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())

    job = await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=3, backoff=()))

    assert script.attempts == [1, 2, 3]
    outcomes = [attempt.outcome for attempt in await queue.ledger.attempts(job.id)]
    assert outcomes == ["retried", "retried", "failed"]


async def test_a_job_says_itself_how_often_it_is_tried(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft(tries=2))

    await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=9, backoff=()))

    assert script.attempts == [1, 2]


async def test_without_a_limit_a_job_is_tried_for_ever_but_once_a_second(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    script = Broken(clock)

    async with served(queue, script, WorkerOptions(tries=0, backoff=())):
        await until(lambda: ran(script, 6), clock, step=0.1)

    assert await failed(queue) == []
    assert len(await queue.ledger.find(JobFilter())) == 1
    assert min(script.pauses()) >= 1


async def test_a_workers_delay_holds_back_the_second_run(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())

    await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=3, backoff=(), delay=10))

    assert all(10 <= pause < 11 for pause in script.pauses())


async def test_a_scripts_own_delay_beats_the_workers(queue: Queue, clock: MovingClock) -> None:
    job = await push(queue, draft(delay=5))

    await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=2, backoff=(), delay=60))

    assert script.runs[0] >= job.created_at + 5
    assert 5 <= script.pauses()[0] < 6


async def test_a_list_of_pauses_is_followed_and_its_last_repeats(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())

    await run_until_failed(queue, script := Broken(clock), WorkerOptions(tries=4, backoff=(1, 5)))

    assert [int(pause) for pause in script.pauses()] == [1, 5, 5]


async def test_a_job_that_times_out_at_its_last_try_says_so(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())

    job = await run_until_failed(queue, Broken(clock, ScriptTimeout("stopped")), WorkerOptions(tries=1))

    assert isinstance(job.error, dict)
    assert "has timed out" in str(job.error["message"])


async def test_a_job_with_all_its_tries_used_up_fails_without_running(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    async with served(queue, first := Broken(clock), WorkerOptions(tries=5, backoff=(2,))):
        await until(lambda: ran(first, 2), clock, step=0.1)

    job = await run_until_failed(queue, second := Broken(clock), WorkerOptions(tries=2))

    assert second.runs == []
    assert isinstance(job.error, dict)
    assert "attempted too many times" in str(job.error["message"])


async def ran(script: Broken, times: int) -> bool:
    return len(script.runs) >= times
