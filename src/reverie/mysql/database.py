"""`Database` on MySQL and MariaDB: a unit that writes is a plain transaction, and units run side by side."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from reverie.database import Connection, DatabaseBusy, DatabaseError, TooSlow
from reverie.mysql.address import Address
from reverie.mysql.connection import MysqlConnection
from reverie.mysql.errors import CAUGHT, is_lost, translate
from reverie.mysql.pool import Pool, Settings

T = TypeVar("T")

PATIENCE: Final = 2.0
"""Seconds until a caller is told that nobody is there."""


class MysqlDatabase:
    """`Database` over connections of the event loop that uses it.

    Args:
        settings: the statements that prepare a connection, by the server's version.
        within: seconds for one unit.
        size: connections at most.
        read_only: units that write are begun as such that only read.
    """

    dialect = "mysql"

    def __init__(
        self, address: Address, *, settings: Settings, within: float, size: int = 8, read_only: bool = False
    ) -> None:
        self._pool = Pool(address, size, settings)
        self._within = within
        self._begin = "START TRANSACTION READ ONLY" if read_only else "START TRANSACTION"
        self._moves = itertools.count(1)
        self._closed = False

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        """As `Database.read`; every statement sees what was committed when it began."""

        async def reading(raw: Any) -> T:
            async with asyncio.timeout(within):
                return await work(MysqlConnection(raw))

        try:
            return await self._run(reading, repeats=True)
        except DatabaseBusy as error:
            if within and isinstance(error.__cause__, TimeoutError):
                raise TooSlow("a statement took longer than it was given") from error
            raise

    async def write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def writing(raw: Any) -> T:
            connection = MysqlConnection(raw)
            try:
                result = await work(connection)
                await connection.execute("COMMIT")
            except Exception:
                if raw.connected:
                    # If even this fails, the connection is seen to be in a transaction, and is closed.
                    with contextlib.suppress(DatabaseError):
                        await connection.execute("ROLLBACK")
                raise
            return result

        return await self._run(writing, repeats=False)

    async def _run(self, work: Callable[[Any], Awaitable[T]], *, repeats: bool) -> T:
        """Do *work* on a connection; on another if that one turns out to have died, and nothing can have been done."""
        if self._closed:
            raise DatabaseBusy("the database is closed")
        give_up = time.monotonic() + PATIENCE
        fresh = False
        while True:
            begun = False
            try:
                left = max(0.05, give_up - time.monotonic())
                async with self._pool.connection(within=left, fresh=fresh) as raw:
                    if not repeats:
                        async with asyncio.timeout(left):
                            await MysqlConnection(raw).execute(self._begin)
                    begun = not repeats
                    async with asyncio.timeout(self._within):
                        return await work(raw)
            except (DatabaseError, *CAUGHT) as error:
                if begun or fresh or not is_lost(error) or time.monotonic() >= give_up:
                    raise translate(error) from error
                fresh = True

    def changes(self) -> int:
        """Nothing tells of changes, so there may always have been one."""
        return next(self._moves)

    async def close(self) -> None:
        """Twice does nothing."""
        if not self._closed:
            self._closed = True
            await self._pool.close()
