"""What a worker tells the ledger of a beginning: as little as does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue, until

from reverie.errors import QueueUnavailable
from reverie.jobs.handover import NOTE_AFTER, Handover
from reverie.jobs.ledger import Lease
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished, lease_of, released
from reverie.model import Job
from reverie.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


class Listening(SqliteLedger):
    """Remembers which beginnings it was told of; away as often as `away` says."""

    def __init__(self, database: SqliteDatabase, clock: MovingClock) -> None:
        super().__init__(database, clock)
        self.told: list[Lease] = []
        self.away = 0

    async def start_many(self, leases: Sequence[Lease]) -> list[Lease]:
        if self.away:
            self.away -= 1
            raise QueueUnavailable("away")
        self.told += leases
        return await super().start_many(leases)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        assert isinstance(opened.ledger, SqliteLedger)
        database = opened.ledger._database
        assert isinstance(database, SqliteDatabase)
        opened.ledger = Listening(database, clock)
        yield opened


@pytest.fixture
def lost() -> list[Lease]:
    return []


@pytest.fixture
async def handover(queue: Queue, clock: MovingClock, lost: list[Lease]) -> AsyncIterator[Handover]:
    made = Handover(queue, clock, worker="a", pause=1.0, on_lost=lost.append)
    yield made
    await made.close()


def told(queue: Queue) -> list[Lease]:
    assert isinstance(queue.ledger, Listening)
    return queue.ledger.told


async def claim(queue: Queue, jobs: int = 1) -> list[Job]:
    for _ in range(jobs):
        await push(queue, draft())
    return await queue.claim(worker="a", limit=jobs)


async def test_a_run_that_goes_on_is_noted_beside_it(queue: Queue, handover: Handover, clock: MovingClock) -> None:
    jobs = await claim(queue, 3)
    for job in jobs:
        handover.note(lease_of(job))

    await until(lambda: _said(len(told(queue)) == 3))
    clock.move(2)

    assert told(queue) == [lease_of(job) for job in jobs]
    assert not await handover.settle(finished(jobs[0]))
    [attempt] = await queue.ledger.attempts(jobs[0].id)
    assert (attempt.started_at, attempt.ended_at) == (clock.now() - 2, clock.now())


async def _said(yes: bool) -> bool:
    return yes


async def test_a_run_that_ends_at_once_is_told_in_one_piece(
    queue: Queue, handover: Handover, clock: MovingClock
) -> None:
    [job] = await claim(queue)
    handover.note(lease_of(job))
    clock.move(0.5)
    await asyncio.sleep(NOTE_AFTER / 5)  # some turns of the loop: the script was that quick

    assert not await handover.settle(finished(job))

    assert told(queue) == []
    [attempt] = await queue.ledger.attempts(job.id)
    assert (attempt.outcome, attempt.started_at, attempt.ended_at) == ("done", clock.now() - 0.5, clock.now())


async def test_a_run_that_is_given_back_at_once_has_begun_all_the_same(queue: Queue, handover: Handover) -> None:
    [job] = await claim(queue)
    handover.note(lease_of(job))

    await handover.settle(released(job))

    assert told(queue) == []
    assert [attempt.outcome for attempt in await queue.ledger.attempts(job.id)] == ["released"]


async def test_whoever_lost_a_job_is_told_so(queue: Queue, handover: Handover, lost: list[Lease]) -> None:
    mine, cancelled = await claim(queue, 2)
    await queue.cancel([cancelled.id])
    for job in (mine, cancelled):
        handover.note(lease_of(job))

    await until(lambda: _said(bool(lost)))

    assert lost == [lease_of(cancelled)]


async def test_a_note_waits_for_a_store_that_is_away(queue: Queue, handover: Handover, clock: MovingClock) -> None:
    [job] = await claim(queue)
    assert isinstance(queue.ledger, Listening)
    queue.ledger.away = 2
    handover.note(lease_of(job))

    await until(lambda: _said(bool(told(queue))), clock)

    assert told(queue) == [lease_of(job)]


async def test_nothing_is_noted_after_the_end(queue: Queue, handover: Handover) -> None:
    [job] = await claim(queue)
    handover.note(lease_of(job))

    await handover.close()
    await asyncio.sleep(0)

    assert told(queue) == []
