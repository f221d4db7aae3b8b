"""A queue whose workers are woken through Redis: nothing it holds depends on that server."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reverie.clock import SystemClock
from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import Queue
from reverie.jobs.work import Done, Performed, Turn, WorkerOptions
from reverie.model import JobStatus
from reverie.worker import Worker
from tests.integration.test_redis_broker import until
from tests.redis_server import RedisServer, redis_queue, redis_server, until_heard
from tests.unit.jobs.scene import draft, push

pytestmark = pytest.mark.anyio

CHANNEL = "reverie:{database}:0"
LISTENER = """
import asyncio, sys, time
from pathlib import Path
from reverie.clock import SystemClock
from reverie.observe import set_up
from tests.redis_server import redis_queue

async def main(folder, url):
    set_up("text", "warning")  # standard output is for what we print
    async with redis_queue(Path(folder), SystemClock(), url, host="another") as queue:
        await queue.transport.join("sleeper")
        await queue.transport.wait()
        while True:
            for job in await queue.claim(worker="sleeper", limit=10):
                print(job.id, time.monotonic_ns(), flush=True)
            await queue.transport.wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


async def statuses(queue: Queue) -> list[JobStatus]:
    return [job.status for job in await queue.ledger.find(JobFilter(), limit=1000)]


async def all_done(queue: Queue, jobs: int, seconds: float) -> float:
    """Let a worker run until so many jobs are done; how many seconds that took."""

    async def perform(turn: Turn) -> Performed:
        await turn.begin()
        return Done()

    worker = Worker(queue, perform, WorkerOptions(sleep=3.0), SystemClock())
    serving = asyncio.create_task(worker.run())
    began = time.monotonic()
    try:
        while (await statuses(queue)).count(JobStatus.DONE) < jobs:
            assert time.monotonic() - began < seconds, await statuses(queue)
            await asyncio.sleep(0.01)
    finally:
        worker.drain()
        await serving
    return time.monotonic() - began


async def test_flushing_everything_loses_no_job(server: RedisServer, tmp_path: Path) -> None:
    async with redis_queue(tmp_path, SystemClock(), server.url) as queue:
        for number in range(50):
            await push(queue, draft(str(number)))
        assert server.cli("FLUSHALL") == "OK"

        await all_done(queue, 50, 20)

        assert server.cli("DBSIZE") == "0"


async def test_jobs_are_accepted_and_run_while_the_server_is_dead(server: RedisServer, tmp_path: Path) -> None:
    async with (
        redis_queue(tmp_path, SystemClock(), server.url, host="one") as api,
        redis_queue(tmp_path, SystemClock(), server.url, host="two") as workers,
    ):
        server.kill()
        began = time.monotonic()
        for number in range(50):
            await push(api, draft(str(number)))
        assert time.monotonic() - began < 5

        await all_done(workers, 50, 20)

        server.start()
        await push(api, draft("after"))
        await all_done(workers, 51, 20)


async def test_a_server_that_hangs_delays_nobody(server: RedisServer, tmp_path: Path) -> None:
    async with redis_queue(tmp_path, SystemClock(), server.url, ping_every=0.3) as queue:
        await push(queue, draft("before"))
        server.pause()

        took = []
        for number in range(20):
            began = time.monotonic()
            await push(queue, draft(str(number)))
            took.append(time.monotonic() - began)
        assert max(took) < 1

        await all_done(queue, 21, 20)
        server.resume()


async def test_a_worker_in_another_process_begins_at_once(
    server: RedisServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with redis_queue(tmp_path, SystemClock(), server.url) as queue:
        with subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
            [sys.executable, "-c", LISTENER, str(tmp_path), server.url], stdout=subprocess.PIPE, text=True
        ) as listener:
            try:
                until_heard(server, CHANNEL)
                await asyncio.sleep(0.5)
                pushed: dict[str, int] = {}
                for number in range(100):
                    job = await push(queue, draft(str(number)))
                    pushed[job.id] = time.monotonic_ns()
                    await asyncio.sleep(0.03)
                assert listener.stdout is not None
                lines = [await asyncio.to_thread(listener.stdout.readline) for _ in pushed]
            finally:
                listener.kill()

    waits = sorted((int(moment) - pushed[job_id]) / 1e6 for job_id, moment in map(str.split, lines))
    p50, p99 = statistics.median(waits), waits[-2]
    record_property("pick-up", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    print(f"pick-up p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    # Looking at the store every quarter of a second would find them after 125 ms on average.
    assert p50 < 50


async def test_a_worker_of_one_connection_hears_no_other(server: RedisServer, tmp_path: Path) -> None:
    async with redis_queue(tmp_path, SystemClock(), server.url) as queue:
        await queue.transport.join("other", connection="sync")
        await asyncio.sleep(0.3)
        assert server.listeners(CHANNEL) == 0

        await queue.transport.join("one", connection="database")
        await until(lambda: server.listeners(CHANNEL) == 1)
        await queue.transport.join("all")
        await until(lambda: server.listeners(CHANNEL) == 1)
        await queue.transport.leave()
        await until(lambda: server.listeners(CHANNEL) == 0)
