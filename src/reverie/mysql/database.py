"""`Database` on MySQL and MariaDB: a unit that writes is a plain transaction, and units run side by side."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from reverie.database import Connection, DatabaseBusy, DatabaseError, Row, TooSlow, Value
from reverie.mysql.address import Address
from reverie.mysql.connection import MysqlConnection
from reverie.mysql.errors import BROKEN, CAUGHT, is_lost, translate, was_ended
from reverie.mysql.pool import Pool, QuietStream, Settings

T = TypeVar("T")

PATIENCE: Final = 2.0
"""Seconds until a caller is told that nobody is there."""
MOST_STREAMS: Final = 4
"""Streams at a time: each holds a connection for as long as its client takes."""
STREAM_WITHIN: Final = 600.0
"""Seconds after which a stream is ended."""


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
        self._streaming = 0

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        """As `Database.read`; every statement sees what was committed when it began.

        Args:
            within: seconds for each statement; None: as long as connections are set to.

        Raises:
            TooSlow: one took longer than *within*, and was ended.
        """

        async def reading(raw: Any) -> T:
            connection = MysqlConnection(raw)
            if within is None:
                return await work(connection)
            await connection.execute(_time_limit(raw, within))
            try:
                return await work(connection)
            finally:
                if raw.connected:
                    await connection.execute(_time_limit(raw, self._within - 1))

        try:
            return await self._run(reading, repeats=True)
        except DatabaseError as error:
            if within is not None and was_ended(error):
                raise TooSlow("a statement took longer than it was given") from error
            raise

    async def stream(self, sql: str, values: Sequence[Value] = (), *, size: int) -> AsyncGenerator[list[Row], None]:
        """Rows of one read, as they all were at its beginning, *size* at a time; whoever takes it closes it.

        Raises:
            DatabaseBusy: nobody is there, or `MOST_STREAMS` are open.
            DatabaseError: the statement failed, at the first part or at a later one.
        """
        if self._streaming >= MOST_STREAMS:
            raise DatabaseBusy("too many streams", cause="Too many long answers are on their way; try again.")
        self._streaming += 1
        give_up = time.monotonic() + STREAM_WITHIN
        raw: Any = None
        try:
            # A connection of its own: slow clients must not hold those that the others wait for.
            raw = await self._pool.apart()
            await MysqlConnection(raw).execute(_time_limit(raw, STREAM_WITHIN))
            cursor = raw.cursor(QuietStream)
            await cursor.execute(sql, tuple(values))
            while rows := await cursor.fetchmany(size):
                yield list(rows)
                if self._closed or time.monotonic() > give_up:
                    raise DatabaseBusy("the stream took too long, or the database was closed")
        except BROKEN as error:
            raise translate(error) from error
        finally:
            self._streaming -= 1
            if raw is not None:
                raw.close()

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, single: bool = False) -> T:
        async def alone(raw: Any) -> T:
            # What ends the connection ends the wait for it, and costs less than a timeout of the task.
            ending = asyncio.get_running_loop().call_later(self._within, raw.close)
            try:
                return await writing(raw, begun=False)
            finally:
                ending.cancel()

        async def writing(raw: Any, begun: bool = True) -> T:
            connection = MysqlConnection(raw, begins=None if begun else self._begin)
            try:
                result = await work(connection)
                if connection.is_together:
                    await connection.execute("COMMIT")
            except Exception:
                if raw.connected and connection.is_together:
                    # If even this fails, the connection is seen to be in a transaction, and is closed.
                    with contextlib.suppress(DatabaseError):
                        await connection.execute("ROLLBACK")
                raise
            return result

        return await self._run(writing, alone=alone if single else None)

    async def _run(
        self,
        work: Callable[[Any], Awaitable[T]],
        *,
        repeats: bool = False,
        alone: Callable[[Any], Awaitable[T]] | None = None,
    ) -> T:
        """Do *work* on a connection; on another if that one turns out to have died, and nothing can have been done.

        Args:
            repeats: it may be done twice; else it gets a transaction that has begun, which tells of a dead connection.
            alone: what needs none, on a connection that surely lives.
        """
        if self._closed:
            raise DatabaseBusy("the database is closed")
        give_up = time.monotonic() + PATIENCE
        fresh = False
        while True:
            begun = False
            try:
                left = max(0.05, give_up - time.monotonic())
                async with self._pool.connection(within=left, fresh=fresh) as raw:
                    stands = alone is not None and self._pool.trusts(raw)
                    if not repeats and not stands:
                        async with asyncio.timeout(left):
                            await MysqlConnection(raw).execute(self._begin)
                    begun = not repeats
                    if alone is not None and stands:
                        return await alone(raw)
                    async with asyncio.timeout(self._within):
                        return await work(raw)
            except (DatabaseError, *CAUGHT) as error:
                if begun or fresh or not is_lost(error) or time.monotonic() >= give_up:
                    if isinstance(error, DatabaseError):
                        raise
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


def _time_limit(raw: Any, seconds: float) -> str:
    """The statement that limits those after it, in the words of the server."""
    if "MariaDB" in raw.get_server_info():
        return f"SET SESSION max_statement_time={max(0.001, seconds):.3f}"
    return f"SET SESSION max_execution_time={max(1, round(seconds * 1000))}"
