"""A worker survives everything its jobs, its store and its process do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.clock import SystemClock
from reverie.errors import LoopDetected, QueueUnavailable, ScriptCrashed, ScriptTimeout, StoreUnavailable
from reverie.jobs.ledger import JobFilter
from reverie.jobs.payload import PayloadUnreadable
from reverie.jobs.queue import Queue
from reverie.jobs.settle import crashed
from reverie.jobs.work import Done, Turn, WorkerOptions
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


# -- what its jobs do


async def test_a_dead_child_is_a_crash_and_no_try_and_the_job_is_due_within_two_seconds(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    async def crashed_once() -> bool:
        [job] = await queue.ledger.find(JobFilter())
        return job.crashes == 1

    await push(queue, draft("fragile", tries=1))
    scripts.errors["fragile"] = ScriptCrashed("the child is gone")
    async with serving(queue, scripts, clock):
        await until(some(lambda: scripts.begun))
        del scripts.errors["fragile"]
        await until(crashed_once)
        clock.move(2)
        await until(some(lambda: scripts.ended))

    [job] = await queue.ledger.find(JobFilter())
    assert (job.status, job.attempts, job.crashes) == (JobStatus.DONE, 1, 1)


async def test_the_third_crash_is_the_last(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    await push(queue, draft("fragile", tries=0))
    scripts.errors["fragile"] = ScriptCrashed("the child is gone")

    async def has_failed() -> bool:
        return await statuses(queue) == [JobStatus.FAILED]

    async with serving(queue, scripts, clock):
        await until(has_failed, clock)

    [job] = await queue.ledger.find(JobFilter())
    assert (job.attempts, job.crashes, len(scripts.begun)) == (0, 3, 3)
    assert isinstance(job.error, dict)
    assert job.error["message"] == "the child is gone (crash 3)"


async def test_a_job_that_crashed_twice_runs_without_neighbours(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    await push(queue, draft("fragile", priority=1))
    for _ in range(2):
        [job] = await queue.claim(worker="earlier")
        await queue.settle(crashed(job, {"message": "gone"}, pause=0, max_crashes=3))
    for number in range(6):
        await push(queue, draft(str(number)))

    await serve(queue, scripts, clock, WorkerOptions(concurrency=4, stop_when_empty=True))

    assert len(scripts.ended) == 7
    assert [crowd for crowd in scripts.crowds if "fragile" in crowd] == [{"fragile"}]
    assert max(len(crowd) for crowd in scripts.crowds) > 1


@pytest.mark.parametrize("error", [PayloadUnreadable("another key"), LoopDetected("too long a chain")])
async def test_what_trying_again_cannot_cure_fails_at_once_and_the_worker_goes_on(
    queue: Queue, scripts: Scripts, clock: MovingClock, error: Exception
) -> None:
    await push(queue, draft("hopeless", tries=0))
    await push(queue, draft("fine"))
    scripts.errors["hopeless"] = error

    await serve(queue, scripts, clock, WorkerOptions(stop_when_empty=True))

    assert await statuses(queue) == [JobStatus.DONE, JobStatus.FAILED]


async def test_a_store_that_is_away_before_the_script_began_costs_the_job_nothing(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    await push(queue, draft("early", tries=1))
    scripts.begins = False
    scripts.errors["early"] = StoreUnavailable("away")

    await serve(queue, scripts, clock, WorkerOptions(max_jobs=1))

    [job] = await queue.ledger.find(JobFilter())
    assert (job.status, job.attempts, job.crashes) == (JobStatus.DELAYED, 0, 0)


async def test_a_script_that_times_out_has_used_a_try(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    await push(queue, draft("slow"))
    scripts.errors["slow"] = ScriptTimeout("60 s were over")

    await serve(queue, scripts, clock, WorkerOptions(max_jobs=1, tries=2, backoff=(5,)))

    [job] = await queue.ledger.find(JobFilter())
    assert (job.status, job.attempts, job.crashes) == (JobStatus.DELAYED, 1, 0)


async def test_it_gives_up_on_an_engine_that_does_not_keep_the_time_limit(
    queue: Queue, scripts: Scripts, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.jobs.performing.BACKSTOP", 0.1)
    await push(queue, draft("stuck"))
    scripts.gates["stuck"] = asyncio.Event()

    await serve(queue, scripts, clock, WorkerOptions(max_jobs=1, tries=1, timeout=0.1))

    [job] = await queue.ledger.find(JobFilter())
    assert isinstance(job.error, dict)
    assert (job.status, job.error["type"]) == (JobStatus.FAILED, "ScriptTimeout")
    assert "has timed out after 0.1 seconds" in str(job.error["message"])


async def test_a_cancelled_job_is_stopped_while_it_runs(queue: Queue, scripts: Scripts, clock: MovingClock) -> None:
    job = await push(queue, draft("endless"))
    scripts.gates["endless"] = asyncio.Event()
    async with serving(queue, scripts, clock, WorkerOptions(lease=0.6, sleep=1000)):
        await until(some(lambda: scripts.begun))

        await queue.cancel([job.id])

        await until(some(lambda: not scripts.running))

    assert scripts.ended == []
    assert await statuses(queue) == [JobStatus.CANCELLED]


async def test_it_goes_on_when_the_store_comes_back(
    queue: Queue, scripts: Scripts, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = queue.ledger.claim
    refused: list[int] = []

    async def claim_later(**wanted: object) -> object:
        if len(refused) < 3:
            refused.append(1)
            raise QueueUnavailable("away")
        return await claim(**wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(queue.ledger, "claim", claim_later)
    await push(queue, draft("fine"))
    async with serving(queue, scripts, clock, WorkerOptions(sleep=1)):
        await until(some(lambda: scripts.ended), clock)

    assert len(refused) == 3


# -- time that really passes


async def test_a_blocked_event_loop_loses_no_lease(tmp_path: Path, scripts: Scripts) -> None:
    """The loop stands still for longer than the lease, while somebody else keeps taking back lost jobs.

    In the full profile the lease is the real one of 30 s and the loop stands still for 40 s.
    """
    lease, still = (30.0, 40.0) if os.environ.get("REVERIE_TEST_PROFILE") == "full" else (0.6, 2.0)
    clock, stop = SystemClock(), threading.Event()

    async def take_back_all_the_time() -> None:
        async with sqlite_queue(tmp_path, clock) as elsewhere:
            while not stop.wait(0.05):
                await elsewhere.take_back(max_crashes=1)

    sweeper = threading.Thread(target=lambda: asyncio.run(take_back_all_the_time()))

    async def block(turn: Turn) -> Done:
        await turn.begin()
        time.sleep(still)  # noqa: ASYNC251 - this is what the test is about
        return Done()

    async with sqlite_queue(tmp_path, clock) as queue:
        await push(queue, draft())
        sweeper.start()
        try:
            await Worker(queue, block, WorkerOptions(lease=lease, max_jobs=1), clock).run()
        finally:
            stop.set()
            sweeper.join()
        [job] = await queue.ledger.find(JobFilter())

    assert (job.status, job.attempts, job.crashes) == (JobStatus.DONE, 1, 0)


KILLED = """
import asyncio, sys
from pathlib import Path
from reverie.clock import SystemClock
from reverie.jobs.work import Done, WorkerOptions
from reverie.worker import Worker
from tests.unit.jobs.scene import sqlite_queue

