"""Wake-ups through sockets in the data folder."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reverie.database import Connection
from reverie.jobs.transports.database import DatabaseTransport
from reverie.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def transport(folder: Path) -> AsyncIterator[tuple[DatabaseTransport, SqliteDatabase]]:
    database = SqliteDatabase(folder / "store.db", synchronous="NORMAL")
    opened = DatabaseTransport(database, folder / "wake")
    try:
        yield opened, database
    finally:
        await opened.close()
        await database.close()


async def woken_within(receiver: DatabaseTransport, seconds: float) -> bool:
    try:
        await asyncio.wait_for(receiver.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def write(connection: Connection) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS t (id)")
    await connection.execute("INSERT INTO t VALUES (1)")


async def test_an_announcement_wakes_everybody_who_joined(tmp_path: Path) -> None:
    async with transport(tmp_path) as (a, _), transport(tmp_path) as (b, _), transport(tmp_path) as (sender, _):
        await a.join("a")
        await b.join("b")

        await sender.announce("database", "default")

        # Sooner than the look at the database, so it was the socket.
        assert await woken_within(a, 0.2)
        assert await woken_within(b, 0.2)
        assert not await woken_within(a, 0.3)


async def test_a_folder_with_a_very_long_path_works_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / ("longer" * 20)
    folder.mkdir(parents=True)
    async with transport(folder) as (receiver, _), transport(folder) as (sender, _):
        await receiver.join("worker-" + "x" * 40)

        await sender.announce("database", "default")

        assert await woken_within(receiver, 0.2)
    assert os.listdir(folder / "wake") == []


async def test_a_change_of_the_database_wakes_even_without_an_announcement(tmp_path: Path) -> None:
    async with transport(tmp_path) as (receiver, _), transport(tmp_path) as (_, database):
        assert not await woken_within(receiver, 0.3)

        await database.write(write)

        assert await woken_within(receiver, 2)


async def test_a_receiver_that_never_reads_does_not_hold_up_the_sender(tmp_path: Path) -> None:
    async with transport(tmp_path) as (receiver, _), transport(tmp_path) as (sender, _):
        await receiver.join("asleep")
        began = time.monotonic()

        for _ in range(20_000):  # far more than a socket holds; nothing awaits in between, so nobody reads
            await sender.announce("database", "default")

        assert time.monotonic() - began < 5
        assert await woken_within(receiver, 0.2)


async def test_the_socket_of_a_dead_worker_is_removed_and_its_lock_stays(tmp_path: Path) -> None:
    async with transport(tmp_path) as (sender, _):
        wake = tmp_path / "wake"
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(wake / "dead.sock"))
        dead.close()
        (wake / "dead.lock").touch()

        await sender.announce("database", "default")

        assert os.listdir(wake) == ["dead.lock"]
        assert sender.gone("dead")
        sender.clear("dead")
        assert not sender.gone("dead")


async def test_a_living_worker_is_not_gone_and_an_unknown_one_might_live(tmp_path: Path) -> None:
    async with transport(tmp_path) as (worker, _), transport(tmp_path) as (other, _):
        await worker.join("alive")

        assert not other.gone("alive")
        assert not other.gone("nobody knows")

        await worker.leave()
        assert os.listdir(tmp_path / "wake") == []


async def test_a_worker_that_joins_later_is_found(tmp_path: Path) -> None:
    async with transport(tmp_path) as (sender, _):
        await sender.announce("database", "default")
        for number in range(3):
            async with transport(tmp_path) as (receiver, _):
                await receiver.join(f"w{number}")

                await sender.announce("database", "default")

                assert await woken_within(receiver, 0.2)
