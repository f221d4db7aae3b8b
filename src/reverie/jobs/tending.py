"""What every worker does beside its jobs: hear operators, take back what others lost, clear away what is old."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

import structlog

from reverie.clock import Clock
from reverie.errors import QueueUnavailable
from reverie.jobs.queue import Queue
from reverie.jobs.work import WorkerOptions

TEND_EVERY: Final = 2.0
"""Seconds; with the worker's own looks that makes fewer than two statements a second where nothing is to do."""
PURGE_EVERY: Final = 60.0

log = structlog.get_logger()


async def tend(
    queue: Queue,
    options: WorkerOptions,
    clock: Clock,
    *,
    on_freed: Callable[[], None],
    heed: Callable[[], Awaitable[None]],
) -> None:
    """Go on for ever. A store that is away is tried again.

    Args:
        on_freed: called when jobs were taken back.
        heed: looks for what operators say.
    """
    purge_at = clock.monotonic() + random.uniform(0.1, 1) * PURGE_EVERY
    while True:
        await clock.sleep(TEND_EVERY)
        await heed()
        with contextlib.suppress(QueueUnavailable):
            swept = await queue.take_back(max_crashes=options.max_crashes)
            if swept.released or swept.crashed or swept.failed:
                log.warning("job.taken_back", **asdict(swept))
                on_freed()
            if clock.monotonic() >= purge_at:
                purge_at = clock.monotonic() + PURGE_EVERY
                while await queue.purge(options.retention):
                    pass
