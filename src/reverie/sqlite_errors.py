"""What SQLite says went wrong, as an error of ours."""

from __future__ import annotations

import re
from typing import Any, cast

from reverie.database import DatabaseBusy, DatabaseError, Refusal, TooSlow

TOO_LONG = "The database ended a statement that took too long."
_REFUSALS = (
    (re.compile(r"UNIQUE constraint failed: (.*)"), "unique"),
    (re.compile(r"PRIMARY KEY constraint failed: ?(.*)"), "unique"),
    (re.compile(r"FOREIGN KEY constraint failed(.*)"), "foreign_key"),
    (re.compile(r"NOT NULL constraint failed: (.*)"), "not_null"),
    (re.compile(r"CHECK constraint failed: (.*)"), "check"),
    (re.compile(r"(datatype mismatch.*)"), "type"),
)


def translated(error: Exception) -> DatabaseError:
    if isinstance(error, OverflowError | UnicodeEncodeError):
        # A value that SQLite cannot hold: an integer beyond 64 bits, or half a surrogate pair.
        what = "an integer is too large" if isinstance(error, OverflowError) else "a text is not valid Unicode"
        return Refusal("type", "", what, by_value=True)
    text = str(error)
    for pattern, kind in _REFUSALS:
        if found := pattern.search(text):
            return Refusal(cast("Any", kind), found[1].strip(), text)
    if text == "interrupted":
        return TooSlow(text)
    if "database is locked" in text or "database is busy" in text:
        return DatabaseBusy(text)
    return DatabaseError(text)
