"""What every worker does beside its jobs: take back what others lost, and clear away what is old."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import structlog

from reverie.clock import Clock
from reverie.errors import QueueUnavailable
from reverie.jobs.queue import Queue
from reverie.jobs.work import WorkerOptions

TEND_EVERY: Final = 1.25
"""Seconds; with the worker's own looks that makes fewer than two statements a second where nothing is to do."""
PURGE_EVERY: Final = 60.0

log = structlog.get_logger()


async def tend(queue: Queue, options: WorkerOptions, clock: Clock, *, on_freed: Callable[[], None]) -> None:
    """Go on for ever; *on_freed* is called when jobs were taken back. A store that is away is tried again."""
    purge_at = clock.monotonic() + random.uniform(0.1, 1) * PURGE_EVERY
    while True:
        await clock.sleep(TEND_EVERY)
        with contextlib.suppress(QueueUnavailable):
            swept = await queue.take_back(max_crashes=options.max_crashes)
            if swept.released or swept.crashed or swept.failed:
                log.warning("job.taken_back", **asdict(swept))
                on_freed()
            if clock.monotonic() >= purge_at:
                purge_at = clock.monotonic() + PURGE_EVERY
                while await queue.purge(options.retention):
                    pass
