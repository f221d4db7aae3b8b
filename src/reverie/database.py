"""The interface to a database that Reverie runs SQL on: its own store, the ledger of jobs, users' data.

A unit of work is an async function of one connection. PostgreSQL awaits inside it; SQLite steps through it on its
writer thread without ever waiting, so that many units share one commit. A unit must therefore await nothing but its
connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

Value: TypeAlias = "bool | int | float | str | bytes | None"
Row: TypeAlias = "tuple[Value, ...]"
T = TypeVar("T")


class DatabaseError(Exception):
    """The database refused a statement or could not be reached; the text is for logs, not for clients."""


class DatabaseBusy(DatabaseError):
    """Nothing was done: another writer held the database for too long, or it cannot be reached.

    Attributes:
        cause: what a client may be told of the reason, a sentence; ``""`` for none.
    """

    def __init__(self, message: str = "", *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class TooSlow(DatabaseError):
    """A read went over its budget: on the event loop, where it is tried again in a thread, or the one it was given."""


class Refusal(DatabaseError):
    """A constraint said no.

    Attributes:
        kind: which sort of constraint.
        detail: the columns or the constraint it names, such as ``category.name``; ``""`` when it does not say.
        by_value: it was a value that no column can hold, and not the statement.
    """

    def __init__(
        self,
        kind: Literal["unique", "foreign_key", "not_null", "check", "type"],
        detail: str,
        message: str,
        *,
        by_value: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail
        self.by_value = by_value


class Connection(Protocol):
    """One connection inside a unit of work. Values are bound by position, in the placeholder style of the database."""

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a statement (also of one with RETURNING)."""
        ...

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; the number of rows it changed."""
        ...

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None: ...

    def columns(self) -> Sequence[str]:
        """Names of the columns of the last `fetch`."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """What happens inside is undone when it raises; the unit goes on if the error is caught outside."""
        ...


@runtime_checkable
class FetchesEach(Protocol):
    """A `Connection` that runs one statement for many sets of values in one go."""

    async def fetch_each(self, sql: str, values: Sequence[Sequence[Value]]) -> list[Row]:
        """The rows of all runs, in the order of *values*."""
        ...


class Database(Protocol):
    """Reads and writes in units of work.

    Attributes:
        dialect: SQLAlchemy's name of the SQL it speaks: ``sqlite``, ``postgresql``, ``mysql``.
    """

    dialect: str

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        """Run a unit that only reads.

        Args:
            quick: expected to take well under a millisecond. SQLite tries it on the event loop within a budget, and
                again in a thread when it went over; so it may run twice.
            within: seconds for its statements; None: as long as the database is set to.

        Raises:
            DatabaseError, DatabaseBusy
            TooSlow: it took longer than *within*, and was ended.
        """
        ...

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, single: bool = False) -> T:
        """Run a unit in a transaction, all or nothing; when this returns it is durable.

        Args:
            single: the unit is one statement, which is a transaction by itself: none is begun around it.

        Raises:
            Refusal: a constraint said no; nothing of the unit remains.
            DatabaseBusy: nothing was done, or the connection was lost on the way and nobody knows. It is not repeated.
            DatabaseError: the statement failed; nothing of the unit remains.
        """
        ...

    def changes(self) -> int:
        """A number that differs after somebody, in whatever process, may have committed a change. Cheap."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Rebuilds(Protocol):
    """A `Database` that changes tables by making them anew."""

    async def rebuild(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """As `Database.write`, but no reference is followed or checked meanwhile."""
        ...


@runtime_checkable
class ReadsNow(Protocol):
    """A `Database` that answers short reads here and now, without an event loop's turn."""

    def fetch_now(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Rows of a look-up by key or a short page.

        Raises:
            TooSlow: it held the event loop for too long, or it is not the thread for it; `Database.read` may be tried.
            DatabaseError
        """
        ...


MOST_STREAMS: Final = 4
"""Streams of one database at a time: each holds a connection for as long as its client takes."""
STREAM_WITHIN: Final = 600.0
"""Seconds after which a stream is ended: what it reads stays as it was for so long."""


@runtime_checkable
class Streams(Protocol):
    """A `Database` that can give the rows of a statement in parts."""

    def stream(self, sql: str, values: Sequence[Value] = (), *, size: int) -> AsyncGenerator[list[Row], None]:
        """Rows of one read, as they all were at its beginning, *size* at a time; never an empty part.

        The next part is read when it is asked for. Whoever takes it closes it.

        Raises:
            DatabaseBusy: nobody is there, or `MOST_STREAMS` are open.
            DatabaseError: the statement failed, at the first part or at a later one.
        """
        ...
