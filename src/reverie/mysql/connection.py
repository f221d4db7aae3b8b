"""One connection inside a unit of work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from reverie.database import DatabaseBusy, Row, Value
from reverie.mysql.errors import BROKEN, translate


class MysqlConnection:
    """`Connection` over one of asyncmy; values take the place of ``%s``, and ``%%`` means a percent sign.

    Args:
        raw: inside a transaction, or committing every statement.
        begins: what begins a transaction when one is needed; None where none is, or it has begun.
    """

    def __init__(self, raw: Any, *, begins: str | None = None) -> None:
        self.raw = raw
        self._begins = begins
        self._columns: Sequence[str] = ()
        self._savepoints = 0
        self.last_id = 0
        """The number that the last `execute` gave a row that counts itself; 0 for none."""

    @property
    def has_returning(self) -> bool:
        """Whether an INSERT and a DELETE can answer rows."""
        return "MariaDB" in self.raw.get_server_info()

    async def together(self) -> None:
        """What follows is one transaction; where one has begun, nothing happens."""
        if self._begins is not None:
            begins, self._begins = self._begins, None
            await self.execute(begins)

    @property
    def is_together(self) -> bool:
        return self._begins is None

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        cursor = await self._run(sql, values)
        self._columns = [one[0] for one in cursor.description or ()]
        try:
            return list(await cursor.fetchall()) if cursor.description else []
        except BROKEN as error:
            raise translate(error) from error

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        cursor = await self._run(sql, values)
        self.last_id = cursor.lastrowid or 0
        count: int = cursor.rowcount
        return max(0, count)

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None:
        for one in values:
            await self._run(sql, one)

    async def fetch_sets(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Sequence[str], list[Row]]]:
        """Every set of rows that a statement such as ``CALL`` gives, with the names of its columns."""
        cursor = await self._run(sql, values)
        found: list[tuple[Sequence[str], list[Row]]] = []
        try:
            while True:
                if cursor.description:
                    found.append(([one[0] for one in cursor.description], list(await cursor.fetchall())))
                if not await cursor.nextset():
                    return found
        except BROKEN as error:
            raise translate(error) from error

    async def _run(self, sql: str, values: Sequence[Value]) -> Any:
        cursor = self.raw.cursor()
        try:
            # Always with values, even with none: it is they that turn %% into %.
            await cursor.execute(sql, tuple(values))
        except BROKEN as error:
            raise translate(error) from error
        return cursor

    def columns(self) -> Sequence[str]:
        """Names of the columns of the last `fetch`."""
        return self._columns

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        self._savepoints += 1
        name = f"s{self._savepoints}"
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except Exception as error:
            # After a deadlock the server has undone everything, savepoints too; the caller gives up the unit then.
            if not isinstance(error, DatabaseBusy):
                await self.execute(f"ROLLBACK TO SAVEPOINT {name}")
            raise
        else:
            await self.execute(f"RELEASE SAVEPOINT {name}")
        finally:
            self._savepoints -= 1
