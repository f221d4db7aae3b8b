"""What is measured of our own queue, each in a process of its own: ``python -m bench.queue.ours WHAT OPTIONS``.

The last line it prints is a JSON object of figures. The effect of a job is one byte at the end of a file, written with
O_APPEND, as it is for the peers; the file's size is compared with the number of jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from bench.contest import Figures, percentile, spread
from bench.queue.pairs import Servers, opened, prepare
from reverie.cli.loop import run_fast
from reverie.cli.measure import QUEUE, make, push
from reverie.clock import SystemClock
from reverie.jobs.process import memory_in_use
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished
from reverie.jobs.work import Done, Perform, Performed, Turn, WorkerOptions
from reverie.observe import set_up
from reverie.worker import Worker

WARM_UP = 2000


class Effects:
    """One byte for each run."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._enough, self._wanted = asyncio.Event(), 0

    async def perform(self, turn: Turn) -> Performed:
        await turn.begin()
        os.write(self._file, b".")
        self.count += 1
        if self.count == self._wanted:
            self._enough.set()
        return Done()

    async def reach(self, count: int) -> None:
        """Wait until so many ran in all."""
        self._enough.clear()
        self._wanted = count
        if self.count < count:
            await asyncio.wait_for(self._enough.wait(), 600)


def options(given: argparse.Namespace, **more: object) -> WorkerOptions:
    base = WorkerOptions(name=QUEUE, connection=given.connection, queues=(QUEUE,), concurrency=given.concurrency)
    return WorkerOptions(**{name: getattr(base, name) for name in base.__slots__} | more)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def burn(queue: Queue, given: argparse.Namespace) -> Figures:
    """Jobs that wait, run by a worker of their own process until none is left; a warm-up goes before."""
    effects = Effects(given.effects)
    for jobs in (WARM_UP, given.jobs):
        await push(queue, [], jobs=jobs, payload=given.payload, at_once=500)
        worker = Worker(queue, effects.perform, options(given, stop_when_empty=True), SystemClock())
        cpu, began = cpu_seconds(), time.perf_counter()
        await worker.run()
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    _check(effects.count, WARM_UP + given.jobs)
    return {"rate": given.jobs / seconds, "cpu": cpu / given.jobs * 1000}


def _check(ran: int, jobs: int) -> None:
    if ran != jobs:
        raise SystemExit(f"{jobs} jobs were pushed and {ran} ran")


