"""Many records in one call: stop at the first failure, go on, or undo everything."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from reverie.database import Connection, DatabaseBusy, DatabaseError, Refusal
from reverie.errors import BadRequest, BatchError, Conflict, NotSupported, ReverieError, Unavailable
from reverie.model import JSON
from reverie.services.sql.options import Options

T = TypeVar("T")


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What became of the records that were tried; `done` holds results by index, `errors` the refusals."""

    done: dict[int, T] = field(default_factory=dict)
    errors: dict[int, ReverieError] = field(default_factory=dict)

    def results(self) -> list[T]:
        return [self.done[index] for index in sorted(self.done)]

    def raise_failures(self, verb: str, options: Options, show: Callable[[T], JSON]) -> None:
        """Raise BatchError when there were failures; *show* makes a success's entry."""
        if self.errors:
            raise self.failure(verb, options, show)

    def failure(self, verb: str, options: Options, show: Callable[[T], JSON]) -> BatchError:
        tried = sorted(self.done.keys() | self.errors.keys())
        entries = [show(self.done[index]) if index in self.done else entry(self.errors[index]) for index in tried]
        undone = " All changes rolled back." if options.rolls_back and verb != "retrieved" else ""
        return BatchError(
            f"Batch Error: Not all requested records could be {verb}.{undone}",
            failed=sorted(self.errors),
            results=entries,
        )


class RolledBack(Exception):
    """Leaves a unit of work so that all of it is undone; `outcome` tells why."""

    def __init__(self, outcome: Outcome[T]) -> None:
        super().__init__("a record failed and the batch was to be undone")
        self.outcome = outcome


async def perform(
    connection: Connection,
    items: Sequence[JSON],
    act: Callable[[Connection, JSON], Awaitable[T]],
    options: Options,
    *,
    table: str,
    reads: bool = False,
    failure_of: Callable[[T], ReverieError | None] = lambda done: None,
) -> Outcome[T]:
    """Do *act* for each item inside a unit of work, each in a savepoint of its own where there are several.

    Args:
        reads: nothing is written, so nothing needs to be undone.
        failure_of: what failed beside an item that was done: the item counts as failed, and yet stays.

    Raises:
        RolledBack: an item failed, and the options ask to undo everything, or it was the only one.
        DatabaseBusy, NotSupported: nothing of the batch remains.
    """
    outcome: Outcome[T] = Outcome()
    alone = len(items) == 1  # what it did is undone with the unit, which costs less than a savepoint
    undone = False
    for index, item in enumerate(items):
        try:
            async with contextlib.nullcontext() if reads or alone else connection.savepoint():
                done = await act(connection, item)
        except (DatabaseBusy, NotSupported):
            raise
        except (ReverieError, DatabaseError) as error:
            outcome.errors[index] = error if isinstance(error, ReverieError) else refused(error, table, reading=reads)
            undone = alone
        else:
            if (beside := failure_of(done)) is None:
                outcome.done[index] = done
            else:
                outcome.errors[index] = beside
        if outcome.errors and not options.goes_on:
            break
    if outcome.errors and (options.rolls_back or undone) and not reads:
        raise RolledBack(outcome)
    return outcome


def entry(error: ReverieError) -> JSON:
    """An error as it stands inside a batch error."""
    return {"code": error.code, "context": error.context, "message": error.message, "status_code": error.status}


def refused(error: DatabaseError, table: str, *, reading: bool = False) -> ReverieError:
    """What a client learns about a refusal by the database: the columns, never the statement.

    Args:
        reading: whatever was asked was checked before, so a failure without a known reason is not the client's.
    """
    failure = _reason(error, table, reading)
    failure.__cause__ = error
    return failure


def _reason(error: DatabaseError, table: str, reading: bool) -> ReverieError:
    if isinstance(error, DatabaseBusy):
        message = error.cause or "The database is busy or cannot be reached; try again."
        return Unavailable(message, headers={"Retry-After": "1"})
    if not isinstance(error, Refusal):
        if "overflow" in str(error):
            return BadRequest(f"A sum over table '{table}' is too large for an integer.")
        if reading or _OUR_FAULT.search(str(error)):
            return ReverieError(f"The database failed while it worked on table '{table}'; the log says why.")
        return BadRequest(f"The database did not accept the request for table '{table}'.")
    where = ", ".join(name.strip() for name in error.detail.split(",")) or f"table '{table}'"
    if error.kind == "unique":
        return Conflict(f"A record with this value exists already: {where}.")
    if error.kind == "foreign_key":
        return Conflict(f"A reference would point nowhere, or other records point here: {where}.")
    return BadRequest(f"{_RULES[error.kind]}: {where}.")


_OUR_FAULT: Final = re.compile(
    r"disk|malformed|readonly|unable to open|not a database|out of memory|closed", re.IGNORECASE
)
_RULES: Final = {
    "not_null": "A value is required",
    "check": "A rule of the database does not allow this value",
    "type": "A value does not fit its column",
}
