"""What a write returns, where the server has no RETURNING: rows are locked before, or read again after.

MariaDB has it for an insert and a delete. What else takes several statements happens inside one transaction, which is
begun here where none has: an update by the primary key takes two, one by another field or a filter takes a third, which
notes the keys first: afterwards the rows may no longer match. A row whose key is known exactly needs no second look for
its key alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from reverie.database import Connection, Row, Value
from reverie.errors import NotSupported
from reverie.mysql.connection import MysqlConnection
from reverie.services.sql.filters import And, Applied, Compare, Filter, IsIn, IsNull, Not, Or
from reverie.services.sql.statements import Delete, Insert, Select, Shape, Statements, Update

AT_ONCE: Final = 256
"""Rows that one statement reads again."""


async def write(connection: Connection, statements: Statements, shape: Shape, values: Sequence[Value]) -> list[Row]:
    """Run a write; the rows that it would return elsewhere.

    Raises:
        NotSupported: rows of a table without a key would have to be found again.
    """
    match shape:
        case Insert():
            return await _insert(connection, statements, shape, values)
        case Update():
            return await _update(connection, statements, shape, values)
        case Delete():
            return await _delete(connection, statements, shape, values)
        case _:
            return await _fetch(connection, statements, shape, values)


async def _fetch(connection: Connection, statements: Statements, shape: Shape, values: Sequence[Value]) -> list[Row]:
    statement = statements.statement(shape)
    return await connection.fetch(statement.sql, statement.values(values))


async def _execute(connection: Connection, statements: Statements, shape: Shape, values: Sequence[Value]) -> int:
    statement = statements.statement(shape)
    return await connection.execute(statement.sql, statement.values(values))


async def _insert(connection: Connection, statements: Statements, shape: Insert, values: Sequence[Value]) -> list[Row]:
    count = len(shape.columns)
    given = dict(zip(shape.columns, values[:count], strict=True))
    mysql = cast("MysqlConnection", connection)
    counts = shape.counted is not None and given.get(shape.counted) is None
    only_counted = counts and shape.check is None and shape.returning == (shape.counted,)
    if mysql.has_returning and (shape.returning or shape.check is not None) and not only_counted:
        return await _fetch(connection, statements, shape, values)
    if not only_counted:
        await mysql.together()
    plain = Insert(table=shape.table, columns=shape.columns, returning=())
    await _execute(connection, statements, plain, values[:count])
    if not shape.returning and shape.check is None:
        return []
    if only_counted and mysql.last_id:
        return [(mysql.last_id,)]
    known = dict(given)
    if shape.counted is not None and counts:
        known[shape.counted] = mysql.last_id
    key = shape.key or ((shape.counted,) if shape.counted else ())
    if key and all(known.get(name) is not None for name in key):
        where, wanted = _equal({name: known[name] for name in key})
    else:
        # Nothing names the row but what was put into it; another that holds the same will do as well.
        where, wanted = _equal(given)
    again = Select(table=shape.table, columns=shape.returning, where=where, check=shape.check, paged=True)
    rows = await _fetch(connection, statements, again, [*wanted, *values[count:], 1, 0])
    if rows:
        return rows
    # A float, say, does not equal what was sent. Whether the role's conditions hold nobody knows, so they do not.
    return [(*(known.get(name) for name in shape.returning), *(() if shape.check is None else (False,)))]


async def _update(connection: Connection, statements: Statements, shape: Update, values: Sequence[Value]) -> list[Row]:
    changed, checking = len(shape.columns), _binds(shape.check)
    condition = values[changed : len(values) - checking]
    check = values[len(values) - checking :]
    plain = Update(table=shape.table, columns=shape.columns, where=shape.where, returning=())
    if not shape.returning and shape.check is None:
        await _execute(connection, statements, plain, values)
        return []
    if shape.by and (set(shape.by) == set(shape.key) or (not shape.key and shape.check is None)):
        # The condition begins with these columns, which do not change.
        known = dict(zip(shape.by, condition, strict=False))
        where, wanted = _equal(known)
        if shape.exact and shape.check is None and set(shape.returning) <= known.keys():
            found_any = await _execute(connection, statements, plain, values[: len(values) - checking])
            return [tuple(known[name] for name in shape.returning)] if found_any else []
        await cast("MysqlConnection", connection).together()
        if not await _execute(connection, statements, plain, values[: len(values) - checking]):
            return []
        return await _again(connection, statements, shape, where, [*wanted, *check])
    if not shape.key:
        raise NotSupported("A table without a primary key cannot be changed like this on MySQL; give it one.")
    await cast("MysqlConnection", connection).together()
    noted = Select(table=shape.table, columns=shape.key, where=shape.where, locks=True)
    keys = await _fetch(connection, statements, noted, condition)
    if keys:
        await _execute(connection, statements, plain, values[: len(values) - checking])
    found: list[Row] = []
    for some in _parts(keys):
        where, wanted = _one_of(shape.key, some)
        found += await _again(connection, statements, shape, where, [*wanted, *check])
    return found


async def _again(
    connection: Connection, statements: Statements, shape: Update, where: Filter, values: Sequence[Value]
) -> list[Row]:
    """The rows as they are now; locked, since otherwise an unchanged one would be shown as the transaction found it."""
    columns = shape.returning or shape.key
    again = Select(table=shape.table, columns=columns, where=where, check=shape.check, locks=True)
    return await _fetch(connection, statements, again, values)


async def _delete(connection: Connection, statements: Statements, shape: Delete, values: Sequence[Value]) -> list[Row]:
    plain = Delete(table=shape.table, where=shape.where)
    if not shape.returning:
        await _execute(connection, statements, plain, values)
        return []
    mysql = cast("MysqlConnection", connection)
    if mysql.has_returning:
        return await _fetch(connection, statements, shape, values)
    known = dict(zip(shape.by, values, strict=False))
    if shape.exact and set(shape.returning) <= known.keys():
        found_any = await _execute(connection, statements, plain, values)
        return [tuple(known[name] for name in shape.returning)] if found_any else []
    await mysql.together()
    first = Select(table=shape.table, columns=shape.returning, where=shape.where, locks=True)
    rows = await _fetch(connection, statements, first, values)
    if rows:
        await _execute(connection, statements, plain, values)
    return rows


def _equal(known: dict[str, Value]) -> tuple[Filter, list[Value]]:
    """Shape and values of: all these columns hold these values."""
    parts = tuple(IsNull(name) if value is None else Compare(name, "=", None) for name, value in known.items())
    return (parts[0] if len(parts) == 1 else And(parts)), [value for value in known.values() if value is not None]


def _one_of(key: Sequence[str], rows: Sequence[Row]) -> tuple[Filter, list[Value]]:
    """Shape and values of: the key is one of these. The last is repeated, so that there are few shapes."""
    padded = [*rows, *[rows[-1]] * ((1 << (len(rows) - 1).bit_length()) - len(rows))]
    values = [value for row in padded for value in row]
    if len(key) == 1:
        return IsIn(key[0], (None,) * len(padded)), values
    one = And(tuple(Compare(name, "=", None) for name in key))
    return (one if len(padded) == 1 else Or((one,) * len(padded))), values


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def _binds(tree: Filter | None) -> int:
    """How many values a condition takes."""
    match tree:
        case And(parts) | Or(parts):
            return sum(_binds(part) for part in parts)
        case IsIn(_, values):
            return len(values)
        case Not(part) | Applied(part):
            return _binds(part)
        case None | IsNull():
            return 0
        case _:
            return 1
