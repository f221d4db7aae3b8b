"""Which field a database meant when it refused a value without saying so: read from its message, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from reverie.database import Refusal, Value
from reverie.services.sql.catalogue import Table
from reverie.services.sql.filters import And, Applied, Filter, IsIn, IsNull, Not, Or
from reverie.services.sql.statements import Insert, Shape, Update

_QUOTED: Final = re.compile(r'"([^"]*)"')
_TOO_LONG: Final = re.compile(r"too long for type [a-z ]+\((\d+)\)")
_TOO_LARGE: Final = re.compile(r"less than 10\^(\d+)")

Pair = tuple[str, Value]


def blame(error: Refusal, shape: Shape, values: Sequence[Value]) -> str:
    """The fields, as ``table.field``, whose values *error* may be about; ``""`` where nothing tells."""
    if error.kind != "type":
        return ""
    pairs = [(name, value) for name, value in zip(_fields(shape), values, strict=False) if value is not None]
    meant = _meant(str(error), pairs) or ([pairs[0][0]] if len({name for name, _ in pairs}) == 1 else [])
    table = shape.table if isinstance(shape.table, str) else shape.table.name
    return ", ".join(dict.fromkeys(f"{table}.{name}" for name in meant))


def blame_references(table: Table, names: Sequence[str], values: Sequence[Value]) -> str:
    """Fields that were written and refer to other records: one of them points nowhere."""
    keys = {name.lower() for key in table.foreign_keys for name in key.columns}
    given = [name for name, value in zip(names, values, strict=False) if value is not None]
    columns = [column for name in given if (column := table.column(name)) is not None]
    return ", ".join(f"{table.name}.{one.name}" for one in columns if one.real_name.lower() in keys)


def _meant(message: str, pairs: Sequence[Pair]) -> list[str]:
    quoted = set(_QUOTED.findall(message))
    if "encoding" in message:
        return [name for name, value in pairs if isinstance(value, str) and "\0" in value]
    if found := _TOO_LONG.search(message):
        return [name for name, value in pairs if isinstance(value, str) and len(value) > int(found[1])]
    if found := _TOO_LARGE.search(message):
        return [name for name, value in pairs if _is_number(value) and abs(float(value)) >= 10 ** int(found[1])]  # type: ignore[arg-type] # a number
    return [name for name, value in pairs if str(value) in quoted]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fields(shape: Shape) -> Iterator[str]:
    """The field of each value, in the order in which they are bound."""
    if isinstance(shape, Insert | Update):
        yield from shape.columns
    if not isinstance(shape, Insert):
        yield from _compared(shape.where)
    if isinstance(shape, Insert | Update):
        yield from _compared(shape.check)


def _compared(tree: Filter | None) -> Iterator[str]:
    match tree:
        case None | IsNull():
            return
        case And(parts) | Or(parts):
            for part in parts:
                yield from _compared(part)
        case Not(part) | Applied(part):
            yield from _compared(part)
        case IsIn(field, values):
            yield from (field for _ in values)
        case _:
            yield tree.field
