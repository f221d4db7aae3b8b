"""What a record gives: values of the columns that exist and can be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reverie.auth.lookups import put_lookups
from reverie.database import Value
from reverie.errors import BadRequest
from reverie.model import JSON, Caller
from reverie.services.sql import plan
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.filters import And, Applied, Filter, IsNull, Not, Or
from reverie.services.sql.values import to_database


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
        if isinstance(given, str) and "{" in given:
            given = put_lookups(given, caller, secrets=False)
        if column.name not in fixed and not all(rule(given, creating) for rule in column.rules):
            continue
        value = to_database(column, given)
        if value is None and not column.allow_null and not column.auto_increment:
            raise BadRequest(f"Field '{column.name}' can not be NULL.")
        found[column.name] = value
    return found


def must_be_named(column: Column) -> bool:
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
