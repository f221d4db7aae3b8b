"""The store restarts, drops connections, is cut off, fills up, is large, is read for long: D5 to D7, D17, D18, D20."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from reverie.errors import QueueUnavailable
from reverie.jobs.ledger import JobFilter
from reverie.jobs.ledgers.sqlite_examine import LARGEST_WAL
from reverie.jobs.queue import Draft
from reverie.model import JobStatus
from reverie.sqlite import driver_module
from tests.chaos.checker import Accepted
from tests.chaos.effects import LOST
from tests.chaos.places import FILE, Place
from tests.chaos.proxy import proxy
from tests.chaos.scenarios import scenario
from tests.chaos.stage import MissingProgram, Stage

ON_POSTGRES: Final = ("postgresql+database", "postgresql+redis")
ON_SQLITE: Final = ("sqlite+database", "sqlite+redis")


@scenario("D5", "the store restarts", "refused within 2 s, 0 lost, resumed within 10 s, no exit", pairs=ON_POSTGRES)
async def d5(stage: Stage) -> None:
    postgres = stage.ground.postgres
    assert postgres is not None
    hosts = [await stage.host(concurrency=4), await stage.host(concurrency=4)]
    for away in (10.0, 60.0) if stage.full else (3.0,):
        load = asyncio.create_task(stage.offer(50, away + 10))
        await asyncio.sleep(3)
        await asyncio.to_thread(postgres.stop)
        await asyncio.sleep(away)
        await asyncio.to_thread(postgres.start)
        up = time.time()
        await stage.seen_after(up, "end", within=30)
        stage.figure(f"resumed after {away:g} s away", time.time() - up, most=10.0)
        refused = await load
        stage.figure("refused", len(refused), "n", least=1)
        stage.figure("slowest refusal", max(refused), most=2.5)
    stage.figure("drained", await stage.drained(stage.lease + 30))
    stage.figure("workers that live", sum(host.lives for host in hosts), "n", least=2)


@scenario("D6", "connections are killed, 2 a second", "0 lost, rate at least 95 %, nobody told", pairs=ON_POSTGRES)
async def d6(stage: Stage) -> None:
    postgres = stage.ground.postgres
    assert postgres is not None
    seconds = 300.0 if stage.full else 15.0
    hosts = [await stage.host(concurrency=4), await stage.host(concurrency=4)]
    killed = 0
    one = (
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
        " WHERE datname = $1 AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS victim"
    )
    load = asyncio.create_task(stage.offer(50, seconds))
    while not load.done():
        await asyncio.sleep(0.5)
        killed += (await asyncio.to_thread(postgres.ask, one, stage.ground.database))[0][0]
    refused = await load
    stage.figure("drained", await stage.drained(stage.lease + 30), most=5.0)
    stage.figure("connections killed", killed, "n", least=seconds)
    stage.figure("refused", len(refused), "n", most=0.05 * 50 * seconds)
    stage.figure("workers that live", sum(host.lives for host in hosts), "n", least=2)


@scenario("D7", "a worker is cut off from the store", "its late finish is refused, one finish each", pairs=ON_POSTGRES)
async def d7(stage: Stage) -> None:
    """Its script runs on behind the cut; another worker takes the job; then the cut heals."""
    postgres = stage.ground.postgres
    assert postgres is not None
    with proxy(postgres.port) as between:
        behind = stage.place.postgres.replace(f":{postgres.port}/", f":{between.port}/")
        assert behind != stage.place.postgres
        far = replace(stage.place, postgres=behind)
        cut_off = await stage.host("one", place=far, concurrency=2)
        ids = await stage.push(2, seconds=stage.lease * 1.5)
        await stage.begun(ids)
        between.set("blackhole")
        await stage.host("two", concurrency=2)
        await stage.begun(ids, times=2, within=stage.lease * 2 + 15)
        await asyncio.sleep(stage.lease * (1 if stage.full else 2))
        between.set("pass")
        await stage.until(lambda: len(stage.seen(LOST)) >= 2, stage.lease * 3 + 60, "the news of the lost leases")
        await stage.drained(stage.lease * 3 + 30)
        stage.figure("runs refused", len(stage.seen(LOST)), "n", least=2)
        stage.figure("workers that live", float(cut_off.lives), "n", least=1)


async def fill(stage: Stage, count: int, *, delay: float | None = None, status: JobStatus | None = None) -> None:
    """Many jobs of 1 KiB at once, past the promise list; they are not run to their end."""
    queue = stage.queue
    payload = os.urandom(1024)
    for first in range(0, count, 2000):
        draft = Draft(kind="script.service", script="service:1", name="ballast", payload=payload, delay=delay)
        jobs = [queue.make(replace(draft, queue="ballast")) for _ in range(min(2000, count - first))]
        if status is not None:
            jobs = [replace(job, status=status, finished_at=job.created_at) for job in jobs]
        await queue.ledger.create_many(jobs)


async def timed_claims(stage: Stage, count: int) -> list[float]:
    """Seconds of claims of one job each, which are given back."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        jobs = await stage.queue.claim(worker="probe", limit=1, connection="database", queues=["ballast"])
        took.append(time.monotonic() - began)
        for job in jobs:
            await stage.queue.release(job)
    return took


