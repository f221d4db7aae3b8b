"""Waiting for jobs: who is woken, when, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from tests.unit.jobs.scene import NOON, MovingClock, draft, push

from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.connections import Connections
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Queue
from reverie.jobs.transports.database import DatabaseTransport
from reverie.jobs.watching import ASK_EVERY, LOOK_ANYWAY, LOOK_EVERY, JobWatch
from reverie.model import Job, JobStatus
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class CountingLedger(SqliteLedger):
    """Counts the looks, and can be away."""

    looks = 0
    away = False

    async def get_many(self, ids: Sequence[str]) -> list[Job]:
        self.looks += 1
        if self.away:
            raise QueueUnavailable("the queue cannot be reached")
        return await super().get_many(ids)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    migrate(tmp_path / "store.db")
    opened = SqliteDatabase(tmp_path / "store.db", synchronous="NORMAL")
    yield opened
    await opened.close()


@pytest.fixture
def ledger(database: SqliteDatabase, clock: MovingClock) -> CountingLedger:
    return CountingLedger(database, clock)


@pytest.fixture
async def queue(
    database: SqliteDatabase, ledger: CountingLedger, clock: MovingClock, tmp_path: Path
) -> AsyncIterator[Queue]:
    opened = Queue(ledger, DatabaseTransport(database, tmp_path / "wake"), Connections(), clock)
    yield opened
    await opened.close()


@pytest.fixture
async def watch(queue: Queue, database: SqliteDatabase, clock: MovingClock) -> AsyncIterator[JobWatch]:
    opened = JobWatch(queue, clock, database.changes)
    yield opened
    await opened.close()


async def turn() -> None:
    """Let everybody who can go on do so."""
    for _ in range(30):
        await asyncio.sleep(0)


async def begun(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """*work*, as far as it comes by itself."""
    task = asyncio.create_task(work)
    await turn()
    return task


async def pass_time(clock: MovingClock, seconds: float, step: float = ASK_EVERY) -> None:
    for _ in range(round(seconds / step)):
        clock.move(step)
        await turn()


async def taken(queue: Queue) -> Job:
    [job] = await queue.claim(worker="a")
    return job


# -- the end


async def test_who_waits_gets_the_job_within_one_question_after_its_end(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    await push(queue, draft())
    running = await taken(queue)
    waiting = await begun(watch.ended(running.id, 60))

    await queue.finish(running)
    await pass_time(clock, ASK_EVERY)

    job = waiting.result()
    assert job is not None
    assert (job.id, job.status) == (running.id, JobStatus.DONE)


async def test_a_job_that_has_ended_is_there_at_once(queue: Queue, watch: JobWatch, clock: MovingClock) -> None:
    pushed = await push(queue, draft())
    await queue.cancel([pushed.id])

    job = await watch.ended(pushed.id, 60)

    assert job is not None
    assert job.status is JobStatus.CANCELLED


async def test_when_the_time_is_over_nobody_waits_any_longer(queue: Queue, watch: JobWatch, clock: MovingClock) -> None:
    pushed = await push(queue, draft())
    waiting = await begun(watch.ended(pushed.id, 2.0))

    await pass_time(clock, 1.9, 0.1)
    assert not waiting.done()
    await pass_time(clock, 0.2, 0.1)

    assert waiting.result() is None


async def test_a_job_that_does_not_exist_cannot_be_waited_for(watch: JobWatch) -> None:
    with pytest.raises(NotFound, match="There is no job 'nope'"):
        await watch.ended("nope", 60)


async def test_a_job_that_is_deleted_meanwhile_is_not_waited_for_any_more(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    pushed = await push(queue, draft())
    waiting = await begun(watch.ended(pushed.id, 60))

    await queue.ledger.clear(pushed.connection, pushed.queue)
    await pass_time(clock, ASK_EVERY)

    with pytest.raises(NotFound):
        await waiting


async def test_who_is_cancelled_leaves_nothing_behind(
    queue: Queue, watch: JobWatch, ledger: CountingLedger, clock: MovingClock
) -> None:
    pushed = await push(queue, draft())
    waiting = await begun(watch.ended(pushed.id, 60))

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    looks = ledger.looks
    await pass_time(clock, 3, 0.1)

    assert ledger.looks == looks
    assert not watch.watched


# -- moves


async def test_each_move_of_a_job_is_told_and_its_end_is_the_last(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    pushed = await push(queue, draft(delay=5))

    async def follow() -> list[tuple[str, int]]:
        return [(str(job.status), job.priority) async for job in watch.moves(pushed.id)]

    following = await begun(follow())
    await queue.ledger.prioritise([pushed.id], 7)
    await pass_time(clock, ASK_EVERY)
    await pass_time(clock, 5 + LOOK_ANYWAY, 0.5)  # its time comes, which no change in the store tells
    running = await taken(queue)
    await pass_time(clock, ASK_EVERY)
    await queue.release(running)
    await pass_time(clock, ASK_EVERY)
    await queue.finish(await taken(queue))
    await pass_time(clock, ASK_EVERY)

    seen = await following
    assert seen == [("delayed", 0), ("delayed", 7), ("waiting", 7), ("running", 7), ("waiting", 7), ("done", 7)]


async def test_a_move_between_two_states_that_look_alike_is_told(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    await push(queue, draft())
    first = await taken(queue)
    waiting = await begun(watch.moved(first, 60))

    await queue.release(first)
    await taken(queue)
    await pass_time(clock, ASK_EVERY)

    assert waiting.result().epoch == 2


async def test_a_change_that_came_before_the_waiting_is_told_at_once(queue: Queue, watch: JobWatch) -> None:
    known = await push(queue, draft())
    await taken(queue)

    assert (await watch.moved(known, 60)).status is JobStatus.RUNNING


async def test_who_waits_for_a_move_in_vain_gets_back_what_he_knew(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    known = await push(queue, draft())
    waiting = await begun(watch.moved(known, 1.0))

    await pass_time(clock, 1.1, 0.1)

    assert waiting.result() is known


async def test_a_job_that_stays_as_it_is_comes_again_after_a_while(
    queue: Queue, watch: JobWatch, clock: MovingClock
) -> None:
    pushed = await push(queue, draft())

    async def follow() -> list[float]:
        return [clock.monotonic() - NOON async for _ in watch.moves(pushed.id, seconds=35, again=15)]

    following = await begun(follow())
    await pass_time(clock, 36, 0.5)

    assert following.result() == pytest.approx([0, 15, 30], abs=0.6)


# -- cost


async def test_many_who_wait_share_one_look(
    queue: Queue, watch: JobWatch, ledger: CountingLedger, clock: MovingClock
) -> None:
    jobs = [await push(queue, draft(f"n{number}")) for number in range(50)]
    waiting = [await begun(watch.ended(job.id, 60)) for job in jobs for _ in range(2)]
    await pass_time(clock, ASK_EVERY)
    looks = ledger.looks

    await queue.cancel([job.id for job in jobs])
    await pass_time(clock, ASK_EVERY)

    assert ledger.looks == looks + 1
    assert all(task.done() for task in waiting)


async def test_there_is_no_look_while_nothing_changes_but_one_a_second(
    queue: Queue, watch: JobWatch, ledger: CountingLedger, clock: MovingClock
) -> None:
    pushed = await push(queue, draft())
    waiting = await begun(watch.ended(pushed.id, 60))
    await pass_time(clock, ASK_EVERY)
    looks = ledger.looks

    await pass_time(clock, 10 * LOOK_ANYWAY)

    assert 8 <= ledger.looks - looks <= 10
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_store_that_cannot_tell_of_changes_is_looked_at_ten_times_a_second(
    queue: Queue, ledger: CountingLedger, clock: MovingClock
) -> None:
    watch = JobWatch(queue, clock)
    await push(queue, draft())
    running = await taken(queue)
    waiting = await begun(watch.ended(running.id, 60))
    looks = ledger.looks
    await pass_time(clock, 10, LOOK_EVERY)

    assert 95 <= ledger.looks - looks <= 101
    await queue.finish(running)
    await pass_time(clock, LOOK_EVERY, LOOK_EVERY)
    assert waiting.done()
    await watch.close()


# -- trouble


async def test_a_store_that_is_away_for_a_while_is_waited_for(
    queue: Queue, watch: JobWatch, ledger: CountingLedger, clock: MovingClock
) -> None:
    await push(queue, draft())
    running = await taken(queue)
    waiting = await begun(watch.ended(running.id, 60))

    ledger.away = True
    await pass_time(clock, 5, 0.1)
    assert not waiting.done()
    await queue.finish(running)
    ledger.away = False
    await pass_time(clock, LOOK_ANYWAY + 1, 0.1)

    job = waiting.result()
    assert job is not None
    assert job.status is JobStatus.DONE


async def test_a_store_that_is_away_at_the_beginning_is_said_to_be(
    queue: Queue, watch: JobWatch, ledger: CountingLedger
) -> None:
    pushed = await push(queue, draft())
    ledger.away = True

    with pytest.raises(QueueUnavailable):
        await watch.ended(pushed.id, 60)


async def test_stopping_lets_everybody_go_at_once(queue: Queue, watch: JobWatch) -> None:
    pushed = await push(queue, draft())
    waiting = await begun(watch.ended(pushed.id, 60))

    async def follow() -> list[Job]:
        return [job async for job in watch.moves(pushed.id)]

    following = await begun(follow())
    watch.stop()
    await turn()

    assert waiting.result() is None
    assert len(following.result()) == 1
    assert await watch.ended(pushed.id, 60) is None  # and nobody begins to wait any more
