"""One connection to a SQLite file."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast

from reverie.database import Row, Value
from reverie.sqlite_errors import translated

try:
    driver: Any = importlib.import_module("pysqlite3.dbapi2")
except ImportError:  # a platform without that wheel: the standard library's engine, which may be old
    driver = importlib.import_module("sqlite3")

CAUGHT: Final[tuple[type[Exception], ...]] = (driver.Error, OverflowError, UnicodeEncodeError)


class SqliteConnection:
    """`Connection` over a driver's connection; its methods never wait."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._described: Sequence[Sequence[Any]] = ()
        self._savepoints = 0

    def fetch_now(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        try:
            cursor = self.raw.execute(sql, values)
            rows: list[Row] = cursor.fetchall()
        except CAUGHT as error:
            raise translated(error) from error
        self._described = cursor.description or ()
        return rows

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self.fetch_now(sql, values)

    async def fetch_each(self, sql: str, values: Sequence[Sequence[Value]]) -> list[Row]:
        rows: list[Row] = []
        try:
            for one in values:
                rows += self.raw.execute(sql, one)
        except CAUGHT as error:
            raise translated(error) from error
        return rows

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        try:
            return cast("int", self.raw.execute(sql, values).rowcount)
        except CAUGHT as error:
            raise translated(error) from error

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None:
        try:
            self.raw.executemany(sql, values)
        except CAUGHT as error:
            raise translated(error) from error

    def columns(self) -> Sequence[str]:
        return [column[0] for column in self._described]

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self.raw.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            # A constraint with ON CONFLICT ROLLBACK ends the whole transaction, and the savepoint with it.
            if self.raw.in_transaction:
                self.raw.execute(f"ROLLBACK TO {name}")
                self.raw.execute(f"RELEASE {name}")
            raise
        else:
            self.raw.execute(f"RELEASE {name}")
        finally:
            self._savepoints -= 1
