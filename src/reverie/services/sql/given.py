"""What a record gives: values of the columns that exist and can be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reverie.auth.lookups import put_lookups
from reverie.database import Value
from reverie.errors import BadRequest
from reverie.model import JSON, Caller
from reverie.services.sql import plan
from reverie.services.sql.catalogue import INTEGERS, TEXTS, Column, Table
from reverie.services.sql.filters import And, Applied, Filter, IsNull, Not, Or
from reverie.services.sql.values import to_database


class NotPlain(Exception):
    """What a record gives must be read as `known` does, field by field."""


def known(
    table: Table, record: Mapping[str, JSON], caller: Caller, fixed: Collection[str] = (), *, creating: bool = False
) -> dict[str, Value]:
    """Values of the columns that exist and can be written. Rules bind all but *fixed* ones, which are not changed.

    Raises:
        BadRequest: a wrong type, a null, or a value that breaks a rule of its field.
    """
    found: dict[str, Value] = {}
    for name, given in record.items():
        column = table.column(name)
        if column is None or column.generated:
            continue
        given = _looked_up(given, caller)
        if column.name not in fixed and not all(rule(given, creating) for rule in column.rules):
            continue
        value = to_database(column, given)
        if value is None and not column.allow_null and not column.auto_increment:
            raise BadRequest(f"Field '{column.name}' can not be NULL.")
        found[column.name] = value
    return found


def filled(table: Table, given: Collection[str], related: Collection[str]) -> list[tuple[str, Column]]:
    """The columns that a record with these names fills, in the table's order, each behind its name in the record.

    Args:
        related: names of relations, in lower case.

    Raises:
        NotPlain: a name means no column, or more than its value.
    """
    found: dict[str, str] = {}
    for name in given:
        column = table.column(name)
        # A name that we do not know may be that of a new column: the full path looks.
        if column is None or column.generated or column.rules or column.name in found or name.lower() in related:
            raise NotPlain
        found[column.name] = name
    if not found:
        raise NotPlain
    return [(found[column.name], column) for column in table.columns if column.name in found]


def plain_value(column: Column, given: JSON, caller: Caller) -> Value:
    """A value of one of the columns that are `filled`.

    Raises:
        NotPlain: a null that the database fills, or refuses.
        BadRequest: a wrong type.
    """
    value = to_database(column, _looked_up(given, caller))
    if value is None and (not column.allow_null or column.auto_increment):
        raise NotPlain
    return value


def plain_values(column: Column, given: Sequence[JSON], caller: Caller) -> list[Value]:
    """`plain_value` of many records; the usual values need no look at the type for each."""
    if column.type in INTEGERS:
        end = 1 << column.bits - 1
        return [
            one if type(one) is int and -end <= one < end else plain_value(column, one, caller)  # a bool is no int here
            for one in given
        ]
    if column.type in TEXTS:
        return [
            one if type(one) is str and one.isascii() and "{" not in one else plain_value(column, one, caller)
            for one in given
        ]
    return [plain_value(column, one, caller) for one in given]


def _looked_up(given: JSON, caller: Caller) -> JSON:
    return put_lookups(given, caller, secrets=False) if isinstance(given, str) and "{" in given else given


def missing(table: Table, given: Collection[str]) -> Column | None:
    """A column that a new record must name, and that is not among *given*."""
    return next((one for one in table.columns if one.name not in given and (one.required or _must_be_named(one))), None)


def _must_be_named(column: Column) -> bool:
    """A key that nothing else fills, even where the database would take null for it."""
    return column.is_primary_key and not column.auto_increment and column.default is None and not column.generated


def can_hold(table: Table, tree: Filter, given: Collection[str]) -> bool:
    """Whether the role's conditions can hold when every field that was not given counts as null."""
    match tree:
        case And(parts):
            return all(can_hold(table, part, given) for part in parts)
        case Or(parts):
            return any(can_hold(table, part, given) for part in parts)
        case Applied(part):
            return can_hold(table, part, given)
        case Not(part):
            return isinstance(part, And | Or | Not | Applied) or plan.column_of(table, part.field).name in given
        case _:
            return isinstance(tree, IsNull) or plan.column_of(table, tree.field).name in given
