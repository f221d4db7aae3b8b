"""What ``reverie queue bench`` measures: the real queue and the real worker, and no script.

Every promise is kept meanwhile: leases, epochs, durable commits, history. So the figures say what the queue costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from reverie.app import open_queue
from reverie.clock import SystemClock
from reverie.config import Settings
from reverie.errors import Conflict
from reverie.jobs.connections import STANDARD
from reverie.jobs.ledger import ENDED
from reverie.jobs.queue import Draft, Queue
from reverie.jobs.work import Done, Perform, Performed, Turn, WorkerOptions
from reverie.model import Job
from reverie.prepare import bring_up_to_date
from reverie.worker import Worker

QUEUE: Final = "bench"
AT_ONCE: Final = 100
"""Jobs pushed in one batch."""
PAUSE: Final = 0.01
"""Seconds between two jobs whose pick-up is measured, so that the worker is idle when one comes."""
PICKED_UP: Final = 200
"""Jobs whose pick-up is measured, at most."""
_FORGOTTEN_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run found.

    Attributes:
        payload: bytes of each job.
        pushed, ran: jobs a second, the first in batches of 100.
        push_p50, push_p99: milliseconds until one job, pushed alone, is durable.
        pick_up_p50, pick_up_p99: milliseconds from there to the beginning of its run by an idle worker.
    """

    jobs: int
    payload: int
    concurrency: int
    pushed: float
    ran: float
    push_p50: float
    push_p99: float
    pick_up_p50: float
    pick_up_p99: float


