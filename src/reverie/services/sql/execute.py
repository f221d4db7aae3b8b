"""Runs statements; rows → JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from reverie.database import Connection, Database, DatabaseError, Refusal, Row, Value
from reverie.errors import Forbidden
from reverie.model import JSON
from reverie.services.sql.batch import refused
from reverie.services.sql.blame import blame
from reverie.services.sql.catalogue import Table
from reverie.services.sql.dialect import Dialect, ToClient
from reverie.services.sql.statements import MOST_SHAPES, Aggregate, Count, Select, Shape, Statements

T = TypeVar("T")
Record = dict[str, JSON]


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

    def row_maker(self, table: Table, columns: Sequence[str | Aggregate]) -> RowMaker:
        names: list[str] = []
        converters: list[tuple[str, ToClient]] = []
        for one in columns:
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

    async def read(self, work: Callable[[Connection], Awaitable[T]], table: str, *, quick: bool = False) -> T:
        """A unit that only reads.

        Raises:
            Unavailable, ReverieError: the database failed; says nothing of the statement.
        """
        try:
            return await self.database.read(work, quick=quick)
        except DatabaseError as error:
            raise refused(error, table, reading=True) from error

    async def write(self, work: Callable[[Connection], Awaitable[T]], table: str) -> T:
        """A unit in a transaction; durable when this returns.

        Raises:
            Forbidden: the service is open for reading only.
            Conflict, BadRequest, Unavailable: the database refused; says nothing of the statement.
        """
        try:
            return await self.database.write(work)
        except DatabaseError as error:
            raise refused(error, table) from error


def writable(read_only: bool, service: str) -> None:
    """Raises Forbidden, naming what permits it, when the service only reads."""
    if read_only:
        raise Forbidden(
            f"Service '{service}' is read-only. Start with --write, or set its 'read_only' to false, to permit changes."
        )
