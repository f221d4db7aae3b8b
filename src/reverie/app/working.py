"""The queue for the command line: a worker, or the queue alone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence

from reverie.app.building import build, open_store
from reverie.app.drivers import job_queue
from reverie.clock import Clock, SystemClock
from reverie.config import Settings
from reverie.errors import SettingsError
from reverie.jobs.desk import Desk
from reverie.jobs.guarding import guarding, unless_newer
from reverie.jobs.metrics import Meter, telling
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.jobs.work import Report, Stop, WorkerOptions
from reverie.platform import Platform
from reverie.store.guard import Guard
from reverie.store.migrate import newest
from reverie.worker import Worker


async def run_worker(settings: Settings, options: WorkerOptions, report: Callable[[Report], None]) -> int:
    """`work_until` something says stop; the exit code."""
    return (await work_until(settings, options, report)).exit_code


async def work_until(
    settings: Settings,
    options: WorkerOptions,
    report: Callable[[Report], None],
    *,
    stale: Callable[[], bool] | None = None,
) -> Stop:
    """Serve queues until the options, an operator or SIGTERM say stop; why it stopped.

    Args:
        stale: asked once a second whether the settings are others by now; then the worker ends after its jobs.

    Raises:
        SettingsError: the store is, or has become meanwhile, one that this program cannot use.
    """
    # As many children as jobs: a job that waited for a child would use up its time limit.
    async with build(settings, side_by_side=options.concurrency) as platform:
        meter = platform.queue.meter = Meter(platform.clock)
        guard = Guard(platform.memory, newest())
        worker = Worker(
            platform.queue,
            unless_newer(platform.queued.perform, guard),
            options,
            platform.clock,
            on_report=meter.passing(report),
            signals=Signals(platform.store, platform.clock),
            languages=[name for name, engine in platform.runs.engines.items() if not engine.missing],
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, worker.drain)
        watching = asyncio.create_task(_retire_when(stale, worker, platform.clock)) if stale else None
        try:
            async with (
                guarding(guard, platform.clock, worker.drain),
                telling(meter, platform.store, worker.name, lambda: worker.turned_at),
            ):
                stop = await worker.run()
        finally:
            if watching is not None:
                watching.cancel()
        if guard.trouble:
            raise SettingsError([f"{settings.store}: {guard.trouble}"])
        return stop


async def _retire_when(stale: Callable[[], bool], worker: Worker, clock: Clock) -> None:
    while not stale():
        await clock.sleep(1)
    worker.retire()


@contextlib.asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The queue and what belongs to it, without what runs scripts or answers calls: for the command line.

    Raises:
        SettingsError: there is no store where the settings say, or it is of another version.
    """
    clock = SystemClock()
    async with open_store(settings, clock) as store:
        queue = job_queue(settings, store, clock)
        try:
            yield Desk(queue=queue, signals=Signals(store, clock), store=store, clock=clock)
        finally:
            await queue.close()


@contextlib.asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[Queue]:
    """The queue alone."""
    async with open_desk(settings) as desk:
        yield desk.queue


async def table_names(platform: Platform, service: str) -> Sequence[str]:
    """Names of the tables of a database service, in order."""
    found = await platform.registry.find(service)
    paths = await found.event_paths()
    for path in paths:
        names = (path.parameter or {}).get("table_name")
        if isinstance(names, list):
            return [str(name) for name in names]
    return []
