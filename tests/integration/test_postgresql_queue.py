"""The queue on PostgreSQL between hosts: wake-ups, clocks, many at once, old snapshots."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from reverie.clock import SystemClock
from reverie.database import Connection
from reverie.jobs.connections import Connections
from reverie.jobs.handover import Handover
from reverie.jobs.ledger import JobFilter, Lease
from reverie.jobs.ledgers import postgresql_health, postgresql_watermark
from reverie.jobs.ledgers.postgresql import PostgresqlLedger
from reverie.jobs.queue import Queue
from reverie.jobs.settle import finished, lease_of, released
from reverie.jobs.transports.postgresql import PostgresqlTransport
from reverie.postgresql.database import LOOK_DEAF, PostgresqlDatabase
from tests.integration.scene import hearing, one, opened
from tests.postgres import PostgresServer
from tests.unit.jobs.scene import draft, push

pytestmark = pytest.mark.anyio


# -- changes and wake-ups


async def test_a_change_of_settings_is_heard_by_other_processes(server: PostgresServer, name: str) -> None:
    here, there = PostgresqlDatabase(server.url(name)), PostgresqlDatabase(server.url(name))
    assert await here.read(one) == 1
    here.changes()
    await hearing(here)
    before = here.changes()

    async def change(connection: Connection) -> None:
        await connection.execute("UPDATE settings_version SET version = version + 1")

    await there.write(change)
    began = time.monotonic()
    while here._moves == before:
        assert time.monotonic() - began < LOOK_DEAF
        await asyncio.sleep(0.001)
    await here.close()
    await there.close()


async def test_without_notifications_changes_are_looked_for(server: PostgresServer, name: str) -> None:
    database = PostgresqlDatabase(server.url(name, pooler="transaction"))
    before = database.changes()
    await asyncio.sleep(LOOK_DEAF + 0.01)

    assert database.changes() != before
    await database.close()


async def test_a_worker_of_another_host_is_woken_and_again_after_its_connection_was_lost(
    server: PostgresServer, name: str, tmp_path: Path
) -> None:
    async with opened(server.url(name), tmp_path / "one") as one, opened(server.url(name), tmp_path / "two") as two:
        await two.transport.join("w")
        await hearing(two.ledger._database)  # type: ignore[attr-defined]  # the driver's own
        await asyncio.wait_for(two.transport.wait(), 5)

        for _ in range(2):
            waiting = asyncio.create_task(two.transport.wait())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await push(one, draft())
            await asyncio.wait_for(waiting, 2)

            await asyncio.to_thread(server.kill_backends, name)
            await asyncio.wait_for(two.transport.wait(), 5)  # it may have missed something


async def test_a_thousand_announcements_are_few_notifications(
    server: PostgresServer, name: str, tmp_path: Path
) -> None:
    heard = 0

    def count() -> None:
        nonlocal heard
        heard += 1

    listening = PostgresqlDatabase(server.url(name))
    await listening.read(one)
    listening.listen("reverie_queue", count)
    await hearing(listening)
    heard = 0
    async with opened(server.url(name), tmp_path) as queue:
        began = time.monotonic()
        for _ in range(1000):
            await queue.transport.announce("database", "default")
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        seconds = time.monotonic() - began

    assert 2 <= heard <= 2 + seconds * 20
    await listening.close()


# -- the server's clock


async def test_hosts_whose_clocks_differ_agree_on_what_is_due(
    server: PostgresServer, name: str, tmp_path: Path
) -> None:
    class Fast(SystemClock):
        def now(self) -> float:
            return super().now() + 3600

    database = PostgresqlDatabase(server.url(name))
    ahead = Queue(
        PostgresqlLedger(database, Fast()), PostgresqlTransport(database, tmp_path / "ahead"), Connections(), Fast()
    )
    async with opened(server.url(name), tmp_path) as queue:
        await push(ahead, draft("now"))
        await push(ahead, draft("later", delay=60))

        assert [job.name for job in await queue.claim(worker="a", limit=9)] == ["now"]
        [later] = await queue.ledger.find(JobFilter(queue="default"), limit=1)
        assert abs(later.due_at - time.time() - 60) < 5
        assert "clocks" in {one.subject for one in await ahead.ledger.examine() if one.level == "warning"}
    await ahead.close()
    await database.close()


# -- many at once


async def test_two_processes_never_claim_the_same_job(server: PostgresServer, name: str, tmp_path: Path) -> None:
    async with opened(server.url(name), tmp_path / "a") as a, opened(server.url(name), tmp_path / "b") as b:
        await a.ledger.create_many([a.make(draft(f"n{number}", priority=number % 3)) for number in range(400)])
        taken: list[Lease] = []

        async def take(queue: Queue, worker: str) -> None:
            while jobs := await queue.claim(worker=worker, limit=7):
                taken.extend(Lease(job.id, job.epoch) for job in jobs)

        await asyncio.gather(*(take(queue, f"w{at}") for at, queue in enumerate((a, b) * 4)))

    assert len(taken) == len({lease.job_id for lease in taken}) == 400


async def test_keys_that_come_at_once_make_one_job(server: PostgresServer, name: str, tmp_path: Path) -> None:
    async with opened(server.url(name), tmp_path / "a") as a, opened(server.url(name), tmp_path / "b") as b:
        jobs = [queue.make(draft()) for queue in (a, b) * 8]
        ledgers = [queue.ledger for queue in (a, b) * 8]

        kept = await asyncio.gather(
            *(
                ledger.create_once(job, key="k", digest="d", keep_for=60)
                for ledger, job in zip(ledgers, jobs, strict=True)
            )
        )

        [job] = await a.ledger.find(JobFilter())
        assert kept.count(None) == 1
        assert {known.job_id for known in kept if known is not None} == {job.id}


async def test_leases_are_renewed_while_runs_end_without_deadlock(
    server: PostgresServer, name: str, tmp_path: Path
) -> None:
    async with opened(server.url(name), tmp_path) as queue:
        await queue.ledger.create_many([queue.make(draft()) for _ in range(300)])
        jobs = await queue.claim(worker="a", limit=300)
        leases = [Lease(job.id, job.epoch) for job in jobs]

        results = await asyncio.gather(
            *(queue.ledger.extend_many("a", leases[::-1], lease=30) for _ in range(5)),
            *(queue.ledger.start_many(leases) for _ in range(5)),
        )

        assert not any(results)


async def test_a_held_snapshot_changes_neither_order_nor_number(
    server: PostgresServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if each look were slow: claims begin at their marks, and what lies before is found all the same."""
    monkeypatch.setattr(postgresql_watermark, "SLOW", 0.0)
    monkeypatch.setattr(postgresql_watermark, "REST", 1e6)
    monkeypatch.setattr(postgresql_watermark, "LONGEST_REST", 0.5)
    monkeypatch.setattr(postgresql_watermark, "MARGIN", 0.0)
    async with opened(server.url(name), tmp_path) as queue:
        await queue.ledger.create_many([queue.make(draft(f"n{number}")) for number in range(200)])
        first = await queue.claim(worker="a", limit=20)
        await queue.release(first[0])  # back to its old place, before the marks

        rest = [await queue.claim(worker="a", limit=20) for _ in range(8)]
        assert [job.name for jobs in rest for job in jobs] == [f"n{number}" for number in range(20, 180)]
        await asyncio.sleep(0.51)

        assert [job.name for job in await queue.claim(worker="a", limit=20)] == [
            "n0",
            *(f"n{at}" for at in range(180, 199)),
        ]
        assert [job.name for job in await queue.claim(worker="a", limit=20)] == ["n199"]