async def sleep_for_ever(turn):
    await turn.begin()
    await asyncio.sleep(0.5)  # the note of it is durable by now
    print("begun", file=sys.stderr, flush=True)
    await asyncio.sleep(3600)

async def main():
    async with sqlite_queue(Path(sys.argv[1]), SystemClock()) as queue:
        await Worker(queue, sleep_for_ever, WorkerOptions(), SystemClock()).run()

asyncio.run(main())
"""


async def test_the_jobs_of_a_killed_worker_run_again_within_seconds(tmp_path: Path, scripts: Scripts) -> None:
    """Its lease of 30 s is not waited for: the kernel tells that it is dead."""
    clock = SystemClock()
    async with sqlite_queue(tmp_path, clock) as queue:
        await push(queue, draft("survivor"))
        killed = subprocess.Popen(  # noqa: ASYNC220 - starting it blocks for a moment, and nothing else runs here
            [sys.executable, "-c", KILLED, str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with killed:
            assert killed.stderr is not None
            said = await asyncio.to_thread(killed.stderr.readline)
            killed.send_signal(signal.SIGKILL)
        assert said == "begun\n"
        killed_at = time.monotonic()

        async with serving(queue, scripts, clock):
            await until(some(lambda: scripts.ended), turns=4000)

        assert time.monotonic() - killed_at < 10
        [job] = await queue.ledger.find(JobFilter())
        assert (job.status, job.attempts, job.crashes) == (JobStatus.DONE, 1, 1)
        assert await queue.ledger.workers() == []
    assert [name for name in os.listdir(tmp_path / "wake") if str(killed.pid) in name] == []
