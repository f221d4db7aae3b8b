"""Request → plan: names checked against the catalogue, values converted; nothing run yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

from reverie.database import Value
from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.catalogue import INTEGERS, Column, Table
from reverie.services.sql.filters import And, Applied, Compare, Filter, IsIn, IsNull, Matches, Not, Or, Pattern, Scalar
from reverie.services.sql.options import Options
from reverie.services.sql.statements import Aggregate, Order
from reverie.services.sql.values import to_database, to_text

MAX_PATTERN: Final = 10_000
"""Characters of a LIKE pattern; longer ones are refused by databases, or take for ever."""

_AGGREGATE = re.compile(r"(sum|count|avg|min|max)\s*\(\s*(\*|[^()]+?)\s*\)", re.IGNORECASE)
_PATTERNS: Final[Mapping[Pattern, str]] = {
    "like": "{}", "contains": "%{}%", "starts with": "{}%", "ends with": "%{}",
}  # fmt: skip


class UnknownField(BadRequest):
    """A field that the table, as far as we know it, does not have."""


def column_of(table: Table, name: str, what: str = "field requested") -> Column:
    """The column of that name, in any case. Raises UnknownField."""
    found = table.column(name)
    if found is None:
        raise UnknownField(f"Invalid {what}: {name}")
    return found


def stored_column_of(table: Table, name: str, what: str) -> Column:
    """As `column_of`, for what only a column of the database can be. Raises UnknownField, or BadRequest."""
    found = column_of(table, name, what)
    if found.virtual:
        raise BadRequest(f"The field '{found.name}' is virtual: it can be read and ordered by, but is no {what}.")
    return found


# -- what is selected


def fields_of(table: Table, wanted: Sequence[str]) -> tuple[str, ...]:
    """Columns in the order of the request, each once; ``*`` is all; nothing is the key, or all without one.

    Raises:
        UnknownField
    """
    if not wanted:
        return table.primary_key or tuple(column.name for column in table.columns)
    found: dict[str, None] = {}
    for name in wanted:
        if name == "*":
            found.update(dict.fromkeys(column.name for column in table.columns))
        else:
            found[column_of(table, name).name] = None
    return tuple(found)


def grouped_fields(table: Table, wanted: Sequence[str], group: Sequence[str]) -> tuple[str | Aggregate, ...]:
    """As `fields_of`, where ``SUM|COUNT|AVG|MIN|MAX(field)`` and ``COUNT(*)`` may stand too.

    Raises:
        UnknownField
        BadRequest: ``SUM(*)`` and the like.
    """
    found: dict[str | Aggregate, None] = {}
    for name in wanted or group:
        if matched := _AGGREGATE.fullmatch(name):
            found[_aggregate(table, matched[1].upper(), matched[2])] = None
        else:
            found.update(dict.fromkeys(fields_of(table, (name,))))
    return tuple(found)


def _aggregate(table: Table, function: str, field: str) -> Aggregate:
    if field == "*" and function != "COUNT":
        raise BadRequest(f"Invalid field requested: {function}(*)")
    column = None if field == "*" else stored_column_of(table, field, f"field for {function}").name
    return Aggregate(cast("Literal['SUM', 'COUNT', 'AVG', 'MIN', 'MAX']", function), column)


def order_of(table: Table, text: str) -> tuple[Order, ...]:
    """``name desc nulls last, id`` as orders; an unknown direction is ascending.

    Raises:
        UnknownField
        BadRequest: a semicolon, or more than 50 fields.
    """
    if ";" in text:
        raise BadRequest("The order holds a semicolon.")
    parts = [part for part in text.split(",") if part.strip()]
    if len(parts) > 50:
        raise BadRequest("The order names too many fields: at most 50.")
    return tuple(_one_order(table, part) for part in parts)


def _one_order(table: Table, text: str) -> Order:
    words = text.split()
    # A column's name may hold spaces: the longest run of words that is one wins.
    names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    column = next((found for name in names if (found := table.column(name))), None)
    if column is None:
        raise UnknownField(f"Invalid order field: {words[0]}")
    rest = [word.lower() for word in words[len(column.name.split()) :]]
    nulls = rest[rest.index("nulls") + 1 :][:1] if "nulls" in rest else []
    placed = cast("Literal['first', 'last']", nulls[0]) if nulls and nulls[0] in ("first", "last") else None
    return Order(column.name, rest[:1] == ["desc"], placed)


# -- which records


def key_of(table: Table, options: Options) -> tuple[Column, ...]:
    """The columns that identify a record: ``id_field``, else the primary key.

    Raises:
        UnknownField
        BadRequest: the table has no key and none was named.
    """
    names = options.id_field or table.primary_key
    if not names:
        raise BadRequest(f"Table '{table.name}' has no primary key: name the identifying field with id_field.")
    return tuple(stored_column_of(table, name, "id_field") for name in names)


def key_values(key: Sequence[Column], identifier: JSON) -> tuple[Value, ...]:
    """Values of the key from one id: a single value (for every column of the key), or a record that holds them.

    Raises:
        BadRequest: something is missing or of a wrong type.
        OutOfRange: no column can hold it.
    """
    if isinstance(identifier, dict):
        lower = {name.lower(): value for name, value in identifier.items()}
        missing = [column.name for column in key if lower.get(column.name.lower()) in (None, "")]
        if missing:
            raise BadRequest(f"Required id field(s) not found in record: {', '.join(missing)}.")
        return tuple(to_database(column, lower[column.name.lower()]) for column in key)
    if identifier is None or identifier == "" or isinstance(identifier, list):
        raise BadRequest("An id must be a single value or a map of the id fields.")
    return tuple([to_database(column, identifier) for column in key])


def key_filter(key: Sequence[Column]) -> Filter:
    """Shape of ``key = ?`` over all columns of the key."""
    parts = tuple(Compare(column.name, "=", None) for column in key)
    return parts[0] if len(parts) == 1 else And(parts)


def is_exact(table: Table, key: Sequence[Column]) -> bool:
    """Whether *key* is the primary key, and its columns hold just what they are compared with: whole numbers."""
    return {column.name for column in key} == set(table.primary_key) and all(one.type in INTEGERS for one in key)


def bind(table: Table, tree: Filter | None) -> tuple[Filter | None, list[Value]]:
    """A filter as its shape (columns as the catalogue spells them, no values) and its values in order.

    Raises:
        UnknownField
        BadRequest: a value that does not fit its column's type.
    """
    values: list[Value] = []
    return (None if tree is None else _shape(table, tree, values)), values


def _shape(table: Table, tree: Filter, values: list[Value], *, applied: bool = False) -> Filter:
    match tree:
        case And(parts):
            return And(tuple([_shape(table, part, values, applied=applied) for part in parts]))
        case Or(parts):
            return Or(tuple([_shape(table, part, values, applied=applied) for part in parts]))
        case Not(part):
            return Not(_shape(table, part, values, applied=applied))
        case Applied(part):
            return Applied(_shape(table, part, values, applied=True))
    column = column_of(table, tree.field, "or unparsable field in filter request")
    if column.virtual and not (applied and column.does("FILTER")):
        raise BadRequest(
            f"The field '{column.name}' is virtual and has no function for the use filter: compare others."
        )
    match tree:
        case IsNull():
            return IsNull(column.name)
        case IsIn(_, items):
            # Repeating the last value changes nothing, and keeps the number of shapes small.
            padded = (*items, *items[-1:] * ((1 << (len(items) - 1).bit_length()) - len(items)))
            values.extend(to_database(column, item) for item in padded)
            return IsIn(column.name, (None,) * len(padded))
        case Matches(_, pattern, value):
            values.append(_pattern(column, pattern, value))
            return Matches(column.name, "like", None)
        case Compare(_, operator, value):
            values.append(to_database(column, value))
            return Compare(column.name, operator, None)


def _pattern(column: Column, pattern: Pattern, value: Scalar) -> str | None:
    if value is None:
        return None
    text = to_text(column.name, str(value))
    if len(text) > MAX_PATTERN:
        raise BadRequest(f"The pattern for field '{column.name}' is too long: at most {MAX_PATTERN} characters.")
    return _PATTERNS[pattern].format(text)


def both(first: Filter | None, second: Filter | None) -> Filter | None:
    """First AND second, where either may be missing."""
    if first is None or second is None:
        return second if first is None else first
    return And((first, second))
