"""asyncpg's exceptions as ours."""

from __future__ import annotations

import re
import socket
from typing import Any, Final, cast

import asyncpg

from reverie.database import DatabaseBusy, DatabaseError, Refusal

CAUGHT: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What asyncpg raises for whatever went wrong; `translate` takes each of these."""

_LOST_CLASSES: Final = ("08", "57P", "28", "3D")
_LOST_CODES: Final = ("25006", "25P03", "53300")
"""Nobody is there, the server goes or comes, it will not let us in; it only reads, as after a failover; it is full."""
_BUSY_CODES: Final = ("40001", "40P01", "55P03", "57014", "53200", "53100", "53000")
_CONFLICT_CODES: Final = ("40001", "40P01")

_KINDS: Final = {
    "23505": "unique",
    "23503": "foreign_key",
    "23502": "not_null",
    "23514": "check",
    "2BP01": "foreign_key",
}
"""With 2BP01 something else hangs on what was to be dropped."""
_FITS_NOT: Final = ("42804", "42883", "42803", "42846")
"""A type that this cannot be done with, such as the sum of texts; a field that the groups leave open."""
_CAUSES: Final = {
    "28": "The database server did not let the user in: check the username and the password.",
    "3D": "The database server has no database of that name.",
    "533": "The database server has no connection left; try again.",
    "57014": "The database ended a statement that took too long.",
}
"""What a client may be told, by the beginning of the code."""
_KEY: Final = re.compile(r"Key \((.*?)\)=")


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more, and another might be."""
    if isinstance(error, asyncpg.PostgresError):
        code = _code(error)
        return code.startswith(_LOST_CLASSES) or code in _LOST_CODES
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)
    if isinstance(error, DatabaseError):
        return error.__cause__ is not None and is_lost(error.__cause__)
    return isinstance(error, OSError | asyncpg.InternalClientError)


def is_conflict(error: BaseException) -> bool:
    """Whether the same statement may succeed when it is tried again at once."""
    return isinstance(error, asyncpg.PostgresError) and _code(error) in _CONFLICT_CODES


def was_ended(error: BaseException) -> bool:
    """Whether the server ended the statement because it took too long."""
    return isinstance(error.__cause__, asyncpg.QueryCanceledError)


def shows_pooler(error: BaseException) -> bool:
    """Whether a pooler stands between: a prepared statement is not where we left it, or our settings are refused."""
    if isinstance(error, asyncpg.ProtocolViolationError):
        return "startup parameter" in str(error)
    return isinstance(error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError)


def translate(error: Exception) -> DatabaseError:
    """*error* as one of ours; those that are already stay as they are."""
    if isinstance(error, DatabaseError):
        return error
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return DatabaseBusy(f"no answer in time ({text})")
    if not isinstance(error, asyncpg.PostgresError):
        # What cannot be bound, such as an integer beyond 64 bits or half a surrogate pair.
        return Refusal("type", "", text) if isinstance(error, ValueError) else DatabaseBusy(text, cause=_nobody(error))
    code = _code(error)
    if code in _KINDS:
        return Refusal(cast("Any", _KINDS[code]), _detail(error, _KINDS[code]), text)
    if code.startswith("22") or code in _FITS_NOT:
        return Refusal("type", "", text)
    if is_lost(error) or code in _BUSY_CODES:
        return DatabaseBusy(text, cause=next((why for start, why in _CAUSES.items() if code.startswith(start)), ""))
    return DatabaseError(text)


def _nobody(error: Exception) -> str:
    refused = isinstance(error, ConnectionRefusedError | socket.gaierror)
    return "Nothing answers at the address of the database: check host and port, or try again." if refused else ""


def _code(error: Any) -> str:
    """The five characters that PostgreSQL gives every error."""
    return error.sqlstate or ""


def _detail(error: Any, kind: str) -> str:
    """What a constraint's no names, in the form that SQLite gives: ``service.name``."""
    if kind == "unique" and (found := _KEY.search(error.detail or "")):
        return ", ".join(f"{error.table_name}.{name.strip()}" for name in found[1].split(","))
    if kind == "not_null":
        return f"{error.table_name}.{error.column_name}"
    if kind == "foreign_key":
        # On a delete the table is the one that still points here, and the key is what it points to.
        found = _KEY.search(error.detail or "") if "is not present" in (error.detail or "") else None
        return ", ".join(f"{error.table_name}.{name.strip()}" for name in found[1].split(",")) if found else ""
    return error.constraint_name or ""
