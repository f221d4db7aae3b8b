"""What operators say to a worker: restart, drain, maintenance mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from reverie.jobs.queue import Queue
from reverie.jobs.signals import LOOK_AT_LEAST, Signals
from reverie.jobs.work import Stop, WorkerOptions
from reverie.model import JobStatus
from reverie.worker import Worker
from tests.unit.jobs.scene import MovingClock, draft, push, signals_in, sqlite_queue, until
from tests.unit.jobs.scripts import Scripts, serve, serving, some, statuses

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def signals(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Signals]:
    async with signals_in(tmp_path, clock) as opened:
        yield opened


async def test_a_restart_ends_a_worker_after_its_current_job_however_long_that_takes(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await push(queue, draft("long"))
    await push(queue, draft("next"))
    scripts.gates["long"] = asyncio.Event()
    options = WorkerOptions(concurrency=1, grace=10, lease=1000)
    task = asyncio.create_task(serve(queue, scripts, clock, options, signals))
    await until(some(lambda: scripts.begun))

    await signals.restart()
    for _ in range(60):
        clock.move(2)
        await asyncio.sleep(0.005)
    assert not task.done()
    scripts.gates["long"].set()

    stop = await task
    assert (stop, stop.exit_code) == (Stop.RESTART, 0)
    assert await statuses(queue) == [JobStatus.WAITING, JobStatus.DONE]


async def test_a_restart_of_before_its_start_does_not_concern_a_worker(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await signals.restart()
    await push(queue, draft())

    assert await serve(queue, scripts, clock, WorkerOptions(stop_when_empty=True), signals) is Stop.EMPTY
    assert await statuses(queue) == [JobStatus.DONE]


async def test_a_listener_stays_when_workers_are_restarted(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    async with serving(queue, scripts, clock, WorkerOptions(listens=True, sleep=1), signals):
        await until(some(lambda: queue), clock)
        await signals.restart()
        for _ in range(20):
            clock.move(1)
            await asyncio.sleep(0.005)
        await push(queue, draft("after"))

        await until(some(lambda: scripts.ended == ["after"]), clock)


async def test_a_drained_worker_ends_what_it_runs_and_the_other_one_stays(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals, tmp_path: Path
) -> None:
    scripts.gates["long"] = asyncio.Event()
    drained = Worker(queue, scripts, WorkerOptions(concurrency=1), clock, signals=signals)
    task = asyncio.create_task(drained.run())
    await push(queue, draft("long"))
    await until(some(lambda: scripts.begun))
    async with (
        sqlite_queue(tmp_path, clock) as elsewhere,
        signals_in(tmp_path, clock) as told,
        serving(elsewhere, scripts, clock, WorkerOptions(concurrency=1), told) as other,
    ):
        await signals.drain([drained.name])
        await until(some(lambda: drained._obedience.orders.leave), clock, step=0.3)
        await push(queue, draft("next"))
        await until(some(lambda: "next" in scripts.ended), clock, step=0.01)
        assert not task.done()
        scripts.gates["long"].set()
        assert await task is Stop.DRAINED
        assert [one.name for one in await queue.ledger.workers()] == [other.name]

    assert await statuses(queue) == [JobStatus.DONE, JobStatus.DONE]
    assert await signals.told() == {}


async def test_in_maintenance_mode_nothing_is_taken_until_it_ends(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await signals.set_maintenance(True)
    async with serving(queue, scripts, clock, WorkerOptions(sleep=1), signals):
        await push(queue, draft())
        for _ in range(20):
            clock.move(1)
            await asyncio.sleep(0.005)
        assert scripts.begun == []
        assert await statuses(queue) == [JobStatus.WAITING]

        await signals.set_maintenance(False)

        await until(some(lambda: scripts.ended), clock)


async def test_force_works_in_maintenance_mode(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await signals.set_maintenance(True)
    await push(queue, draft())

    assert await serve(queue, scripts, clock, WorkerOptions(force=True, stop_when_empty=True), signals) is Stop.EMPTY
    assert await statuses(queue) == [JobStatus.DONE]


async def test_once_in_maintenance_mode_sleeps_and_ends_however_often_something_stirs(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await signals.set_maintenance(True)
    await push(queue, draft())
    task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(once=True, sleep=3), signals))
    await asyncio.sleep(0.1)
    for _ in range(4):
        assert not task.done()
        clock.move(0.7)
        await push(queue, draft("another"))
        await asyncio.sleep(0.02)
    clock.move(0.3)

    assert await task is Stop.ONCE
    assert scripts.begun == []


async def test_an_order_is_followed_at_once_when_it_is_announced(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals, tmp_path: Path
) -> None:
    task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(sleep=1000), signals))
    await until(some(lambda: queue.transport._own._name))  # type: ignore[attr-defined]  # it has joined
    clock.move(0.3)
    await signals.restart()
    async with sqlite_queue(tmp_path, clock) as elsewhere:
        await elsewhere.announce_to_all()

        assert await asyncio.wait_for(task, 2) is Stop.RESTART


async def test_an_order_is_heard_where_the_database_shows_no_change(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "changes", lambda: 0)
    for announced in (True, False):
        task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(sleep=1000), signals))
        await until(some(lambda: queue.transport._own._name))  # type: ignore[attr-defined]  # it has joined
        await asyncio.sleep(0.4)  # its own arrival has woken it once
        await signals.restart()
        await asyncio.sleep(0.4)  # the order wakes it too, sooner than it looks again
        if announced:
            clock.move(0.3)
            await queue.announce_to_all()
        else:
            # It looks when it tends, but only so often where nothing seems to change.
            for _ in range(3):
                clock.move(LOOK_AT_LEAST / 4)
                await asyncio.sleep(0.01)
            assert not task.done()
            for _ in range(2):
                clock.move(LOOK_AT_LEAST / 4)
                await asyncio.sleep(0.01)

        assert await asyncio.wait_for(task, 2) is Stop.RESTART


async def test_a_worker_stops_at_its_memory_limit_after_one_job(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    for number in range(3):
        await push(queue, draft(str(number)))

    assert await serve(queue, scripts, clock, WorkerOptions(concurrency=1, memory=1)) is Stop.MEMORY
    assert scripts.ended == ["0"]


async def test_a_listener_stops_at_its_memory_limit_only_after_a_job(
    queue: Queue, scripts: Scripts, clock: MovingClock
) -> None:
    task = asyncio.create_task(serve(queue, scripts, clock, WorkerOptions(listens=True, memory=1, sleep=1)))
    for _ in range(20):
        clock.move(1)
        await asyncio.sleep(0.005)
    assert not task.done()

    await push(queue, draft())

    assert await task is Stop.MEMORY


async def test_what_a_worker_runs_is_known_while_it_is_there(
    queue: Queue, scripts: Scripts, clock: MovingClock, signals: Signals
) -> None:
    await signals.arrive("dead-worker", ["php"])
    worker = Worker(queue, scripts, WorkerOptions(), clock, signals=signals, languages=["v8js", "python3"])
    task = asyncio.create_task(worker.run())
    await until(some(lambda: worker._keeper))

    assert await signals.languages() == {worker.name: {"v8js", "python3"}}
    worker.drain()
    await task
    assert await signals.languages() == {}


async def test_an_order_is_a_change_of_settings_so_every_process_hears_of_it_and_an_arrival_is_none(
    signals: Signals,
) -> None:
    store = signals._store

    async def moved_by(work: Awaitable[None]) -> int:
        before = await store.version()
        await work
        return await store.version() - before

    assert await moved_by(signals.set_maintenance(True)) == 1
    assert await moved_by(signals.restart()) == 1
    assert await moved_by(signals.drain(["one", "two"])) == 2
    assert await moved_by(signals.arrive("one", ["v8js"])) == 0
    assert await moved_by(signals.depart("one")) == 0
