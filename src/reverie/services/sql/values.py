"""Values of the client → values of the database, by abstract type. What is accepted: docs/reference/filters.md."""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import math
import re
from typing import Final

from reverie.database import Value
from reverie.errors import BadRequest
from reverie.model import JSON, is_true
from reverie.services.sql.catalogue import INTEGERS, NUMBERS, TIMES, Column

LARGEST = 2**63 - 1
SMALLEST = -(2**63)

_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?(?!\d)")
_DIGIT: Final = re.compile(r"\d")
_NAMED: Final = frozenset({"now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "allballs"})
"""Moments that a database knows by a word."""
_NO_DAY: Final = "0000-00-00"
"""MySQL's date that is none."""


class OutOfRange(BadRequest):
    """An integer that no column can hold: as an id it names no record."""


def to_database(column: Column, value: JSON) -> Value:
    """The value as the column's type wants it; null stays null.

    Raises:
        BadRequest: the value does not fit the type; names the field.
        OutOfRange: an integer too large for the column.
    """
    if value is None:
        return None
    if isinstance(value, (list, dict)):
        return _structure(column, value)
    kind = column.type
    if value == "" and column.allow_null and (kind in INTEGERS or kind in NUMBERS):
        return None
    if kind in INTEGERS:
        return _integer(column, value)
    if kind == "boolean":
        return is_true(value)
    if kind in NUMBERS:
        return _number(column, value)
    if column.type == "binary":
        return _binary(column, value)
    if column.type in TIMES:
        return _moment(column, value)
    return _text(column, value)


def to_text(field: str, text: str) -> str:
    """The text itself; raises BadRequest when it is none, as a lone surrogate."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"Field '{field}' holds half a character (a lone surrogate).") from error
    return text


def _integer(column: Column, value: bool | int | float | str) -> int:
    try:
        whole = int(_parsed(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"Field '{column.name}' must be a valid integer.") from error
    if not -(1 << column.bits - 1) <= whole < 1 << column.bits - 1:
        raise OutOfRange(f"Field '{column.name}' must be an integer of at most {column.bits} bits.")
    return whole


def _parsed(text: str) -> float | int:
    """Raises ValueError for what is no number; a number of thousands of digits is none either."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:
        return float(text)


def _number(column: Column, value: bool | int | float | str) -> float | int:
    try:
        number = _parsed(value) if isinstance(value, str) else value
    except ValueError as error:
        raise BadRequest(f"Field '{column.name}' must be a valid number.") from error
    if isinstance(number, bool):
        return int(number)  # as for integers; no driver takes it for a decimal of PostgreSQL
    if isinstance(number, float) and not math.isfinite(number):
        raise BadRequest(f"Field '{column.name}' must be a finite number.")
    if isinstance(number, int) and not SMALLEST <= number <= LARGEST:
        raise OutOfRange(f"Field '{column.name}' is too large a number.")
    return number


def _moment(column: Column, value: bool | int | float | str) -> str:
    """As it is, for the database to read; a day that no calendar has is refused also by those that keep any text."""
    if isinstance(value, bool):
        raise BadRequest(f"Field '{column.name}' must be a text with a date or time.")
    text = _text(column, value)
    if text and not _DIGIT.search(text) and text.strip().lower() not in _NAMED:
        raise BadRequest(f"Field '{column.name}' must be a text with a date or time.")
    if (found := _DAY.match(text)) and not text.startswith(_NO_DAY):
        hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
        try:
            datetime.date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError as error:
            raise BadRequest(f"Field '{column.name}' must be a day that the calendar has, as 2024-02-29.") from error
        if hour > 24 or minute > 59 or second > 60:
            raise BadRequest(f"Field '{column.name}' must be a time of day, as 23:59:59.")
    return text


def _binary(column: Column, value: bool | int | float | str) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(f"Field '{column.name}' must be base64 text.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"Field '{column.name}' must be base64 text.") from error


def _text(column: Column, value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return to_text(column.name, value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _structure(column: Column, value: list[JSON] | dict[str, JSON]) -> str:
    if column.type == "json" or column.db_type.startswith("json"):
        try:
            return to_text(column.name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        except RecursionError as error:
            raise BadRequest(f"Field '{column.name}' is nested too deeply.") from error
    if isinstance(value, dict) and "expression" in value:
        raise BadRequest(f"Field '{column.name}': SQL expressions are not accepted; send the value itself.")
    raise BadRequest(f"Field '{column.name}' must be a single value, not a list or map.")
