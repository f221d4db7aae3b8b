"""What the doctor finds, and what it says to do: on a real store in a folder of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.unit.jobs.scene import MovingClock, draft, push

from reverie.database import Connection
from reverie.jobs.connections import Connections
from reverie.jobs.desk import Desk
from reverie.jobs.doctor import examine
from reverie.jobs.finding import Finding
from reverie.jobs.ledger import WorkerRecord
from reverie.jobs.ledgers import sqlite_examine
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.payload import Packed, about_of, pack
from reverie.jobs.queue import Queue
from reverie.jobs.settle import failed
from reverie.jobs.signals import Signals
from reverie.jobs.transports.database import DatabaseTransport
from reverie.model import Caller
from reverie.sealing import Sealer
from reverie.sqlite import SqliteDatabase
from reverie.store.key_mark import mark_key, shares_key
from reverie.store.keys import reseal
from reverie.store.migrate import migrate
from reverie.store.store import Store
from reverie.store.tables import event_script

pytestmark = pytest.mark.anyio


class HostClock(MovingClock):
    """A moving clock that begins with the host's own time, so that the store is not apart from it."""

    def __init__(self) -> None:
        with sqlite3.connect(":memory:") as connection:
            [(moment,)] = connection.execute("SELECT (julianday('now') - 2440587.5) * 86400.0")
        connection.close()
        super().__init__(moment)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    migrate(tmp_path / "store.db")
    clock = HostClock()
    database = SqliteDatabase(tmp_path / "store.db", synchronous="NORMAL")
    store = Store(database, Sealer("s" * 32), clock)
    transport = DatabaseTransport(database, tmp_path / "wake")
    queue = Queue(SqliteLedger(database, clock), transport, Connections(), clock)
    try:
        yield Desk(queue=queue, signals=Signals(store, clock), store=store, clock=clock)
    finally:
        await queue.close()
        await database.close()


async def wrong(desk: Desk) -> dict[str, Finding]:
    """What is not well, by subject, on a store with a worker and with the one warning that NORMAL gives left out."""
    return {one.subject: one for one in await examine(desk) if one.level != "ok" and one.subject != "synchronous"}


async def with_worker(desk: Desk) -> Desk:
    await desk.queue.ledger.register(WorkerRecord(name="w", host="h", process=1))
    return desk


