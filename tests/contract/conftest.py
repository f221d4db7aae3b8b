"""The queue, as every pair of ledger and transport: a new pair is one line in `PAIRS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from reverie.jobs.queue import Queue
from reverie.model import Job
from tests.redis_server import postgresql_redis_queue, sqlite_redis_queue
from tests.unit.jobs.scene import MovingClock, postgresql_queue, sqlite_queue

Opener = Callable[[Path, MovingClock], AbstractAsyncContextManager[Queue]]

PAIRS: dict[str, Opener] = {
    "sqlite+database": sqlite_queue,
    "sqlite+redis": sqlite_redis_queue,
    "postgresql+database": postgresql_queue,
    "postgresql+redis": postgresql_redis_queue,
}


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(params=PAIRS)
def opener(request: pytest.FixtureRequest) -> Opener:
    name: str = request.param
    return PAIRS[name]


@pytest.fixture
async def queue(opener: Opener, tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with opener(tmp_path, clock) as opened:
        yield opened


async def take(queue: Queue, limit: int = 10, *queues: str, worker: str = "a") -> list[Job]:
    return await queue.claim(worker=worker, limit=limit, queues=queues or None)


async def take_one(queue: Queue, worker: str = "a") -> Job:
    [job] = await take(queue, 1, worker=worker)
    return job


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]