async def memory(queue: Queue, given: argparse.Namespace) -> Figures:
    """MiB of the worker's process, looked at five times while jobs come and go; retention keeps few."""
    effects = Effects(given.effects)
    steps: list[float] = []
    async with working(queue, effects.perform, given):
        for step in range(6):
            await push(queue, [], jobs=given.jobs // 6, payload=given.payload, at_once=500)
            await effects.reach((step + 1) * (given.jobs // 6))
            steps.append(memory_in_use())
    growth = (steps[-1] - steps[1]) / (given.jobs / 6 * 4) * 100_000
    return {"rate": round(growth, 2), "first": steps[0], "last": steps[-1], "most": max(steps)}


@contextlib.asynccontextmanager
async def working(queue: Queue, perform: Perform, given: argparse.Namespace, **more: object) -> AsyncIterator[Worker]:
    worker = Worker(queue, perform, options(given, **more), SystemClock())
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.drain()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def serve(queue: Queue, given: argparse.Namespace) -> Figures:
    """A worker for another process's jobs: notes when each began, until `jobs` have; then sends that back.

    It prints ``ready`` when it serves, and at the end one line with ``id moment`` pairs before its figures.
    """
    begun: dict[str, float] = {}
    enough = asyncio.Event()

    async def note(turn: Turn) -> Performed:
        await turn.begin()
        begun[turn.job.id] = time.perf_counter()
        if len(begun) >= given.jobs:
            enough.set()
        return Done()

    async with working(queue, note, given):
        await asyncio.sleep(0.2)
        print("ready", flush=True)
        await asyncio.wait_for(enough.wait(), given.seconds + 60)
    print(json.dumps(begun))
    return {"jobs": len(begun)}


async def offer(queue: Queue, given: argparse.Namespace) -> Figures:
    """Push at an even rate to a worker in another process, whatever it does: milliseconds until each began.

    The moment of a job is when its commit was answered; all processes of a host share this clock.
    """
    jobs = max(20, int(given.rate * given.seconds))
    words = [sys.executable, "-m", "bench.queue.ours", "serve", *sys.argv[2:], "--jobs", str(jobs)]
    server = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, limit=1 << 26)
    assert server.stdout is not None
    assert await server.stdout.readline() == b"ready\n"
    durable: dict[str, float] = {}
    pushes: list[float] = []

    async def one() -> None:
        job = make(queue, given.payload)
        before = time.perf_counter()
        await queue.ledger.create_many([job])
        durable[job.id] = time.perf_counter()
        pushes.append(durable[job.id] - before)
        await queue.announce(job)

    began = time.perf_counter()
    tasks = []
    for number in range(jobs):
        # Not exactly even: a worker that looks at intervals of its own must not fall into step.
        due = began + (number + random.uniform(0, 0.5)) / given.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    offered = jobs / (time.perf_counter() - began)
    begun: dict[str, float] = json.loads(await server.stdout.readline())
    await server.communicate()
    waits = [max(0.0, begun[name] - moment) for name, moment in durable.items()]
    return {**spread(waits), "p99.9": percentile(waits, 99.9) * 1000, "offered": offered, **spread(pushes, "push ")}


async def enqueue(queue: Queue, given: argparse.Namespace) -> Figures:
    """Jobs a second one by one, in batches, and by 64 at one time; milliseconds of one."""
    one_by_one: list[float] = []
    for _ in range(given.jobs // 10):
        job = make(queue, given.payload)
        began = time.perf_counter()
        await queue.ledger.create_many([job])
        await queue.announce(job)
        one_by_one.append(time.perf_counter() - began)
    batches = {
        size: await push(queue, [], jobs=given.jobs, payload=given.payload, at_once=size) for size in (100, 1000)
    }
    side_by_side: list[float] = []

    async def many() -> None:
        for _ in range(given.jobs // 64):
            job = make(queue, given.payload)
            began = time.perf_counter()
            await queue.ledger.create_many([job])
            await queue.announce(job)
            side_by_side.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(many() for _ in range(64)))
    concurrent = len(side_by_side) / (time.perf_counter() - began)
    return {
        "rate": len(one_by_one) / sum(one_by_one),
        **spread(one_by_one),
        "by 100": batches[100],
        "by 1000": batches[1000],
        "64 at once": concurrent,
        **spread(side_by_side, "64: "),
    }


async def ledger(queue: Queue, given: argparse.Namespace) -> Figures:
    """Claim and finish without a worker, `batch` at a time: jobs a second, milliseconds of a claim."""
    await push(queue, [], jobs=given.jobs, payload=given.payload, at_once=500)
    return await _claim_and_finish(queue, given, given.jobs)


async def backlog(queue: Queue, given: argparse.Namespace) -> Figures:
    """Claims while very many wait: milliseconds of one that takes `batch`; 2,000 are taken."""
    filled = await push(queue, [], jobs=given.jobs, payload=given.payload, at_once=1000)
    return {**await _claim_and_finish(queue, given, 2000), "pushed": filled}


async def _claim_and_finish(queue: Queue, given: argparse.Namespace, jobs: int) -> Figures:
    claims: list[float] = []
    taken = 0
    began = time.perf_counter()
    while taken < jobs:
        before = time.perf_counter()
        batch = await queue.claim(worker="bench", limit=given.batch, connection=given.connection, queues=(QUEUE,))
        claims.append(time.perf_counter() - before)
        if not batch:
            raise SystemExit(f"only {taken} jobs of {jobs} could be claimed")
        if lost := await queue.ledger.settle_many([finished(job) for job in batch]):
            raise SystemExit(f"{len(lost)} leases were lost")
        taken += len(batch)
    return {"rate": taken / (time.perf_counter() - began), **spread(claims)}


WHAT: dict[str, Callable[[Queue, argparse.Namespace], Awaitable[Figures]]] = {
    one.__name__: one for one in (burn, memory, serve, offer, enqueue, ledger, backlog)
}


def main() -> None:
    read = argparse.ArgumentParser()
    read.add_argument("what", choices=WHAT)
    read.add_argument("--pair", required=True)
    read.add_argument("--folder", type=Path, required=True)
    read.add_argument("--postgresql", default="")
    read.add_argument("--redis", default="")
    read.add_argument("--synchronous", default="FULL")
    read.add_argument("--effects", type=Path, default=Path(os.devnull))
    read.add_argument("--jobs", type=int, default=1000)
    read.add_argument("--payload", type=int, default=1024)
    read.add_argument("--concurrency", type=int, default=50)
    read.add_argument("--batch", type=int, default=50)
    read.add_argument("--rate", type=float, default=50.0)
    read.add_argument("--seconds", type=float, default=5.0)
    given = read.parse_args()
    set_up("text", level="warning")
    servers = Servers(given.postgresql, given.redis)
    settings = prepare(given.pair, given.folder, servers)
    given.connection = settings.queue_connection

    async def whole() -> Figures:
        async with opened(settings, synchronous=given.synchronous) as queue:
            return await WHAT[given.what](queue, given)

    figures = run_fast(whole())
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