async def run_sql(desk: Desk, sql: str, *values: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(sql, values)

    await desk.store.database.write(work)


async def test_a_well_queue_is_well(desk: Desk) -> None:
    assert await wrong(await with_worker(desk)) == {}


async def test_synchronous_normal_is_said_to_give_something_up(desk: Desk) -> None:
    [finding] = [one for one in await examine(desk) if one.subject == "synchronous"]

    assert finding.level == "warning"
    assert "before a power failure may be lost" in finding.message


async def test_a_clock_that_is_apart_is_found(desk: Desk) -> None:
    assert isinstance(desk.clock, MovingClock)
    desk.clock.drift = 5
    assert (await wrong(await with_worker(desk)))["clock"].level == "warning"
    desk.clock.drift = 500
    assert (await wrong(desk))["clock"].level == "error"


async def test_a_silent_worker_and_none_at_all_are_found(desk: Desk) -> None:
    assert "No worker is there" in (await wrong(desk))["workers"].message
    await with_worker(desk)
    assert isinstance(desk.clock, MovingClock)
    desk.clock.move(61)

    found = [one.message for one in await examine(desk) if one.subject == "workers"]

    assert found[0].startswith("w on h was not seen for 61 s.")


async def test_a_queue_that_nobody_serves_and_one_that_is_paused_are_found(desk: Desk) -> None:
    await push(desk.queue, draft(queue="slow"))
    assert "no worker serves it" in (await wrong(desk))["queue database:slow"].message
    await with_worker(desk)
    await desk.queue.pause("database", "slow")

    assert "`reverie queue resume database:slow`" in (await wrong(desk))["queue database:slow"].message


async def test_maintenance_mode_is_found(desk: Desk) -> None:
    await desk.signals.set_maintenance(True)

    assert "`reverie maintenance off`" in (await wrong(await with_worker(desk)))["maintenance"].message


async def test_many_failures_are_found_and_few_among_many_are_not(desk: Desk) -> None:
    await with_worker(desk)
    for number in range(60):
        await push(desk.queue, draft(str(number)))
    jobs = await desk.queue.claim(worker="w", limit=60)
    for job in jobs[:50]:
        await desk.queue.finish(job)
    for job in jobs[50:]:
        await desk.queue.settle(failed(job, {"message": "no"}))
    assert await wrong(desk) == {}

    for number in range(10):
        await push(desk.queue, draft(str(number)))
    for job in await desk.queue.claim(worker="w", limit=10):
        await desk.queue.settle(failed(job, {"message": "no"}))

    assert "20 of 70 jobs failed" in (await wrong(desk))["queue database:default"].message


async def test_jobs_sealed_under_another_key_are_found(desk: Desk) -> None:
    await with_worker(desk)
    packed = Packed(event={}, caller=Caller())
    about = about_of("script.service", "service:7")
    await push(desk.queue, draft(payload=pack(packed, desk.store.sealer, about=about)))
    assert await wrong(desk) == {}

    other = await push(desk.queue, draft(payload=pack(packed, Sealer("o" * 32), about=about)))

    message = (await wrong(desk))["payloads"].message
    assert message.startswith(f"1 of the 2 newest waiting jobs cannot be opened, such as {other.id}")


async def test_orphans_and_jobs_without_a_payload_are_found(desk: Desk) -> None:
    await with_worker(desk)
    await run_sql(desk, "INSERT INTO job_payload (job_id, payload) VALUES ('gone', x'00')")
    assert "1 payloads, 0 attempts, 0 results" in (await wrong(desk))["orphans"].message
    await push(desk.queue, draft())
    await run_sql(desk, "DELETE FROM job_payload")

    assert "1 waiting jobs have no payload" in (await wrong(desk))["orphans"].message


async def test_leases_that_nobody_takes_back_are_found(desk: Desk) -> None:
    await push(desk.queue, draft())
    await desk.queue.claim(worker="dead")
    assert isinstance(desk.clock, MovingClock)
    desk.clock.move(100)

    assert "1 jobs are held by workers that no longer renew" in (await wrong(desk))["leases"].message


async def test_retention_that_lags_behind_is_found(desk: Desk) -> None:
    await push(desk.queue, draft())
    [job] = await desk.queue.claim(worker="w")
    await desk.queue.finish(job)
    assert isinstance(desk.clock, MovingClock)
    desk.clock.move(8 * 86400)

    assert "done ones of more than 7 days" in (await wrong(desk))["retention"].message


async def test_a_connection_that_only_a_script_knows_is_found(desk: Desk) -> None:
    stamps = {"created_date": "2024-05-02", "last_modified_date": "2024-05-02"}
    name = "db._table.todo.post.queued"
    script = {"name": name, "lower_name": name, "type": "v8js", "is_active": True, "config": '{"connection": "nope"}'}

    async def work(connection: Connection) -> None:
        await desk.store.execute(insert(event_script).values(**script, **stamps), connection)

    await desk.store.write(work)

    found = (await wrong(await with_worker(desk)))["connection nope"]
    assert found.level == "error"
    assert name in found.message


@pytest.mark.parametrize(("default", "part"), [("sync", "inside the call"), ("null", "discards"), ("x", "[x]")])
async def test_a_default_connection_that_keeps_nothing_is_found(desk: Desk, default: str, part: str) -> None:
    queue = Queue(desk.queue.ledger, desk.queue.transport, Connections(default=default), desk.clock)

    assert part in (await wrong(await with_worker(replace(desk, queue=queue))))["default connection"].message


async def test_a_store_that_is_away_is_an_error_and_nothing_is_raised(desk: Desk) -> None:
    await run_sql(desk, "DROP TABLE job")

    findings = await examine(desk)

    assert [one.level for one in findings if one.subject == "store"] != []
    assert all(one.level == "error" for one in findings if one.subject == "store")


async def test_dead_workers_of_this_host_are_found(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "wake" / "w-dead.lock").touch()

    assert "1 of 1 workers have died" in (await wrong(await with_worker(desk)))["wake-ups"].message


def test_a_network_file_system_is_known_by_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nhost:/x /srv/far\\040away nfs4 rw 0 0\n/dev/b /srv/far ext4 rw 0 0\n")

    assert sqlite_examine.file_system_of(Path("/srv/far away/data/x.db"), mounts) == "nfs4"
    assert sqlite_examine.file_system_of(Path("/srv/far/x.db"), mounts) == "ext4"
    assert sqlite_examine.file_system_of(Path("/x"), tmp_path / "none") is None


async def test_a_large_log_and_a_full_disk_are_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await with_worker(desk)
    monkeypatch.setattr(sqlite_examine, "LARGEST_WAL", 10)
    monkeypatch.setattr(sqlite_examine, "LEAST_FREE", 2**60)
    found = await wrong(desk)
    assert (found["WAL size"].level, found["free disk"].level) == ("warning", "warning")

    monkeypatch.setattr(sqlite_examine, "ALMOST_FULL", 2**60)

    assert (await wrong(desk))["free disk"].level == "error"


async def test_a_host_with_another_secret_key_is_told_before_a_job_of_the_others_fails_there(desk: Desk) -> None:
    other = Store(desk.store.database, Sealer("t" * 32), desk.clock)
    assert await mark_key(desk.store)
    assert "can be opened here" in next(one.message for one in await examine(desk) if one.subject == "secret key")

    assert not await mark_key(other)
    found = await examine(replace(desk, store=other))
    assert [one.level for one in found if one.subject == "secret key"] == ["error"]
    assert "same REVERIE_SECRET_KEY" in next(one.message for one in found if one.subject == "secret key")

    await reseal(other)
    assert await shares_key(other), "whoever seals anew has said which key counts"
    assert not await shares_key(desk.store)


async def test_a_key_that_follows_another_becomes_the_one_that_everybody_must_know(desk: Desk) -> None:
    assert await mark_key(desk.store)
    rotated = Store(desk.store.database, Sealer("t" * 32, ["s" * 32]), desk.clock)

    assert await mark_key(rotated)
    assert not await shares_key(desk.store), "it seals under a key that is not known there"
