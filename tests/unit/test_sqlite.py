"""One SQLite file: units of work, group commit, reads on the loop and beside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from reverie.database import Connection, DatabaseError, Refusal
from reverie.sqlite import SqliteDatabase, driver_module, engine_is_safe

pytestmark = pytest.mark.anyio
COUNT_FOR_LONG = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) SELECT count(*) FROM n"
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "file.sqlite")

    async def create(connection: Connection) -> None:
        await connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")

    await opened.write(create)
    yield opened
    await opened.close()


async def names(connection: Connection) -> list[object]:
    return [row[0] for row in await connection.fetch("SELECT name FROM item ORDER BY id")]


def test_the_engine_is_one_that_many_connections_may_write_with() -> None:
    assert engine_is_safe()


async def test_a_unit_that_fails_leaves_nothing_and_does_not_harm_its_neighbours(database: SqliteDatabase) -> None:
    async def add(connection: Connection, name: str) -> None:
        await connection.execute("INSERT INTO item (name) VALUES (?)", (name,))
        if name == "bad":
            await connection.execute("INSERT INTO item (name) VALUES (?)", (name,))

    wanted = ["a", "bad", "b", "c"]
    results = await asyncio.gather(
        *(database.write(lambda c, name=name: add(c, name)) for name in wanted),  # type: ignore[misc]
        return_exceptions=True,
    )

    assert [isinstance(result, Refusal) for result in results] == [False, True, False, False]
    assert await database.read(names) == ["a", "b", "c"]


async def test_a_reference_that_is_checked_at_the_commit_refuses_its_own_unit_alone(database: SqliteDatabase) -> None:
    async def create(connection: Connection) -> None:
        item = "item_id INTEGER REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED"
        await connection.execute(f"CREATE TABLE part (id INTEGER PRIMARY KEY, {item})")
        await connection.execute("INSERT INTO item (id, name) VALUES (1, 'a')")

    async def add(connection: Connection, item: int) -> int:
        return int(str((await connection.fetch("INSERT INTO part (item_id) VALUES (?) RETURNING id", (item,)))[0][0]))

    async def parts(connection: Connection) -> list[object]:
        return [row[0] for row in await connection.fetch("SELECT item_id FROM part")]

    await database.write(create)

    results = await asyncio.gather(
        *(database.write(lambda c, item=item: add(c, item)) for item in (1, 99, 1, 1)),  # type: ignore[misc]
        return_exceptions=True,
    )

    assert [isinstance(result, Refusal) for result in results] == [False, True, False, False]
    assert await database.read(parts) == [1, 1, 1]
    with pytest.raises(Refusal):
        await database.write(lambda c: add(c, 99))


async def test_a_savepoint_undoes_its_part_and_the_unit_goes_on(database: SqliteDatabase) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO item (name) VALUES ('kept')")
        with contextlib.suppress(Refusal):
            async with connection.savepoint():
                await connection.execute("INSERT INTO item (name) VALUES ('lost')")
                await connection.execute("INSERT INTO item (name) VALUES ('kept')")

    await database.write(work)

    assert await database.read(names) == ["kept"]


async def test_a_unit_may_await_nothing_but_its_connection(database: SqliteDatabase) -> None:
    async def work(connection: Connection) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited something other"):
        await database.write(work)


async def test_a_read_that_takes_long_leaves_the_event_loop_free(database: SqliteDatabase) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    turning = asyncio.create_task(turn())
    rows = await database.read(lambda connection: connection.fetch(COUNT_FOR_LONG))
    turning.cancel()

    assert rows == [(1000000,)]
    assert turns > 5


async def test_another_threads_loop_reads_on_a_connection_of_its_own(database: SqliteDatabase) -> None:
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(asyncio.run(database.read(names))))

    thread.start()
    await asyncio.to_thread(thread.join)

    assert seen == [[]]


async def test_a_file_opened_for_reading_only_refuses_to_be_written(database: SqliteDatabase) -> None:
    reading = SqliteDatabase(database.path, read_only=True)

    with pytest.raises(DatabaseError, match="reading only"):
        await reading.write(names)
    await reading.close()


async def test_a_change_by_another_connection_is_noticed(database: SqliteDatabase) -> None:
    other = SqliteDatabase(database.path)
    before = database.changes()

    async def add(connection: Connection) -> None:
        await connection.execute("INSERT INTO item (name) VALUES ('new')")

    await other.write(add)
    await other.close()

    assert database.changes() != before


async def test_a_change_of_its_own_is_noticed_too(database: SqliteDatabase) -> None:
    async def add(connection: Connection) -> None:
        await connection.execute("INSERT INTO item (name) VALUES ('new')")

    before = database.changes()
    assert database.changes() == before

    await database.write(add)

    assert database.changes() != before


@pytest.mark.parametrize("value", [2**63, "\ud800"])
async def test_a_value_that_cannot_be_bound_is_a_refusal(database: SqliteDatabase, value: int | str) -> None:
    with pytest.raises(Refusal):
        await database.read(lambda connection: connection.fetch("SELECT ?", (value,)))


async def test_a_failure_that_nobody_foresaw_ends_its_writes_and_not_all_to_come(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add(connection: Connection) -> None:
        await connection.execute("INSERT INTO item (name) VALUES ('a')")

    def fail(_: object) -> None:
        raise OSError(22, "Invalid argument")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteDatabase, "_begin", staticmethod(fail))
        with pytest.raises(DatabaseError, match="Invalid argument"):
            await asyncio.wait_for(database.write(add), 10)
    await asyncio.wait_for(database.write(add), 10)

    assert await database.read(names) == ["a"]


async def test_a_log_that_a_long_reader_made_grow_is_cut_when_the_reader_is_gone(database: SqliteDatabase) -> None:
    log = database.path.with_name(f"{database.path.name}-wal")

    async def grow(connection: Connection) -> None:
        await connection.execute("INSERT INTO item (name) VALUES (hex(randomblob(6000000)))")

    async def little(connection: Connection) -> None:
        await connection.execute("UPDATE item SET name = 'short' WHERE id = 1")

    reader = driver_module().connect(str(database.path), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM item").fetchall()
    for _ in range(6):
        await database.write(grow)
    assert log.stat().st_size > 72_000_000
    reader.close()

    for _ in range(3):
        await database.write(little)

    assert log.stat().st_size <= 67_108_864


@pytest.mark.parametrize("single", [True, False], ids=["single", "units"])
async def test_a_constraint_that_ends_the_transaction_ends_only_its_own_unit(
    database: SqliteDatabase, single: bool
) -> None:
    await database.write(lambda c: c.execute("CREATE TABLE once (name TEXT UNIQUE ON CONFLICT ROLLBACK)"))

    def add(name: str) -> Awaitable[int]:
        return database.write(lambda c: c.execute("INSERT INTO once VALUES (?)", (name,)), single=single)

    results = await asyncio.gather(*map(add, ("a", "b", "a", "c")), return_exceptions=True)

    assert [isinstance(result, Refusal) for result in results] == [False, False, True, False]
    assert await database.read(lambda c: c.fetch("SELECT name FROM once ORDER BY name")) == [("a",), ("b",), ("c",)]


async def test_what_a_failed_statement_left_behind_is_undone(database: SqliteDatabase) -> None:
    """RAISE(FAIL) keeps what was done before it, the row of the first statement of the trigger among it."""
    await database.write(lambda c: c.execute("CREATE TABLE log (name TEXT)"))
    await database.write(
        lambda c: c.execute(
            "CREATE TRIGGER half BEFORE INSERT ON item WHEN new.name = 'bad'"
            " BEGIN INSERT INTO log VALUES ('half'); SELECT RAISE(FAIL, 'no'); END"
        )
    )

    def add(name: str) -> Awaitable[int]:
        return database.write(lambda c: c.execute("INSERT INTO item (name) VALUES (?)", (name,)), single=True)

    results = await asyncio.gather(*map(add, ("a", "bad", "b")), return_exceptions=True)

    assert [isinstance(result, DatabaseError) for result in results] == [False, True, False]
    assert await database.read(names) == ["a", "b"]
    assert await database.read(lambda c: c.fetch("SELECT * FROM log")) == []


async def test_a_single_statement_that_fails_takes_no_other_with_it(database: SqliteDatabase) -> None:
    await database.write(lambda c: c.execute("CREATE TABLE once (name TEXT UNIQUE)"))

    def add(name: str) -> Awaitable[int]:
        return database.write(lambda c: c.execute("INSERT INTO once VALUES (?)", (name,)), single=True)

    results = await asyncio.gather(*map(add, ("a", "b", "a", "c")), return_exceptions=True)

    assert [isinstance(result, Refusal) for result in results] == [False, False, True, False]
    assert await database.read(lambda c: c.fetch("SELECT name FROM once ORDER BY name")) == [("a",), ("b",), ("c",)]