async def test_while_looks_are_slow_few_jobs_are_taken_and_ended_without_walking_past_what_is_dead(
    server: PostgresServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of the indexes, with 2,000 dead entries and more in each, is what the server has counted."""
    monkeypatch.setattr(postgresql_watermark, "SLOW", 0.0)
    monkeypatch.setattr(postgresql_watermark, "REST", 1e6)
    monkeypatch.setattr(postgresql_watermark, "LONGEST_REST", 60.0)
    holding = await asyncpg.connect(server.url(name))
    try:
        await holding.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holding.fetch("SELECT 1 FROM job")
        async with opened(server.url(name), tmp_path) as queue:
            await queue.ledger.create_many([queue.make(draft(f"n{number}")) for number in range(2000)])
            while jobs := await queue.claim(worker="a", limit=100):
                await queue.ledger.settle_many([finished(job) for job in jobs])
            await asyncio.sleep(postgresql_watermark.MARGIN)
            await _analyze(server.url(name))
            before = await _entries_read(queue, server.url(name))

            for number in range(20):
                await push(queue, draft(f"late {number}"))
                [job] = await queue.claim(worker="a", limit=8)
                assert job.name == f"late {number}"
                await queue.ledger.start_many([lease_of(job)])
                await queue.ledger.settle_many([finished(job)])
                assert await queue.claim(worker="a", limit=8) == []
                assert 0 < (await queue.ledger.next_due() or 0) <= 60
            await push(queue, draft("elsewhere", queue="elsewhere"))

            read = await _entries_read(queue, server.url(name)) - before
            assert read < 10_000, "walking past what is dead would be more than 80,000"
            assert await queue.claim(worker="a", limit=8) == []
            assert [job.name for job in await queue.claim(worker="a", limit=8, thorough=True)] == ["elsewhere"]
    finally:
        await holding.close()


async def _analyze(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ANALYZE job")
    await connection.close()


async def _entries_read(queue: Queue, url: str) -> int:
    """Of the indexes of jobs so far. The server's processes tell what they did with their next statement, 1 s later."""
    await asyncio.sleep(1.1)
    await queue.ledger.workers()
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(
            "SELECT sum(idx_tup_read)::int FROM pg_stat_user_indexes WHERE relname = 'job'"
        )
        return found
    finally:
        await connection.close()


async def test_an_old_snapshot_and_what_else_is_wrong_is_found(
    server: PostgresServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_health, "LONGEST_SNAPSHOT", 0.0)
    monkeypatch.setattr(postgresql_health, "LEAST_ROOM", 1000)
    async with opened(server.url(name), tmp_path) as queue:
        holding = await asyncpg.connect(server.url(name), server_settings={"application_name": "nightly report"})
        transaction = holding.transaction(isolation="repeatable_read")
        await transaction.start()
        await holding.fetch("SELECT 1 FROM job")

        found = {one.subject: one for one in await queue.ledger.examine()}
        await holding.close()
        server.ask(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await asyncio.to_thread(server.kill_backends, name)
        later = {one.subject: one for one in await queue.ledger.examine()}

    assert found["oldest snapshot"].level == "warning"
    assert "nightly report" in found["oldest snapshot"].message
    assert found["connections"].level == "warning"
    assert [found[subject].level for subject in ("version", "writable", "durability", "autovacuum")] == ["ok"] * 4
    assert later["durability"].level == "warning"


async def test_a_server_that_is_away_is_found_to_be(tmp_path: Path) -> None:
    async with opened("postgresql://somebody:hidden@127.0.0.1:9/store", tmp_path) as queue:
        [found] = await queue.ledger.examine()

    assert found.level == "error"
    assert "127.0.0.1:9" in found.message
    assert "hidden" not in found.message


# -- answers that are lost


@pytest.mark.parametrize("away", [1, 2], ids=["once", "for longer than one more try"])
async def test_a_run_whose_end_is_stored_is_not_taken_for_lost_because_the_answer_was(
    server: PostgresServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    fetch = asyncpg.Connection.fetch
    cuts = away

    async def cutting(self: asyncpg.Connection, query: str, *values: object) -> object:
        nonlocal cuts
        rows = await fetch(self, query, *values)
        if cuts and "job_attempt" in query:
            cuts -= 1
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("cut after the commit")
        return rows

    async with opened(server.url(name), tmp_path) as queue:
        for _ in range(2):
            await push(queue, draft())
        done, freed = await queue.claim(worker="w", limit=2)
        handover = Handover(queue, SystemClock(), worker="w", pause=1.0)
        monkeypatch.setattr(asyncpg.Connection, "fetch", cutting)

        lost = await asyncio.gather(handover.settle(finished(done)), handover.settle(released(freed)))

        assert (list(lost), cuts) == ([False, False], 0)
        assert [one.outcome for one in await queue.ledger.attempts(done.id)] == ["done"]
        assert await queue.ledger.settle_many([finished(done)]) == [lease_of(done)], "who comes anew is too late"