@contextlib.contextmanager
def temporary_store(settings: Settings) -> Iterator[Settings]:
    """The settings of a new store in a folder of its own, on SQLite; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="reverie-bench-") as folder:
        path = Path(folder) / "reverie.sqlite"
        temporary = msgspec.structs.replace(
            settings,
            data_dir=Path(folder),
            database_url=f"sqlite:///{path}",
            queue_connection="database",
            queue_connections=STANDARD,
        )
        bring_up_to_date(temporary)
        yield temporary


async def measure_store(settings: Settings, *, jobs: int, payload: int, concurrency: int) -> Measured:
    """Measure on the queue `bench` of the default connection, and leave none of its jobs behind.

    Raises:
        Conflict: that queue has jobs already, or somebody else serves it.
    """
    async with open_queue(settings) as queue:
        await refuse_to_disturb(queue)
        made: list[Job] = []
        try:
            return await measure(queue, made, jobs=jobs, payload=payload, concurrency=concurrency)
        finally:
            await forget(queue, made)


async def refuse_to_disturb(queue: Queue) -> None:
    """
    Raises:
        Conflict: the queue `bench` has jobs, or somebody else serves it and would take ours.
    """
    connection = queue.connections.find(None)
    if connection.driver in ("sync", "null"):
        raise Conflict(f"The [{connection.name}] queue connection keeps no jobs, so there is nothing to measure.")
    left = sum(
        count.jobs
        for count in await queue.ledger.counts()
        if (count.connection, count.queue) == (connection.name, QUEUE) and count.status not in ENDED
    )
    if left:
        raise Conflict(f"The queue [{QUEUE}] of [{connection.name}] holds {left} jobs; run or clear them first.")
    for worker in await queue.ledger.workers():
        serves = worker.connection in (None, connection.name) and (worker.queues is None or QUEUE in worker.queues)
        if serves and not queue.transport.gone(worker.name):
            raise Conflict(
                f"The worker [{worker.name}] serves the queue [{QUEUE}] too and would take its jobs; "
                "stop it, or measure without --here."
            )


async def measure(queue: Queue, made: list[Job], *, jobs: int, payload: int, concurrency: int) -> Measured:
    """Push, run, and push one by one to an idle worker. *made* gets every job, for `forget`."""
    pushed = await push(queue, made, jobs=jobs, payload=payload)
    ran = await burn(queue, jobs=jobs, concurrency=concurrency)
    pushes, pick_ups = await pick_up(queue, made, jobs=min(jobs, PICKED_UP), payload=payload, concurrency=concurrency)
    return Measured(
        jobs=jobs,
        payload=payload,
        concurrency=concurrency,
        pushed=round(pushed),
        ran=round(ran),
        push_p50=_milliseconds(pushes, 50),
        push_p99=_milliseconds(pushes, 99),
        pick_up_p50=_milliseconds(pick_ups, 50),
        pick_up_p99=_milliseconds(pick_ups, 99),
    )


async def push(queue: Queue, made: list[Job], *, jobs: int, payload: int, at_once: int = AT_ONCE) -> float:
    """Push *jobs* jobs, *at_once* in a transaction; jobs a second."""
    began = time.perf_counter()
    for first in range(0, jobs, at_once):
        batch = [make(queue, payload) for _ in range(min(at_once, jobs - first))]
        made += batch  # before they are stored: whatever happens then, they are forgotten
        await queue.ledger.create_many(batch)
        await queue.announce(*batch)
    return jobs / (time.perf_counter() - began)


def make(queue: Queue, payload: int) -> Job:
    """A job of the queue `bench`, stored nowhere yet."""
    return queue.make(Draft(kind="bench", script="bench", name="bench", payload=os.urandom(payload), queue=QUEUE))


async def burn(queue: Queue, *, jobs: int, concurrency: int) -> float:
    """Run what waits with a worker that stops when nothing is left; jobs a second.

    Raises:
        RuntimeError: other than *jobs* jobs ran.
    """
    ran = 0

    async def nothing(turn: Turn) -> Performed:
        nonlocal ran
        await turn.begin()
        ran += 1
        return Done()

    worker = Worker(queue, nothing, _options(queue, concurrency, stop_when_empty=True), SystemClock())
    began = time.perf_counter()
    await worker.run()
    seconds = time.perf_counter() - began
    if ran != jobs:
        raise RuntimeError(f"{jobs} jobs were pushed and {ran} ran")
    return jobs / seconds


async def pick_up(
    queue: Queue, made: list[Job], *, jobs: int, payload: int, concurrency: int
) -> tuple[list[float], list[float]]:
    """Push jobs one by one while a worker idles: seconds of each push, and from there to the beginning of each run."""
    begun: dict[str, float] = {}
    all_begun = asyncio.Event()

    async def note(turn: Turn) -> Performed:
        await turn.begin()
        begun[turn.job.id] = time.perf_counter()
        if len(begun) == jobs:
            all_begun.set()
        return Done()

    pushes: list[float] = []
    durable: dict[str, float] = {}
    async with _idle_worker(queue, note, concurrency):
        for _ in range(jobs):
            await asyncio.sleep(PAUSE)
            job = make(queue, payload)
            made.append(job)
            before = time.perf_counter()
            await queue.ledger.create_many([job])
            durable[job.id] = time.perf_counter()
            pushes.append(durable[job.id] - before)
            await queue.announce(job)
        async with asyncio.timeout(60):
            await all_begun.wait()
    # A worker that looked by itself at that very moment can have been quicker than the answer to the push.
    return pushes, [max(0.0, begun[name] - moment) for name, moment in durable.items()]


@contextlib.asynccontextmanager
async def _idle_worker(queue: Queue, perform: Perform, concurrency: int) -> AsyncIterator[None]:
    worker = Worker(queue, perform, _options(queue, concurrency), SystemClock())
    running = asyncio.create_task(worker.run())
    try:
        yield
        worker.drain()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _options(queue: Queue, concurrency: int, *, stop_when_empty: bool = False) -> WorkerOptions:
    return WorkerOptions(
        name=QUEUE,
        connection=queue.connections.find(None).name,
        queues=(QUEUE,),
        concurrency=concurrency,
        stop_when_empty=stop_when_empty,
    )


async def forget(queue: Queue, made: Sequence[Job]) -> None:
    """Leave nothing behind, whatever became of the jobs."""
    ids = [job.id for job in made]
    for first in range(0, len(ids), _FORGOTTEN_AT_ONCE):
        some = ids[first : first + _FORGOTTEN_AT_ONCE]
        await queue.ledger.cancel(some)
        await queue.ledger.forget(some)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* in a hundred do not pass; *values* is not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _milliseconds(seconds: Sequence[float], percent: float) -> float:
    return round(percentile(seconds, percent) * 1000, 2)
