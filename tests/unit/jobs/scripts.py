"""Scripts that do as a test says, and a worker that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from reverie.clock import Clock
from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.jobs.work import Done, Skipped, Stop, Turn, WorkerOptions
from reverie.model import JobStatus
from reverie.worker import Worker


class Scripts:
    """Performs jobs by their names: an error to raise, an event to wait for, or nothing special."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.running: set[str] = set()
        self.crowds: list[set[str]] = []
        self.begins = True

    async def __call__(self, turn: Turn) -> Done | Skipped:
        name = turn.job.name
        if self.begins:
            await turn.begin()
        self.begun.append(name)
        self.running.add(name)
        self.crowds.append(set(self.running))
        try:
            await asyncio.sleep(0)
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.errors:
                raise self.errors[name]
        finally:
            self.running.discard(name)
        self.ended.append(name)
        return Skipped("its script is gone") if name == "skip me" else Done("hello")


@asynccontextmanager
async def serving(
    queue: Queue,
    scripts: Scripts,
    clock: Clock,
    options: WorkerOptions | None = None,
    signals: Signals | None = None,
) -> AsyncIterator[Worker]:
    worker = Worker(queue, scripts, options or WorkerOptions(sleep=1000), clock, signals=signals)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        for gate in scripts.gates.values():
            gate.set()
        await task


async def serve(
    queue: Queue, scripts: Scripts, clock: Clock, options: WorkerOptions, signals: Signals | None = None
) -> Stop:
    """Serve until an option or an order stops the worker."""
    return await asyncio.wait_for(Worker(queue, scripts, options, clock, signals=signals).run(), 20)


async def statuses(queue: Queue) -> list[JobStatus]:
    return [job.status for job in await queue.ledger.find(JobFilter())]


def some(where: Callable[[], object]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return bool(where())

    return holds
