"""A worker whose store is brought to a version that it does not know: it ends, and fails no job for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import Unavailable
from reverie.jobs.work import Perform, Performed, Turn
from reverie.store.guard import Guard

LOOK_EVERY: Final = 1.0

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def guarding(guard: Guard, clock: Clock, drain: Callable[[], None]) -> AsyncIterator[None]:
    """While the block runs, *drain* as soon as the store cannot be used any more."""
    task = asyncio.create_task(_keep_looking(guard, clock, drain))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_looking(guard: Guard, clock: Clock, drain: Callable[[], None]) -> None:
    while not (trouble := await guard.look()):
        await clock.sleep(LOOK_EVERY)
    log.error("store.newer", trouble=trouble)
    drain()


def unless_newer(perform: Perform, guard: Guard) -> Perform:
    """Have a job given back that could not be begun because the tables are others by now."""

    async def performed(turn: Turn) -> Performed:
        try:
            return await perform(turn)
        except DatabaseError as error:
            if trouble := await guard.look():
                raise Unavailable(trouble) from error
            raise

    return performed
