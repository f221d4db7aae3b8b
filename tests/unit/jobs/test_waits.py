"""How long a job will wait, told without making the one wait who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue

from reverie.errors import QueueUnavailable
from reverie.jobs.ledger import Rate
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished, lease_of
from reverie.jobs.waits import Waits
from reverie.sealing import Sealer
from reverie.store.store import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def waits(queue: Queue, clock: MovingClock) -> AsyncIterator[Waits]:
    database = queue.ledger._database  # type: ignore[attr-defined]  # the file that the store shares with it
    made = Waits(Store(database, Sealer("s" * 32), clock), queue.ledger, clock)
    yield made
    await made.close()


async def end(queue: Queue, clock: MovingClock, jobs: int, *, each: float) -> None:
    """Run jobs one after the other."""
    for _ in range(jobs):
        await push(queue, draft())
        [job] = await queue.claim(worker="a")
        await queue.start(job)
        clock.move(each)
        await queue.settle(finished(job))


async def looked(waits: Waits, clock: MovingClock) -> float:
    """The estimate once the figures are new."""
    clock.move(2)
    await waits.of("database", "default")
    if waits._look is not None:
        await waits._look
    return await waits.of("database", "default")


async def test_a_queue_without_jobs_lets_nobody_wait(waits: Waits) -> None:
    assert await waits.of("database", "default") == 0.0


async def test_it_is_what_is_ahead_over_the_speed_and_the_run_itself(
    waits: Waits, queue: Queue, clock: MovingClock
) -> None:
    await end(queue, clock, 12, each=2)
    for _ in range(5):
        await push(queue, draft())
    await push(queue, draft(delay=300))
    await push(queue, draft(queue="another"))

    assert await looked(waits, clock) == pytest.approx(5 * 2 + 2)


async def test_a_quick_queue_is_not_taken_for_a_slow_one_after_a_pause(
    waits: Waits, queue: Queue, clock: MovingClock
) -> None:
    await end(queue, clock, 3, each=0.01)
    clock.move(100)
    for _ in range(200):
        await push(queue, draft())

    assert await looked(waits, clock) == pytest.approx(200 * 0.01 + 0.01)


async def test_a_burst_is_measured_by_itself_and_not_spread_over_the_pause_before_it(
    waits: Waits, queue: Queue, clock: MovingClock
) -> None:
    clock.move(100)
    for _ in range(700):
        await push(queue, draft())
    for _ in range(6):
        jobs = await queue.claim(worker="a", limit=100)
        await queue.ledger.start_many([lease_of(job) for job in jobs])
        clock.move(0.6)
        await queue.ledger.settle_many([finished(job) for job in jobs])

    assert await looked(waits, clock) == pytest.approx(100 / (600 / 6) + 0.6)


async def test_without_a_job_that_ended_lately_a_minute_is_told_at_most(
    waits: Waits, queue: Queue, clock: MovingClock
) -> None:
    await push(queue, draft())
    assert await looked(waits, clock) == 1.0
    for _ in range(100):
        await push(queue, draft())
    assert await looked(waits, clock) == 60.0


async def test_the_figures_are_looked_up_once_a_second_whoever_asks(
    waits: Waits, queue: Queue, clock: MovingClock
) -> None:
    assert await looked(waits, clock) == 0.0
    await push(queue, draft())
    for _ in range(10):
        assert await waits.of("database", "default") == 0.0
    assert waits._look is None, "no look was begun within the second"
    assert await looked(waits, clock) == 1.0


async def test_who_asks_does_not_wait_for_a_slow_look_and_it_is_not_repeated_soon(
    waits: Waits, queue: Queue, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    go_on = asyncio.Event()
    rates = queue.ledger.rates

    async def slow_rates(*, since: float) -> list[Rate]:
        nonlocal looks
        looks += 1
        await go_on.wait()
        clock.move(3)
        return await rates(since=since)

    monkeypatch.setattr(queue.ledger, "rates", slow_rates)
    for _ in range(3):
        assert await waits.of("database", "default") == 0.0
    assert looks == 1
    go_on.set()
    assert waits._look is not None
    await waits._look
    clock.move(3 * 20 - 1)
    await waits.of("database", "default")
    assert waits._look is None, "a look of three seconds is not repeated within a minute"
    clock.move(2)
    await waits.of("database", "default")
    assert waits._look is not None


async def test_while_the_store_is_away_the_last_figures_are_told(
    waits: Waits, queue: Queue, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(queue, draft())
    assert await looked(waits, clock) == 1.0

    async def away(*, since: float) -> list[Rate]:
        raise QueueUnavailable("the queue cannot be reached")

    monkeypatch.setattr(queue.ledger, "rates", away)
    await push(queue, draft())
    assert await looked(waits, clock) == 1.0
