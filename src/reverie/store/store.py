"""The platform's own database, reached through SQLAlchemy's statements and the driver's speed.

SQLAlchemy compiles, the driver runs; no engine of SQLAlchemy is on this path, since its execution layer costs more
than the queries do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Boolean, ClauseElement, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from reverie.clock import Clock, text_of
from reverie.database import Connection, Database, DatabaseBusy, Refusal, Value
from reverie.errors import StoreUnavailable
from reverie.sealing import Sealer
from reverie.store.dialects import dialect_of
from reverie.store.tables import settings_version

T = TypeVar("T")
Record: TypeAlias = dict[str, Value]

_MOST_SHAPES: Final = 1000
_VERSION: Final = select(settings_version.c.version).where(settings_version.c.id == 1)
_MOVE: Final = update(settings_version).where(settings_version.c.id == 1).values(version=settings_version.c.version + 1)


class Shape(NamedTuple):
    """What compiling a statement once teaches about all that differ from it only in values."""

    compiled: SQLCompiler
    sql: str
    names: Sequence[str]
    booleans: Sequence[int]


class Store:
    """Statements of SQLAlchemy Core, run on a `Database`. Rows are dicts by column label.

    Attributes:
        moved: grows with every change of settings made through this object; see `Memory`.
    """

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self.database = database
        self.sealer = sealer
        self.clock = clock
        self.moved = 0
        self._dialect: Dialect = dialect_of(database.dialect)
        self._shapes: dict[Any, Shape | None] = {}

    def now_text(self) -> str:
        """The time as date columns hold it."""
        return text_of(self.clock.now())

    # -- reading

    async def fetch(self, statement: ClauseElement, connection: Connection | None = None) -> list[Record]:
        """Rows of a query, or of a write with RETURNING inside a unit; columns of type Boolean as bool.

        Raises:
            StoreUnavailable: nothing was read.
        """
        sql, values, booleans = self._prepare(statement)

        async def work(connection: Connection) -> list[Record]:
            rows = await connection.fetch(sql, values)
            names = connection.columns()
            return [_record(names, row, booleans) for row in rows]

        if connection is not None:
            return await work(connection)
        try:
            return await self.database.read(work, quick=True)
        except Refusal as refusal:
            if not refusal.by_value:
                raise
            return []  # what no column can hold, such as NUL on PostgreSQL, is in none
        except DatabaseBusy as error:
            raise unavailable() from error

    async def fetch_one(self, statement: ClauseElement, connection: Connection | None = None) -> Record | None:
        """The first row of `fetch`; None when there is none."""
        rows = await self.fetch(statement, connection)
        return rows[0] if rows else None

    async def scalar(self, statement: ClauseElement, connection: Connection | None = None) -> Value:
        """The first column of the first row; None when there is none."""
        row = await self.fetch_one(statement, connection)
        return next(iter(row.values())) if row else None

    async def version(self) -> int:
        """Grows with every change of settings, whoever makes it; 0 before the first migration's row."""
        value = await self.scalar(_VERSION)
        return value if isinstance(value, int) else 0

    # -- writing

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, settings: bool = True) -> T:
        """Run *work* as one transaction; with *settings* the settings version moves with it.

        *work* awaits nothing but `fetch`, `execute` and the like with the connection it is given.

        Raises:
            Refusal: a constraint said no; nothing remains.
            StoreUnavailable: nothing was done.
        """

        async def unit(connection: Connection) -> T:
            result = await work(connection)
            if settings:
                await self.execute(_MOVE, connection)
            return result

        try:
            return await self.database.write(unit)
        except DatabaseBusy as error:
            raise unavailable() from error
        finally:
            # Also for a caller who went away: the unit may have been committed nevertheless.
            self.moved += settings

    async def execute(self, statement: ClauseElement, connection: Connection) -> int:
        """Run a statement of a write unit; the number of rows it changed.

        Raises:
            Refusal
        """
        sql, values, _ = self._prepare(statement)
        return await connection.execute(sql, values)

    # -- compiling

    def compile(self, statement: ClauseElement) -> tuple[str, list[Value]]:
        """Text and values, in order, for the database's driver."""
        sql, values, _ = self._prepare(statement)
        return sql, values

    def _prepare(self, statement: ClauseElement) -> tuple[str, list[Value], Sequence[int]]:
        key = statement._generate_cache_key()
        if key is None:
            return _bind(self._shape(statement, None), None)
        shape = self._shapes.get(key.key)
        if shape is None:
            shape = self._shape(statement, key)
            # The text of an IN list depends on its length, which is no part of the key.
            if not _expands(shape.compiled):
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[key.key] = shape
        return _bind(shape, key.bindparams)

    def _shape(self, statement: ClauseElement, key: Any) -> Shape:
        compiled = statement.compile(dialect=self._dialect, cache_key=key, compile_kwargs={"render_postcompile": True})
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"{statement!r} is no query")
        columns = getattr(statement, "exported_columns", ())
        booleans = [index for index, column in enumerate(columns) if isinstance(column.type, Boolean)]
        return Shape(compiled, compiled.string, compiled.positiontup or (), booleans)


def _expands(compiled: SQLCompiler) -> bool:
    return bool(compiled.post_compile_params or compiled.literal_execute_params)


def _bind(shape: Shape, extracted: Any) -> tuple[str, list[Value], Sequence[int]]:
    values = shape.compiled.construct_params(extracted_parameters=extracted, escape_names=False)
    return shape.sql, [values[name] for name in shape.names], shape.booleans


def _record(names: Sequence[str], row: Sequence[Value], booleans: Sequence[int]) -> Record:
    record = dict(zip(names, row, strict=True))
    for index in booleans:
        value = row[index]
        record[names[index]] = None if value is None else bool(value)
    return record


def unavailable() -> StoreUnavailable:
    """The error for a store that stayed busy or could not be reached."""
    return StoreUnavailable("The platform's database is busy. Try again in a moment.", headers={"Retry-After": "2"})
