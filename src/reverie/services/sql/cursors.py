"""Paging by cursor: a page begins behind the last record of the one before, wherever that is in the table.

What follows a record in an order is read in segments, one after the other until the page is full. For ``a, id`` after
``(3, 17)``: first ``a = 3 AND id > 17``, then ``a > 3``, then, where nulls come last, ``a IS NULL``. Each is one range
of an index, on every database, so a page costs the same wherever it is; one condition with ORs would not be.

A cursor holds the values of the order's fields and the key in the last record. It is not secret: whoever may order by
a field can find out its values. Nor is it signed: its values are bound, as those of a filter are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from reverie.database import Row, Value
from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql import plan
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.filters import And, Compare, Filter, IsNull, Not
from reverie.services.sql.statements import Exact, Order
from reverie.services.sql.values import to_database

LONGEST: Final = 16_384
"""Characters of a cursor."""
_NOT_OURS: Final = (
    "The cursor in 'after' is not one: send 'meta.after' of the page before as it is, or nothing to begin."
)
_OF_ANOTHER: Final = "The cursor in 'after' belongs to another table or order: begin again with an empty 'after'."
_NULLS_LARGEST: Final = frozenset({"postgresql"})
"""Databases that put nulls behind everything else, where they are not told; the others put them before."""
_TYPED: Final = frozenset({"postgresql", "mysql"})
"""Databases whose columns hold values of their type only."""


@dataclass(frozen=True, slots=True)
class _Key:
    column: Column
    order: Order
    nulls_first: bool


class Keyset:
    """The order of a list, made one that no two records share by the primary key.

    Raises:
        BadRequest: the table has no primary key.
    """

    def __init__(self, table: Table, order: Sequence[Order], database: str) -> None:
        if not table.primary_key:
            raise BadRequest(f"Table '{table.name}' has no primary key, which pages with 'after' need: use 'offset'.")
        whole = {one.column: one for one in reversed(order)}
        ordered = [whole[name] for name in dict.fromkeys(one.column for one in order)]
        # As the last field goes, so that one index can be read in one direction.
        downwards = bool(ordered) and ordered[-1].descending
        ordered += [Order(name, downwards) for name in table.primary_key if name not in whole]
        self.order = tuple(ordered)
        self._keys = [_key(plan.column_of(table, one.column), one, database) for one in ordered]
        self._typed = database in _TYPED
        spelled = [(one.column, one.descending, one.nulls) for one in ordered]
        self._mark = hashlib.blake2b(repr((table.name, spelled)).encode(), digest_size=6).hexdigest()

    @property
    def columns(self) -> tuple[str | Exact, ...]:
        """What is read beside the fields of a record, for `after`."""
        exact = ("decimal",) if self._typed else ()
        return tuple(Exact(key.column.name) if key.column.type in exact else key.column.name for key in self._keys)

    def after(self, row: Row) -> str:
        """The cursor behind the record whose row ends with `columns`."""
        values = [_sent(value) for value in row[-len(self._keys) :]]
        return base64.urlsafe_b64encode(msgspec.json.encode([self._mark, *values])).decode().rstrip("=")

    def segments(self, cursor: str) -> list[tuple[Filter | None, list[Value]]]:
        """Conditions, as shapes and their values, of what follows: read in turn, they are in order.

        Raises:
            BadRequest: the cursor is none, or of another list.
        """
        if not cursor:
            return [(None, [])]
        values = self._values(cursor)
        found: list[tuple[Filter | None, list[Value]]] = []
        for at in range(len(self._keys) - 1, -1, -1):
            same = [_equal(key, value) for key, value in zip(self._keys[:at], values[:at], strict=True)]
            bound = [value for value in values[:at] if value is not None]
            for condition, more in _behind(self._keys[at], values[at]):
                parts = (*same, condition)
                found.append((parts[0] if len(parts) == 1 else And(parts), [*bound, *more]))
        return found

    def _values(self, cursor: str) -> list[Value]:
        try:
            if len(cursor) > LONGEST:
                raise BadRequest(_NOT_OURS)
            text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            mark, *sent = msgspec.json.decode(text, type=list)
        except (binascii.Error, UnicodeError, ValueError, msgspec.MsgspecError) as error:
            raise BadRequest(_NOT_OURS) from error
        if mark != self._mark or len(sent) != len(self._keys):
            raise BadRequest(_OF_ANOTHER)
        return [self._value(key.column, value) for key, value in zip(self._keys, sent, strict=True)]

    def _value(self, column: Column, sent: JSON) -> Value:
        try:
            value = _read(sent)
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise BadRequest(_NOT_OURS) from error
        if self._typed and not isinstance(value, bytes):
            to_database(column, value)  # raises where it does not fit
        return value


def _key(column: Column, order: Order, database: str) -> _Key:
    if column.virtual:
        raise BadRequest(f"Pages with 'after' cannot be ordered by the virtual field '{column.name}': use 'offset'.")
    largest = database in _NULLS_LARGEST
    first = order.nulls == "first" if order.nulls else largest is order.descending
    return _Key(column, order, first)


def _equal(key: _Key, value: Value) -> Filter:
    return IsNull(key.column.name) if value is None else Compare(key.column.name, "=", None)


def _behind(key: _Key, value: Value) -> list[tuple[Filter, list[Value]]]:
    """What comes behind *value* in one column: larger or smaller values, then nulls, or after nulls the values."""
    name = key.column.name
    if value is None:
        return [(Not(IsNull(name)), [])] if key.nulls_first else []
    found: list[tuple[Filter, list[Value]]] = [(Compare(name, "<" if key.order.descending else ">", None), [value])]
    if key.column.allow_null and not key.column.auto_increment and not key.nulls_first:
        found.append((IsNull(name), []))
    return found


def _sent(value: Value) -> JSON:
    """A value of the database as JSON can say it."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _read(sent: JSON) -> Value:
    if isinstance(sent, dict):
        if "bytes" in sent:
            return base64.b64decode(str(sent["bytes"]), validate=True)
        return float(str(sent["float"]))
    if isinstance(sent, list):
        raise ValueError("a list")
    if isinstance(sent, int) and not -(2**63) <= sent < 2**63:
        raise ValueError("beyond 64 bits")
    return sent