@scenario("D17", "a million wait, 100,000 are delayed, 10,000 failed", "claim p99 10 ms (SQLite), 25 ms (PostgreSQL)")
async def d17(stage: Stage) -> None:
    """Short: 100,000, 10,000 and 1,000. What must not depend on the backlog is measured before it and with it."""
    await fill(stage, 1000)
    before = await timed_claims(stage, 200)
    pushed_before = await timed_pushes(stage)
    await fill(stage, stage.count(1_000_000))
    await fill(stage, stage.count(100_000), delay=86400.0)
    await fill(stage, stage.count(10_000), status=JobStatus.FAILED)
    stage.figures_of("claim before", before)
    stage.figures_of("claim", await timed_claims(stage, 300), most=0.025 if stage.place.postgres else 0.010)
    stage.figure("push p50 before", statistics.median(pushed_before))
    stage.figure(
        "push p50", statistics.median(await timed_pushes(stage)), most=1.2 * statistics.median(pushed_before) + 0.001
    )
    for what in (JobFilter(), JobFilter(status=JobStatus.FAILED), JobFilter(status=JobStatus.DELAYED)):
        began = time.monotonic()
        assert len(await stage.queue.ledger.find(what, limit=100)) == 100
        stage.figure(f"list of {what.status or 'all'}", time.monotonic() - began, most=0.3)
    began = time.monotonic()
    await stage.host(queues=["default"], connection="database")
    stage.figure("worker's start, interpreter included", time.monotonic() - began, most=4.0)
    ids = list(stage.accepted)
    await stage.until(lambda: len(stage.seen("end")) >= len(ids), 60, "the end of the promised jobs")
    while await stage.queue.ledger.clear("database", "ballast"):
        pass
    await stage.queue.ledger.forget(
        [job.id for job in await stage.queue.ledger.find(JobFilter(status=JobStatus.FAILED), limit=20_000)]
    )


async def timed_pushes(stage: Stage) -> list[float]:
    took = []
    for _ in range(100):
        began = time.monotonic()
        await stage.push(1, seconds=0.0)
        took.append(time.monotonic() - began)
    return took


@scenario("D18", "somebody reads one old snapshot all the while", "rate at least 95 %; WAL at most 256 MB afterwards")
async def d18(stage: Stage) -> None:
    """Short: 20 s at 100 jobs a second; full: 15 minutes at 300.

    SQLite cannot begin its log anew while somebody reads an old part of it, so the log grows by 15 to 20 KB a job until
    the reader is gone. Then it must be cut; before, the doctor must warn.
    """
    seconds, rate = (900.0, 300.0) if stage.full else (20.0, 100.0)
    await stage.push(100)
    await stage.host(concurrency=8)
    await stage.drained()
    async with old_snapshot(stage.place):
        began = time.monotonic()
        refused = await stage.offer(rate, seconds, work=0.001)
        behind = await stage.drained(30)
        took = time.monotonic() - began
        stage.figure("rate", (len(stage.accepted) - 100) / took, "/s", least=0.95 * rate)
        stage.figure("behind at the end", behind, most=2.0)
        stage.figure("refused", len(refused), "n", most=0)
        grown = wal_size(stage.place)
        told = [one.level for one in await stage.queue.ledger.examine() if one.subject == "WAL size"]
    if not stage.place.postgres:
        stage.figure("WAL while it was read", grown, "MB")
        stage.figure("a large WAL without a warning", (grown * 1e6 > LARGEST_WAL) != ("warning" in told), "n", most=0)
        await stage.push(200, seconds=0.001)
        await stage.drained()
        stage.figure("WAL afterwards", wal_size(stage.place), "MB", most=256)


