"""One run of a job, within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from reverie.errors import ScriptTimeout
from reverie.jobs.work import Perform, Performed, Turn
from reverie.model import Job

BACKSTOP: Final = 5.0
"""Seconds after a script's time limit at which the worker gives up waiting for the engine to enforce it."""


async def perform_within(
    limit: float,
    perform: Perform,
    job: Job,
    *,
    alone: bool,
    mark: Callable[[], Awaitable[None]],
    holds: Callable[[], bool] = lambda: True,
) -> Performed:
    """Perform *job*, for at most *limit* seconds (0: for ever) and a little more from when its script begins.

    Args:
        mark: notes in the ledger that the script begins.
        holds: see `Turn`.

    Raises:
        ScriptTimeout: the engine did not keep the limit.
        Exception: whatever *perform* and *mark* raise.
    """
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(None)

    async def begin() -> None:
        await mark()
        if limit > 0:
            deadline.reschedule(loop.time() + limit + BACKSTOP)

    turn = Turn(job=job, attempt=job.attempts + 1, timeout=limit or None, alone=alone, begin=begin, holds=holds)
    try:
        async with deadline:
            return await perform(turn)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise ScriptTimeout(f"{job.name} has timed out after {limit:g} seconds.") from error
