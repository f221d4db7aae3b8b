"""asyncmy's exceptions as ours."""

from __future__ import annotations

import re
import ssl
from typing import Final, Literal

import asyncmy.errors

from reverie.database import DatabaseBusy, DatabaseError, Refusal

CAUGHT: Final = (asyncmy.errors.Error, OSError, TimeoutError)
"""What asyncmy raises for whatever went wrong; `translate` takes each of these."""
BROKEN: Final = (*CAUGHT, AttributeError, AssertionError, RuntimeError, IndexError)
"""The same inside a call of asyncmy: an answer that ends too early surfaces as one of Python's own errors."""

Kind = Literal["unique", "foreign_key", "not_null", "check", "type"]

_KINDS: Final[dict[int, Kind]] = {
    1062: "unique", 1169: "unique", 1586: "unique",
    1216: "foreign_key", 1217: "foreign_key", 1451: "foreign_key", 1452: "foreign_key",
    1553: "foreign_key", 1828: "foreign_key", 1829: "foreign_key", 3730: "foreign_key",
    1048: "not_null", 1263: "not_null", 1364: "not_null", 1138: "not_null",
    3819: "check", 4025: "check", 1369: "check",
    1264: "type", 1265: "type", 1292: "type", 1366: "type", 1367: "type", 1406: "type", 1411: "type", 1416: "type",
    3140: "type", 3141: "type", 3156: "type", 1300: "type", 1271: "type", 1267: "type", 1270: "type", 1690: "type",
    1055: "type", 3854: "type", 3988: "type",
}  # fmt: skip
"""By the server's number. 1553 and after: something hangs on what was to be dropped. 1055: a field that groups leave
open."""
_LOST: Final = frozenset({
    0, 1040, 1044, 1045, 1049, 1053, 1077, 1079, 1080, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290,
    1698, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 2027, 2055, 3118, 3159, 4031, 1820,
})  # fmt: skip
"""Nobody is there, it goes or comes, it will not let us in, it is full, or it only reads, as after a failover."""
_BUSY: Final = frozenset({1021, 1037, 1038, 1041, 1114, 1205, 1213, 1317, 1969, 3024, 1206, 3572})
_CAUSES: Final = {
    1044: "The database server did not let the user in: check the username, the password and the rights.",
    1045: "The database server did not let the user in: check the username and the password.",
    1698: "The database server did not let the user in: check the username and the password.",
    1820: "The database server wants the user's password to be changed.",
    1049: "The database server has no database of that name.",
    1040: "The database server has no connection left; try again.",
    1203: "The database server has no connection left for this user; try again.",
    1226: "The database server has no connection left for this user; try again.",
    1969: "The database ended a statement that took too long.",
    3024: "The database ended a statement that took too long.",
    1317: "The database ended a statement that took too long.",
    2003: "Nothing answers at the address of the database: check host and port, or try again.",
    1290: "The database server only reads at the moment.",
}
"""What a client may be told."""

_KEY: Final = re.compile(r"for key '([^']*)'")
# MariaDB names a column with its table and database, each in backticks, or like MySQL alone in quotes.
_COLUMN: Final = re.compile(r"(?:[Cc]olumn|Field) (?:'([^']*)'|(?:`[^`]*`\.)*`([^`]*)`)")
_CHECK: Final = re.compile(r"CONSTRAINT `([^`]*)`|[Cc]onstraint '([^']*)'")


def number_of(error: BaseException) -> int | None:
    """The server's number of an error of asyncmy, or one of the client's own (2000 and more)."""
    if isinstance(error, asyncmy.errors.Error) and error.args and isinstance(error.args[0], int):
        return error.args[0]
    return None


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more, and another might be."""
    if isinstance(error, DatabaseError):
        return error.__cause__ is not None and is_lost(error.__cause__)
    if isinstance(error, asyncmy.errors.Error):
        return (number := number_of(error)) is None or number in _LOST
    return isinstance(error, BROKEN) and not isinstance(error, TimeoutError)


def translate(error: BaseException) -> DatabaseError:
    """*error* as one of ours; those that are already stay as they are."""
    if isinstance(error, DatabaseError):
        return error
    number = number_of(error)
    text = str(error.args[1]) if number is not None and len(error.args) > 1 else str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return DatabaseBusy(f"no answer in time ({text})")
    if number in _KINDS:
        return Refusal(_KINDS[number], _detail(_KINDS[number], text), "overflow" if number == 1690 else text)
    if is_lost(error) or number in _BUSY:
        return DatabaseBusy(text, cause=_cause(error, number or 0))
    return DatabaseError(f"({number}) {text}")


def was_ended(error: BaseException) -> bool:
    """Whether the server ended a statement that took too long."""
    return number_of(error) in (1969, 3024) or (error.__cause__ is not None and was_ended(error.__cause__))


def is_final(error: BaseException) -> bool:
    """Whether who asks again at once is turned away again: another user, database or certificate is needed."""
    return number_of(error) in (1044, 1045, 1049, 1698, 1820) or _is_tls(error)


def _is_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) or isinstance(error.__cause__ or error.__context__, ssl.SSLError)


def _cause(error: BaseException, number: int) -> str:
    if _is_tls(error):
        return "The connection could not be encrypted as ssl_mode asks: check the certificate of the database server."
    return _CAUSES.get(number, "")


def _detail(kind: Kind, text: str) -> str:
    """What a constraint's no names: an index, a column or a rule, never a value."""
    if kind == "unique":
        # MySQL 8 puts the table before the index. An index is named after its first column unless somebody named it.
        found = _KEY.search(text)
        name = found[1].rpartition(".")[2] if found else ""
        return "the primary key" if name == "PRIMARY" else name
    if kind in ("not_null", "type") and (found := _COLUMN.search(text)):
        return found[1] or found[2]
    if kind == "check" and (found := _CHECK.search(text)):
        return found[1] or found[2]
    return ""
