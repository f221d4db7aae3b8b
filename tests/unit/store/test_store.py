from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Select, delete, func, insert, select, text, update

from reverie import sqlite
from reverie.database import Connection, Refusal
from reverie.errors import NotFound, StoreUnavailable
from reverie.store import tables
from tests.unit.store.world import STAMPS, World

pytestmark = pytest.mark.anyio


async def test_rows_come_as_maps_with_real_booleans(world: World) -> None:
    await world.put(tables.role, name="reader", is_active=True)

    rows = await world.store.fetch(select(tables.role.c.id, tables.role.c.name, tables.role.c.is_active))

    assert rows == [{"id": 1, "name": "reader", "is_active": True}]
    assert rows[0]["is_active"] is True


async def test_the_same_statement_with_other_values_binds_the_other_values(world: World) -> None:
    for name in ("one", "two", "three"):
        await world.put(tables.role, name=name)

    def named(name: str) -> Select[tuple[int]]:
        return select(tables.role.c.id).where(tables.role.c.name == name)

    assert [await world.store.scalar(named(name)) for name in ("one", "two", "three", "one")] == [1, 2, 3, 1]


@pytest.mark.parametrize("ids", [[1], [1, 2], [3, 1, 2], [], [2]])
async def test_a_list_of_any_length_can_be_asked_for(world: World, ids: list[int]) -> None:
    for name in ("one", "two", "three"):
        await world.put(tables.role, name=name)
    column = tables.role.c.id

    for wanted in (ids, [1, 3]):
        rows = await world.store.fetch(select(column).where(column.in_(wanted)).order_by(column))
        assert [row["id"] for row in rows] == sorted(wanted)


async def test_compile_gives_text_and_values_in_order(world: World) -> None:
    statement = update(tables.role).where(tables.role.c.id == 7).values(name="new", is_active=False)

    for _ in range(2):
        sql, values = world.store.compile(statement)
        assert sql in (
            "UPDATE role SET name=?, is_active=? WHERE role.id = ?",
            "UPDATE role SET name=$1::VARCHAR, is_active=$2::BOOLEAN WHERE role.id = $3::BIGINT",
        )
        assert values == ["new", False, 7]
    selected, bound = world.store.compile(text("select :a").bindparams(a=5))
    assert bound == [5]
    assert selected in ("select ?", "select $1::BIGINT")


async def test_a_write_is_all_or_nothing_and_moves_the_version_only_if_it_stays(world: World) -> None:
    before = await world.store.version()

    async def work(connection: Connection) -> None:
        await world.store.execute(insert(tables.role).values(name="gone", **STAMPS), connection)
        raise NotFound("changed my mind")

    with pytest.raises(NotFound):
        await world.store.write(work)

    assert await world.store.scalar(select(func.count()).select_from(tables.role)) == 0
    assert await world.store.version() == before


async def test_the_settings_version_moves_with_settings_and_not_with_other_writes(world: World) -> None:
    before = await world.store.version()

    async def work(connection: Connection) -> int:
        return await world.store.execute(insert(tables.fact).values(name=str(await _count(connection))), connection)

    async def _count(connection: Connection) -> object:
        return await world.store.scalar(select(func.count()).select_from(tables.fact), connection)

    await world.store.write(work, settings=False)
    assert await world.store.version() == before
    await world.store.write(work)
    assert await world.store.version() == before + 1


async def test_a_constraint_that_says_no_reaches_the_caller_as_such(world: World) -> None:
    await world.put(tables.role, name="reader")

    with pytest.raises(Refusal) as refused:
        await world.put(tables.role, name="reader")

    assert refused.value.kind == "unique"
    assert refused.value.detail == "role.name"


async def test_a_busy_store_asks_to_come_back(file_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = file_world
    monkeypatch.setattr(sqlite, "BUSY_FOR", 0.05)
    other = world.other_process()
    entered, leave = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def hold(connection: Connection) -> None:
        loop.call_soon_threadsafe(entered.set)
        leave.wait(10)

    holding = asyncio.create_task(other.store.write(hold))
    await entered.wait()
    try:
        with pytest.raises(StoreUnavailable) as refused:
            await world.put(tables.role, name="late")
        assert refused.value.status == 503
        assert refused.value.headers == {"Retry-After": "2"}
    finally:
        leave.set()
        await holding
        await other.close()


async def test_ids_are_never_given_out_twice(world: World) -> None:
    first = await world.service("first")

    await world.change(delete(tables.service).where(tables.service.c.id == first))

    assert await world.service("second") > first


async def test_date_columns_hold_the_time_of_the_clock(world: World) -> None:
    assert world.store.now_text() == "2024-05-02 10:00:00"


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 5000])
async def test_what_no_column_can_hold_is_not_found(world: World, name: str) -> None:
    assert await world.store.fetch(select(tables.service).where(tables.service.c.name == name)) == []
    assert await world.store.fetch(select(tables.service).where(tables.service.c.id == 2**70)) == []
