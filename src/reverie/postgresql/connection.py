"""One connection inside a unit of work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from reverie.database import Row, Value
from reverie.postgresql.errors import CAUGHT, translate


class PostgresqlConnection:
    """`Connection` over one of asyncpg; values are bound to $1, $2 ...

    Args:
        raw: inside a transaction.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._columns: Sequence[str] = ()
        self._savepoints = 0

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        try:
            rows = await self.raw.fetch(sql, *values)
        except CAUGHT as error:
            raise translate(error) from error
        self._columns = list(rows[0].keys()) if rows else ()
        return [tuple(row) for row in rows]

    async def fetch_each(self, sql: str, values: Sequence[Sequence[Value]]) -> list[Row]:
        """In one round trip."""
        try:
            rows = await self.raw.fetchmany(sql, values)
        except CAUGHT as error:
            raise translate(error) from error
        return [tuple(row) for row in rows]

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        try:
            status: str = await self.raw.execute(sql, *values)
        except CAUGHT as error:
            raise translate(error) from error
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None:
        try:
            await self.raw.executemany(sql, values)
        except CAUGHT as error:
            raise translate(error) from error

    def columns(self) -> Sequence[str]:
        """Names of the columns of the last `fetch`; none when it found no row."""
        return self._columns

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        self._savepoints += 1
        name = f"s{self._savepoints}"
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            if not self.raw.is_closed():
                await self.execute(f"ROLLBACK TO {name}")
                await self.execute(f"RELEASE {name}")
            raise
        else:
            await self.execute(f"RELEASE {name}")
        finally:
            self._savepoints -= 1
