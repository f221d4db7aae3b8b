"""Runs statements; rows → JSON."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from reverie.database import (
    Connection,
    Database,
    DatabaseError,
    FetchesEach,
    ReadsNow,
    Rebuilds,
    Refusal,
    Row,
    Streams,
    TooSlow,
    Value,
)
from reverie.errors import BadRequest, Forbidden, NotSupported
from reverie.model import JSON
from reverie.services.sql.batch import refused
from reverie.services.sql.blame import blame
from reverie.services.sql.catalogue import Table
from reverie.services.sql.dialect import Dialect, ToClient
from reverie.services.sql.statements import MOST_SHAPES, Aggregate, Count, Exact, Select, Shape, Statement, Statements

T = TypeVar("T")
Record = dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the database may cost a request.

    Attributes:
        within: seconds for one read; None: as long as the database is set to.
        note: is told the seconds that were spent, under ``database``.
    """

    within: float | None = None
    note: Callable[[str, float], None] | None = None


FREE: Final = Cost()


class RowMaker:
    """Rows of one set of columns → records. Columns whose values are JSON already cost nothing extra."""

    __slots__ = ("_converters", "names")

    def __init__(self, names: Sequence[str], converters: Sequence[tuple[str, ToClient]]) -> None:
        self.names = tuple(names)
        self._converters = tuple(converters)

    def records(self, rows: Sequence[Row]) -> list[Record]:
        names = self.names
        # A strict zip costs a third more.
        records: list[dict[str, Value | JSON]] = [dict(zip(names, row)) for row in rows]  # noqa: B905
        for name, convert in self._converters:
            for record in records:
                value = record[name]
                if value is not None:
                    record[name] = convert(value)
        return cast("list[Record]", records)


class Executor:
    """The one place where a service meets its database; statements are compiled once each if it *keeps_plans*."""

    def __init__(self, database: Database, dialect: Dialect, *, keeps_plans: bool = True) -> None:
        self.database = database
        self.dialect = dialect
        self.statements = Statements(dialect.compiler, most=MOST_SHAPES if keeps_plans else 0)
        self._writes = dialect.writes
        self._reads_now = isinstance(database, ReadsNow)

    def row_maker(self, table: Table, columns: Sequence[str | Aggregate | Exact]) -> RowMaker:
        """For rows that begin with *columns*; what follows them is left out."""
        names: list[str] = []
        converters: list[tuple[str, ToClient]] = []
        for one in columns:
            if isinstance(one, Exact):
                names.append(one.column)
                continue
            name = one.label if isinstance(one, Aggregate) else one
            names.append(name)
            source = one if isinstance(one, str) else one.column if one.function in ("MIN", "MAX") else None
            column = table.column(source) if source else None
            if column is not None and (convert := self.dialect.to_client(column)):
                converters.append((name, convert))
        return RowMaker(names, converters)

    async def fetch(self, connection: Connection, shape: Shape, values: Sequence[Value]) -> list[Row]:
        try:
            if self._writes is not None and not isinstance(shape, Select | Count):
                return await self._writes(connection, self.statements, shape, values)
            statement = self.statements.statement(shape)
            return await connection.fetch(statement.sql, statement.values(values))
        except Refusal as error:
            error.detail = error.detail or blame(error, shape, values)
            raise

    async def fetch_each(self, connection: Connection, shape: Shape, values: Sequence[Sequence[Value]]) -> list[Row]:
        """The rows of many runs of one statement, in the order of *values*."""
        if isinstance(connection, FetchesEach) and self._writes is None:
            statement = self.statements.statement(shape)
            return await connection.fetch_each(statement.sql, [statement.values(one) for one in values])
        rows: list[Row] = []
        for one in values:
            rows += await self.fetch(connection, shape, one)
        return rows

    async def read(
        self,
        work: Callable[[Connection], Awaitable[T]],
        table: str,
        *,
        quick: bool = False,
        shape: Shape | None = None,
        cost: Cost = FREE,
    ) -> T:
        """A unit that only reads.

        Args:
            quick: it takes so little that it need not go to a thread, where the database has such.
            shape: what it is, where that is all: then how long it took before decides.

        Raises:
            BadRequest: it took longer than *cost* allows.
            Unavailable, ReverieError: the database failed; says nothing of the statement.
        """
        if shape is not None and not quick and self._reads_now:
            statement = self.statements.statement(shape)
            quick, work = statement.is_short, _timed(work, statement)
        began = time.perf_counter()
        try:
            if cost.within is None:
                return await self.database.read(work, quick=quick)
            return await self.database.read(work, quick=quick, within=cost.within)
        except DatabaseError as error:
            if cost.within is not None and isinstance(error, TooSlow):
                raise _too_slow(cost.within) from error
            raise refused(error, table, reading=True) from error
        finally:
            if cost.note is not None:
                cost.note("database", time.perf_counter() - began)

    def streams(self) -> bool:
        """Whether the database can give a long answer in parts."""
        return isinstance(self.database, Streams)

    async def stream(
        self, shape: Shape, values: Sequence[Value], table: str, *, size: int
    ) -> AsyncGenerator[list[Row], None]:
        """Rows in parts of *size*; raises as `read`, also on the way."""
        if not isinstance(self.database, Streams):
            raise NotSupported("This database cannot give an answer in parts.")
        statement = self.statements.statement(shape)
        parts = self.database.stream(statement.sql, statement.values(values), size=size)
        async with aclosing(parts):
            try:
                async for rows in parts:
                    yield rows
            except DatabaseError as error:
                raise refused(error, table, reading=True) from error

    async def write(
        self, work: Callable[[Connection], Awaitable[T]], table: str, *, cost: Cost = FREE, single: bool = False
    ) -> T:
        """A unit in a transaction; durable when this returns.

        Args:
            single: it is one shape, and what that shape did need not be undone for what it answered.

        Raises:
            Forbidden: the service is open for reading only.
            Conflict, BadRequest, Unavailable: the database refused; says nothing of the statement.
        """
        began = time.perf_counter()
        try:
            return await self.database.write(work, single=single)
        except DatabaseError as error:
            raise refused(error, table) from error
        finally:
            if cost.note is not None:
                cost.note("database", time.perf_counter() - began)

    async def rebuild(self, work: Callable[[Connection], Awaitable[T]], table: str) -> T:
        """As `write`, for what makes a table anew."""
        if not isinstance(self.database, Rebuilds):
            raise NotSupported("This database does not make tables anew.")
        try:
            return await self.database.rebuild(work)
        except DatabaseError as error:
            raise refused(error, table) from error


def _timed(work: Callable[[Connection], Awaitable[T]], statement: Statement) -> Callable[[Connection], Awaitable[T]]:
    """Have *statement* learn how long it takes: by the clock of its thread, which waits for no other."""
    begun = False

    async def timed(connection: Connection) -> T:
        nonlocal begun
        again, begun = begun, True  # a second time it has had to leave the event loop
        began = time.thread_time()
        result = await work(connection)
        statement.took(math.inf if again else time.thread_time() - began)
        return result

    return timed


def _too_slow(within: float) -> BadRequest:
    return BadRequest(
        f"The database took longer than the {within:g} s that a request of your role may take. Ask for less: a"
        " narrower filter on an indexed field, an order by an indexed field, fewer relations, or pages with 'after'."
    )


def writable(read_only: bool, service: str) -> None:
    """Raises Forbidden, naming what permits it, when the service only reads."""
    if read_only:
        raise Forbidden(
            f"Service '{service}' is read-only. Start with --write, or set its 'read_only' to false, to permit changes."
        )
