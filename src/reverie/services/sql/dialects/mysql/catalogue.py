"""Reads tables, columns and keys of one database from information_schema.

Every ``%`` in a statement is written twice: what is bound is put in its place by the driver.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from reverie.database import Connection
from reverie.model import JSON
from reverie.services.sql.catalogue import INTEGERS, NUMBERS, Catalogue, Column, ForeignKey, Table

# Differs after any change of a table, column, index or key: the exclusive or of a digest of each. Times of changes
# would be cheaper, but count in whole seconds.
VERSION: Final = """
SELECT CAST(COALESCE(BIT_XOR(CAST(CONV(LEFT(MD5(line), 15), 16, 10) AS UNSIGNED)), 0) AS SIGNED) FROM (
  SELECT CONCAT_WS('|', 't', table_name, table_type) AS line
    FROM information_schema.tables WHERE table_schema = DATABASE()
  UNION ALL
  SELECT CONCAT_WS('|', 'c', table_name, column_name, ordinal_position, column_type, is_nullable,
                   QUOTE(column_default), extra, generation_expression)
    FROM information_schema.columns WHERE table_schema = DATABASE()
  UNION ALL
  SELECT CONCAT_WS('|', 'i', table_name, index_name, seq_in_index, column_name, non_unique)
    FROM information_schema.statistics WHERE table_schema = DATABASE()
  UNION ALL
  SELECT CONCAT_WS('|', 'f', table_name, constraint_name, referenced_table_name, update_rule, delete_rule)
    FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()) found
"""

_TABLES: Final = """
SELECT table_name, table_type FROM information_schema.tables
 WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED', 'SEQUENCE')
 ORDER BY table_name
"""

_COLUMNS: Final = """
SELECT table_name, column_name, data_type, column_type, is_nullable, column_default, extra, numeric_precision,
       numeric_scale
  FROM information_schema.columns WHERE table_schema = DATABASE()
 ORDER BY table_name, ordinal_position
"""

# Columns of unique indexes in their order, PRIMARY among them; not of those over a part of a column or an expression.
_INDEXES: Final = """
SELECT table_name, index_name, column_name, sub_part FROM information_schema.statistics
 WHERE table_schema = DATABASE() AND non_unique = 0
 ORDER BY table_name, index_name, seq_in_index
"""

# Foreign keys that stay inside the database, one row for each column.
_KEYS: Final = """
SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name,
       r.update_rule, r.delete_rule
  FROM information_schema.key_column_usage k
  JOIN information_schema.referential_constraints r
    ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name
   AND r.table_name = k.table_name
 WHERE k.table_schema = DATABASE() AND k.referenced_table_schema = DATABASE()
 ORDER BY k.table_name, k.constraint_name, k.ordinal_position
"""

# MariaDB keeps JSON as text, and tells so by a rule on the column. MySQL has a type for it, and no such column here.
_JSON: Final = """
SELECT table_name, constraint_name FROM information_schema.check_constraints
 WHERE constraint_schema = DATABASE() AND level = 'Column'
   AND REPLACE(check_clause, '"', '`') = CONCAT('json_valid(`', constraint_name, '`)')
