"""PostgreSQL's own business: connections that die, servers that are away, poolers, migrations."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from reverie.database import Connection, DatabaseBusy, Refusal
from reverie.errors import QueueUnavailable, SettingsError
from reverie.jobs.ledger import JobFilter
from reverie.postgresql.database import UNIT_LOCK, PostgresqlDatabase
from reverie.store.migrate import is_current, migrate, newest, version_of
from tests.acceptance.server import free_port, wait_for
from tests.integration.scene import one, opened
from tests.postgres import PostgresServer, postgres_server, shared_server
from tests.unit.jobs.scene import draft, push

pytestmark = pytest.mark.anyio


# -- connections that die


async def test_a_killed_connection_is_replaced_unseen(
    server: PostgresServer, name: str, database: PostgresqlDatabase
) -> None:
    async def add(connection: Connection) -> None:
        await connection.execute("INSERT INTO fact (name, value) VALUES ($1, $2)", (str(time.time()), "x"))

    for _ in range(3):
        assert await database.read(one) == 1
        assert await asyncio.to_thread(server.kill_backends, name) > 0
        await database.write(add)
        assert await asyncio.to_thread(server.kill_backends, name) > 0

    [row] = server.ask("SELECT count(*) FROM fact WHERE value = 'x'", database=name)
    assert row[0] == 3


async def test_pushing_while_connections_are_killed_loses_nothing_and_stores_nothing_twice(
    server: PostgresServer, name: str, tmp_path: Path
) -> None:
    enough = threading.Event()

    def kill() -> None:
        while not enough.wait(0.1):
            server.kill_backends(name)

    killer = threading.Thread(target=kill)
    killer.start()
    pushed = []
    async with opened(server.url(name), tmp_path) as queue:
        try:
            for number in range(300):
                with contextlib.suppress(QueueUnavailable):
                    pushed.append(await push(queue, draft(f"n{number}")))
        finally:
            enough.set()
            await asyncio.to_thread(killer.join)
        kept = {job.id for job in await queue.ledger.find(JobFilter(), limit=1000)}

    assert len(pushed) > 290
    assert {job.id for job in pushed} <= kept


async def test_a_unit_whose_connection_dies_on_the_way_is_not_run_again(
    server: PostgresServer, name: str, database: PostgresqlDatabase
) -> None:
    runs = 0

    async def work(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        await connection.execute("INSERT INTO fact (name, value) VALUES ('half', 'x')")
        await asyncio.to_thread(server.kill_backends, name)
        await connection.execute("INSERT INTO fact (name, value) VALUES ('whole', 'x')")

    with pytest.raises(DatabaseBusy):
        await database.write(work)

    assert runs == 1
    assert server.ask("SELECT 1 FROM fact WHERE name = 'half'", database=name) == []


async def test_a_failed_unit_leaves_nothing_and_its_connection_is_good(database: PostgresqlDatabase) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO fact (name, value) VALUES ('gone', 'x')")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)

    async def count(connection: Connection) -> object:
        return (await connection.fetch("SELECT count(*) FROM fact WHERE name = 'gone'"))[0][0]

    assert await database.read(count) == 0


async def test_units_of_work_follow_one_another(database: PostgresqlDatabase) -> None:
    """What one has read, no other changes before its commit, as on SQLite."""

    async def more(connection: Connection) -> None:
        [(version,)] = await connection.fetch("SELECT version FROM settings_version")
        assert isinstance(version, int)
        await asyncio.sleep(0.002)
        await connection.execute("UPDATE settings_version SET version = $1", (version + 1,))

    async def version(connection: Connection) -> int:
        return int(str((await connection.fetch("SELECT version FROM settings_version"))[0][0]))

    before = await database.read(version)
    await asyncio.gather(*(database.write(more) for _ in range(20)))

    assert await database.read(version) == before + 20


@pytest.mark.parametrize(
    ("sql", "kind", "detail"),
    [
        ("INSERT INTO role (name, created_date, last_modified_date) VALUES ('r', '', '')", "unique", "role.name"),
        ("INSERT INTO role (created_date, last_modified_date) VALUES ('', '')", "not_null", "role.name"),
        ("INSERT INTO session (jti, user_id, expires_at) VALUES ('j', 12345, 1)", "foreign_key", "session.user_id"),
        ("UPDATE role SET name = repeat('x', 65)", "type", ""),
    ],
)
async def test_refusals_look_like_those_of_sqlite(
    sql: str, kind: str, detail: str, database: PostgresqlDatabase
) -> None:
    async def add(connection: Connection) -> None:
        values = "('r', '', '')"
        await connection.execute(f"INSERT INTO role (name, created_date, last_modified_date) VALUES {values}")

    async def refused(connection: Connection) -> None:
        await connection.execute(sql)

    await database.write(add)
    with pytest.raises(Refusal) as caught:
        await database.write(refused)

    assert (caught.value.kind, caught.value.detail) == (kind, detail)


async def test_another_threads_loop_works_on_connections_of_this_object(
    database: PostgresqlDatabase, tmp_path: Path
) -> None:
    assert await database.read(one) == 1

    def elsewhere() -> object:
        return asyncio.run(database.read(one))

    assert await asyncio.to_thread(elsewhere) == 1
    assert await asyncio.to_thread(elsewhere) == 1


# -- servers that are away


async def test_who_pushes_is_told_within_two_seconds_and_the_rest_resumes(tmp_path: Path) -> None:
    with postgres_server() as server:
        async with opened(server.url(server.new_database()), tmp_path) as queue:
            await push(queue, draft("before"))
            await asyncio.to_thread(server.stop)
            began = time.monotonic()

            with pytest.raises(QueueUnavailable):
                await push(queue, draft("meanwhile"))

            assert time.monotonic() - began < 4  # 2 on a machine that has nothing else to do
            await asyncio.to_thread(server.start)
            await push(queue, draft("after"))
            assert [job.name for job in await queue.claim(worker="a", limit=9)] == ["before", "after"]


async def test_a_frozen_server_is_told_from_a_slow_one(tmp_path: Path) -> None:
    with postgres_server() as server:
        async with opened(server.url(server.new_database()), tmp_path) as queue:
            await push(queue, draft("before"))
            server.freeze(on=True)
            began = time.monotonic()
            try:
                with pytest.raises(QueueUnavailable):
                    await push(queue, draft("meanwhile"))
                assert time.monotonic() - began < 4
            finally:
                server.freeze(on=False)

            await push(queue, draft("after"))


async def test_units_of_work_fail_fast_while_the_server_is_frozen_or_somebody_holds_the_lock() -> None:
    with postgres_server() as server:
        name = server.new_database()
        database = PostgresqlDatabase(server.url(name))
        await database.write(one)
        holding = await asyncpg.connect(server.url(name))
        await holding.execute(f"BEGIN; SELECT pg_advisory_xact_lock({UNIT_LOCK})")
        for frozen in (False, True):
            server.freeze(on=frozen)
            began = time.monotonic()
            try:
                with pytest.raises(DatabaseBusy):
                    await database.write(one)
                assert time.monotonic() - began < 4
            finally:
                server.freeze(on=False)

        await holding.close()
        assert await database.write(one) == 1
        await database.close()


async def test_a_server_that_only_reads_counts_as_away(server: PostgresServer, name: str, tmp_path: Path) -> None:
    async with opened(server.url(name), tmp_path) as queue:
        await push(queue, draft("before"))
        server.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await asyncio.to_thread(server.kill_backends, name)

        with pytest.raises(QueueUnavailable):
            await push(queue, draft("refused"))
        found = {finding.subject: finding.level for finding in await queue.ledger.examine()}
        assert found["writable"] == "error"

        server.ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await asyncio.to_thread(server.kill_backends, name)
        await push(queue, draft("after"))


async def test_a_full_server_counts_as_away(tmp_path: Path) -> None:
    with postgres_server(max_connections="6", superuser_reserved_connections="0") as server:
        name = server.new_database()
        others = [PostgresqlDatabase(server.url("postgres"), size=1) for _ in range(6)]
        with contextlib.suppress(DatabaseBusy):
            for other in others:
                await other.read(one)
        async with opened(server.url(name), tmp_path) as queue:
            with pytest.raises(QueueUnavailable):
                await push(queue, draft())
            for other in others:
                await other.close()
            await push(queue, draft())


# -- migrations


def test_processes_that_start_together_migrate_once(server: PostgresServer) -> None:
    url = server.url(server.new_database(migrated=False))
    code = (
        "import sys; from reverie.store.migrate import migrate; import reverie.postgresql.script; sys.stdin.read(1);"
        " print(migrate(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]

    assert sorted(answers) == ["False", "False", "True"]
    assert is_current(url)


def test_a_migration_that_fails_leaves_the_store_as_it_was(server: PostgresServer) -> None:
    name = server.new_database(migrated=False)
    server.ask("CREATE TABLE job_key (key text)", database=name)  # in the way of a later migration

    with pytest.raises(SettingsError, match="job_key"):
        migrate(server.url(name))

    assert version_of(server.url(name)) is None
    assert server.ask("SELECT 1 FROM pg_tables WHERE tablename = 'job'", database=name) == []


def test_the_tables_are_those_of_the_newest_migration(server: PostgresServer, name: str) -> None:
    from reverie.store.tables import metadata

    rows = server.ask(
        "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
        database=name,
    )

    assert version_of(server.url(name)) == newest()
    assert {tuple(row) for row in rows} == {
        (table.name, column.name, column.nullable) for table in metadata.tables.values() for column in table.columns
    }


# -- poolers


async def test_the_queue_works_behind_a_transaction_pooler(tmp_path: Path) -> None:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    server = shared_server()
    name = server.new_database()
    with _pgbouncer(program, server) as port:
        url = f"postgresql://reverie@127.0.0.1:{port}/{name}?sslmode=disable"
        for address in (f"{url}&pooler=transaction", url):  # the second finds out by itself
            async with opened(address, tmp_path / "queue") as queue:
                await asyncio.gather(*(push(queue, draft(f"n{number}")) for number in range(60)))
                taken = await queue.claim(worker="a", limit=100)
                assert len(taken) == 60
                await asyncio.gather(*(queue.finish(job) for job in taken))
    server.drop(name)


@contextlib.contextmanager
def _pgbouncer(program: str, server: PostgresServer) -> Iterator[int]:
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="reverie-pooler-"))
    folder.chmod(0o755)
    (folder / "users").write_text('"reverie" ""\n')
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = trust\nauth_file = {folder / 'users'}\npool_mode = transaction\n"
        "default_pool_size = 3\nunix_socket_dir =\n"
    )
    servant = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([program, "-q", str(folder / "pooler.ini")], user=servant, cwd=folder)
    try:
        wait_for(lambda: _answers(port), 10)
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
