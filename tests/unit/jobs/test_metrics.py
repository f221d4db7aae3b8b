"""What workers count, and how it becomes sums that outlive them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue, until
from tests.unit.jobs.scripts import Scripts

from reverie.database import DatabaseBusy
from reverie.errors import ScriptCrashed
from reverie.jobs.ledger import Lease, Settlement, Swept
from reverie.jobs.measuring import Gauge
from reverie.jobs.metrics import MOST_SCRIPTS, OTHER, Meter, histogram, labels_of, telling
from reverie.jobs.queue import Queue
from reverie.jobs.work import Report, Step, WorkerOptions
from reverie.model import Job, JobStatus
from reverie.sealing import Sealer
from reverie.sqlite import SqliteDatabase
from reverie.store.store import Store
from reverie.store.tallies import add_sums, sums, turns
from reverie.worker import Worker

pytestmark = pytest.mark.anyio

SECRET = "s" * 32


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def store(tmp_path: Path, clock: MovingClock, queue: Queue) -> AsyncIterator[Store]:
    database = SqliteDatabase(tmp_path / "store.db", synchronous="NORMAL")
    yield Store(database, Sealer(SECRET), clock)
    await database.close()


async def work(queue: Queue, store: Store, clock: MovingClock, scripts: Scripts, *, tries: int = 1) -> Worker:
    """One worker that counts, until nothing is left to do."""
    meter = queue.meter = Meter(clock)
    options = WorkerOptions(stop_when_empty=True, tries=tries, concurrency=1)
    worker = Worker(queue, scripts, options, clock, on_report=meter.passing(lambda report: None))
    async with telling(meter, store, worker.name, lambda: worker.turned_at):
        await asyncio.wait_for(worker.run(), 20)
    return worker


def of(found: dict[tuple[str, str], float], series: str) -> dict[str, float]:
    return {",".join(labels_of(place)): value for place, value in found.items() if place[0] == series}


async def test_the_sums_of_two_workers_outlive_both(queue: Queue, store: Store, clock: MovingClock) -> None:
    scripts = Scripts()
    scripts.errors["broken"] = ValueError("no")
    for name in ("fine", "fine", "broken", "skip me"):
        await push(queue, draft(name))
    clock.move(2)
    await work(queue, store, clock, scripts)
    await push(queue, draft("fine"))
    await work(queue, store, clock, scripts)

    found = await sums(store)

    assert of(found, "queue_attempts") == {"done": 3, "failed": 1, "skipped": 1}
    waits, total = histogram(of(found, "queue_wait_seconds"))
    assert (waits[-1], total) == (("+Inf", 5), 8.0)
    assert dict(waits)["1.0"] == 1
    runs = of(found, "queue_run_seconds")
    assert runs["fine,0"] == 3
    assert runs["broken,sum"] == 0
    assert sum(value for labels, value in of(found, "queue_claim_seconds").items() if labels != "sum") >= 2
    assert await turns(store) == {}


async def test_a_crash_is_counted_by_its_cause(queue: Queue, store: Store, clock: MovingClock) -> None:
    scripts = Scripts()
    scripts.errors["killed"] = ScriptCrashed("The script's process was killed by signal 9 (Killed).")
    await push(queue, draft("killed"))
    await work(queue, store, clock, scripts)

    assert of(await sums(store), "queue_crashes") == {"signal_9": 1}
    assert of(await sums(store), "queue_attempts") == {"crashed": 1}


def test_jobs_taken_back_from_dead_workers_are_crashes_too(clock: MovingClock) -> None:
    meter = Meter(clock)

    meter.swept(Swept(released=5, crashed=2, failed=1))
    meter.swept(Swept())

    assert meter.take() == {("queue_crashes", '["worker"]'): 3}
    assert not meter.changed


def test_a_lost_lease_and_a_result_that_came_too_late_are_told_apart(clock: MovingClock) -> None:
    meter = Meter(clock)
    job = Job(id="j", kind="k", script="s", name="n", connection="c", queue="q")
    late = Settlement(lease=Lease("j", 0), status=JobStatus.DONE, outcome="done")

    meter.report(Report(step=Step.LOST, job=job, seconds=1.0))
    meter.report(Report(step=Step.LOST, job=job, seconds=1.0, settlement=late))

    changes = meter.take()
    assert changes["queue_lost_lease", "[]"] == changes["queue_stale_finish_rejected", "[]"] == 1
    assert changes["queue_attempts", '["lost"]'] == 2


def test_scripts_beyond_the_limit_are_counted_together_also_those_of_other_workers(clock: MovingClock) -> None:
    meter = Meter(clock)
    meter.know({("queue_run_seconds", f'["known{number}","0"]'): 1.0 for number in range(MOST_SCRIPTS - 1)})

    for name in ("known7", "new", "one too many", "another"):
        job = Job(id=name, kind="k", script="s", name=name, connection="c", queue="q")
        meter.report(Report(step=Step.RUNNING, job=job, seconds=0.0))
        meter.report(Report(step=Step.DONE, job=job, seconds=0.0))

    assert of(meter.take(), "queue_run_seconds") == {
        **{f"{name},0": 1 for name in ("known7", "new")},
        **{f"{name},sum": 0 for name in ("known7", "new", OTHER)},
        f"{OTHER},0": 2,
    }


class AwayDatabase(SqliteDatabase):
    """A file that cannot be written while `away`."""

    away = False

    async def write(self, work, *, single=False):  # type: ignore[no-untyped-def]  # the signature is the base class's
        if self.away:
            raise DatabaseBusy("away")
        return await super().write(work, single=single)


async def test_what_could_not_be_told_is_told_when_the_store_is_back(
    queue: Queue, tmp_path: Path, clock: MovingClock
) -> None:
    database = AwayDatabase(tmp_path / "store.db", synchronous="NORMAL")
    store = Store(database, Sealer(SECRET), clock)
    meter = Meter(clock)

    async def told() -> bool:
        return of(await sums(store), "queue_claim_seconds") == {"7": 1, "sum": 0.5}

    async with telling(meter, store, "w", clock.monotonic):
        database.away = True
        meter.claimed(0.5)
        for _ in range(5):
            clock.move(1)
            await asyncio.sleep(0.02)
        assert meter.changed
        assert not await told()
        database.away = False
        await until(told, clock)
        assert not meter.changed

    assert await told()
    await database.close()


async def test_a_worker_says_when_it_went_round_and_is_forgotten_when_it_ends(
    queue: Queue, store: Store, clock: MovingClock
) -> None:
    await add_sums(store, {}, worker="killed long ago", turned_at=clock.now() - 90_000)
    went_round = clock.monotonic()

    async with telling(Meter(clock), store, "w", lambda: went_round):

        async def told() -> bool:
            return "w" in await turns(store)

        await until(told)
        clock.move(30)
        assert (await turns(store))["w"] == clock.now() - 30

    assert await turns(store) == {}


async def test_a_look_serves_all_who_ask_within_a_second(queue: Queue, store: Store, clock: MovingClock) -> None:
    gauge = Gauge(queue, store)
    before = await gauge.measure()
    await push(queue, draft())

    assert await gauge.measure() is before
    clock.move(1)
    after = await gauge.measure()

    assert before is not None
    assert after is not None
    assert (before.counts, [one.jobs for one in after.counts]) == ([], [1])
    assert after.store["wal_bytes"] > 0