def wal_size(place: Place) -> float:
    """Megabytes of SQLite's log."""
    log = Path(place.folder) / f"{FILE}-wal"
    return 0.0 if place.postgres or not log.exists() else log.stat().st_size / 1e6


@contextlib.asynccontextmanager
async def old_snapshot(place: Place) -> AsyncIterator[None]:
    if place.postgres:
        connection = await asyncpg.connect(place.postgres)
        try:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await connection.fetch("SELECT count(*) FROM job")
            yield
        finally:
            await connection.close()
        return
    driver: Any = driver_module()
    reader = driver.connect(str(Path(place.folder) / FILE), isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job").fetchall()
        yield
    finally:
        reader.close()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; needs to be root."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise MissingProgram(f"a file system to be filled needs a root that may mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


SMALL: Final = 24
"""Megabytes of the disk that fills up."""
LEFT: Final = 3_000_000
"""Bytes left on it for jobs."""


@contextlib.contextmanager
def on_small_disk(stage: Stage) -> Iterator[tuple[Place, Path]]:
    """The stage's store there, and the disk; back where it was afterwards.

    Of PostgreSQL these are all tables and indexes. Its log stays: on a disk where that finds no room the server ends
    itself, and what then follows is D5.
    """
    with small_disk(stage.folder / "small", SMALL) as disk:
        postgres, database = stage.ground.postgres, stage.ground.database
        if postgres is None:
            shutil.copy(Path(stage.place.folder) / FILE, disk / FILE)
            yield replace(stage.place, folder=str(disk)), disk
            for name in (FILE, f"{FILE}-wal"):
                if (disk / name).exists():
                    shutil.copy(disk / name, Path(stage.place.folder) / name)
            return
        tables = disk / "tables"
        tables.mkdir()
        shutil.chown(tables, postgres.servant)
        postgres.ask(f"CREATE TABLESPACE small LOCATION '{tables}'")
        try:
            postgres.kill_backends(database)
            postgres.ask(f"ALTER DATABASE {database} SET TABLESPACE small")
            yield stage.place, disk
        finally:
            postgres.kill_backends(database)
            postgres.ask(f"ALTER DATABASE {database} SET TABLESPACE pg_default")
            postgres.ask("DROP TABLESPACE small")


def is_damaged(place: Place) -> bool:
    if not place.postgres:
        return place.rows("PRAGMA integrity_check") != [("ok",)]
    place.rows("CREATE EXTENSION IF NOT EXISTS amcheck")
    tables = "('job'::regclass, 'job_payload'::regclass)"
    look = f"SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid IN {tables}"
    try:
        place.rows(look)
    except asyncpg.PostgresError:
        return True
    return False


@scenario("D20", "the disk is full", "refused, nothing damaged, goes on without a restart")
async def d20(stage: Stage) -> None:
    """A store on a file system of 24 MB. It cannot be made read-only: the kernel refuses that under open files, and
    what SQLite meets then is what it meets on a full disk, a write that fails."""
    with on_small_disk(stage) as (place, disk):
        host = await stage.host(place=place)
        async with place.open() as queue:
            big = Draft(kind="script.service", script="service:1", name="x", payload=os.urandom(500_000), queue="x")
            small = replace(big, payload=json.dumps({"seconds": 0.0}).encode(), queue=None)

            async def accepted() -> None:
                job = await queue.push(small)
                assert job is not None
                stage.accepted[job.id] = Accepted(key=job.id)

            await accepted()
            await queue.pause("database", "x")
            filler = disk / "filler"
            filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - LEFT)))
            refusals = 0
            for _ in range(60):
                try:
                    await queue.push(big)
                except QueueUnavailable:
                    refusals += 1
                with contextlib.suppress(QueueUnavailable):
                    await accepted()
            filler.unlink()
            while await queue.ledger.clear("database", "x"):
                pass
            await accepted()
            await stage.begun(list(stage.accepted))
            await asyncio.sleep(0.5)
        host.signal(signal.SIGTERM)
        await host.process.wait()
        stage.figure("refused on a full disk", refusals, "n", least=10)
        stage.figure("damaged", float(await asyncio.to_thread(is_damaged, place)), "n", most=0)