"""

TYPES: Final[Mapping[str, str]] = {
    "int": "integer", "integer": "integer", "smallint": "smallint", "mediumint": "integer", "tinyint": "integer",
    "bigint": "bigint", "bit": "integer", "year": "integer", "decimal": "decimal", "numeric": "decimal",
    "float": "float", "double": "double", "date": "date", "time": "time", "datetime": "datetime",
    "timestamp": "timestamp", "char": "string", "varchar": "string", "enum": "string", "set": "string",
    "tinytext": "text", "text": "text", "mediumtext": "text", "longtext": "text", "json": "json", "uuid": "uuid",
    "inet4": "string", "inet6": "string",
}  # fmt: skip
"""Those that are not here are bytes."""
_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_SIZE: Final = re.compile(r"\((\d+)(?:,(\d+))?\)")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


async def read_version(connection: Connection) -> int:
    found = (await connection.fetch(VERSION))[0][0]
    return found if isinstance(found, int) else 0


async def read_catalogue(connection: Connection) -> Catalogue:
    # Read first: what changes meanwhile makes the next look a fresh one.
    version = await read_version(connection)
    tables = cast("list[Any]", await connection.fetch(_TABLES))
    columns, indexes, keys = [_grouped(await connection.fetch(sql)) for sql in (_COLUMNS, _INDEXES, _KEYS)]
    is_mariadb = "MariaDB" in str((await connection.fetch("SELECT VERSION()"))[0][0])
    json = set(cast("list[Any]", await connection.fetch(_JSON))) if is_mariadb else set()
    for table, rows in columns.items():
        columns[table] = [(row[0], "json" if (table, row[0]) in json else row[1], *row[2:]) for row in rows]
    read = [
        _table(name, kind == "VIEW", columns[name], indexes[name], keys[name], quoted=is_mariadb)
        for name, kind in tables
    ]
    return Catalogue({table.name.lower(): table for table in read}, version)


def _grouped(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows by the table that their first value names, without that."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def _table(name: str, is_view: bool, rows: list[Any], indexes: list[Any], keys: list[Any], *, quoted: bool) -> Table:
    uniques = _uniques(indexes)
    primary = uniques.pop("PRIMARY", ())
    foreign_keys = _foreign_keys(keys)
    return Table(
        name=name,
        is_view=is_view,
        columns=tuple(_column(row, primary, uniques, foreign_keys, quoted=quoted) for row in rows),
        primary_key=primary,
        foreign_keys=foreign_keys,
        uniques=uniques,
    )


def _uniques(rows: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    partly = {index for index, column, part in rows if part is not None or column is None}
    for index, column, _ in rows:
        if index not in partly:
            found[index] = (*found.get(index, ()), column)
    return found


def _foreign_keys(rows: Sequence[Any]) -> tuple[ForeignKey, ...]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for name, *row in rows:
        groups[name].append(row)
    return tuple(
        ForeignKey(
            name=name.lower(),
            columns=tuple(row[0] for row in group),
            ref_table=group[0][1],
            ref_columns=tuple(row[2] for row in group),
            on_update=group[0][3],
            on_delete=group[0][4],
        )
        for name, group in groups.items()
    )


def _column(
    row: Sequence[Any],
    primary: tuple[str, ...],
    uniques: Mapping[str, tuple[str, ...]],
    foreign_keys: Sequence[ForeignKey],
    *,
    quoted: bool,
) -> Column:
    name, data_type, column_type, nullable, default, extra, precision, scale = row
    extra = (extra or "").lower()
    kind = abstract(data_type, column_type)
    size = _SIZE.search(column_type) if data_type not in ("enum", "set") else None
    auto = "auto_increment" in extra
    reference = next((one for one in foreign_keys if one.columns == (name,)), None)
    if auto and name in primary and kind in INTEGERS:
        kind = "id"
    elif reference and kind in INTEGERS:
        kind = "reference"
    # An expression as a default is no generated column, though MySQL 8 says "default_generated".
    generated = "generated" in extra.replace("default_generated", "")
    return Column(
        name=name,
        type=kind,
        db_type=column_type.lower() if data_type not in ("enum", "set") else column_type,
        length=int(size[1]) if size else None,
        precision=precision if kind in NUMBERS and data_type == "decimal" else None,
        scale=scale if kind in NUMBERS and data_type == "decimal" else None,
        default=None if auto or generated else _default(default, kind, data_type, extra, quoted=quoted),
        allow_null=nullable == "YES",
        fixed_length=data_type == "char",
        auto_increment=auto,
        is_primary_key=name in primary,
        is_unique=(name,) in uniques.values(),
        ref_table=reference.ref_table if reference else None,
        ref_field=reference.ref_columns[0] if reference else None,
        generated=generated,
        # Without a sign they reach twice as far, and not below zero, which the server sees to.
        bits=_BITS.get(data_type, 64) + ("unsigned" in column_type or data_type == "bit"),
    )


def abstract(data_type: str, column_type: str) -> str:
    """Our word for a type of the server's."""
    if column_type == "tinyint(1)":
        return "boolean"
    return TYPES.get(data_type, "binary")


def _default(default: str | None, kind: str, data_type: str, extra: str, *, quoted: bool) -> JSON:
    """What ``DEFAULT`` says, as JSON; an expression as ``{"expression": text}``.

    Args:
        quoted: the server shows texts in quotes, as MariaDB does; MySQL shows them bare and marks expressions.
    """
    if default is None or (quoted and default.upper() == "NULL"):
        return None
    text = default
    if quoted and len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1].replace("''", "'").replace("\\\\", "\\")
    elif text.lower().startswith("current_timestamp") or (
        not _NUMBER.fullmatch(text) if quoted else "default_generated" in extra
    ):
        return {"expression": text}
    if kind == "boolean":
        return text not in ("0", "b'0'")
    if (kind in INTEGERS or kind in NUMBERS) and _NUMBER.fullmatch(text):
        number = float(text)
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else int(number) if number.is_integer() else number
    return text
