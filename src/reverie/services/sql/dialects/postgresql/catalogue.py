"""Reads tables, columns and keys of one schema from pg_catalog."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from reverie.database import Connection
from reverie.model import JSON
from reverie.services.sql.catalogue import INTEGERS, Catalogue, Column, ForeignKey, Table

# Differs after any change of a table, column or key: each writes its row there anew, under a new transaction. One that
# is gone takes its number out of the sum. A rewrite by VACUUM keeps the transaction.
VERSION: Final = """
SELECT COALESCE(sum(hashtextextended(oid || '.' || number || '.' || xmin, 0) >> 20), 0)::bigint FROM (
  SELECT c.oid, 0 AS number, c.xmin::text FROM pg_catalog.pg_class c
   WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
  UNION ALL
  SELECT a.attrelid, a.attnum, a.xmin::text FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
   WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
   AND a.attnum > 0
  UNION ALL
  SELECT k.oid, 0, k.xmin::text FROM pg_catalog.pg_constraint k
   WHERE k.connamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())) rows
"""

# Tables and views that the user may see anything of.
_TABLES: Final = """
SELECT c.oid::bigint, c.relname::text, c.relkind::text
  FROM pg_catalog.pg_class c
 WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
 ORDER BY c.relname
"""

_COLUMNS: Final = """
SELECT a.attrelid::bigint, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text,
       COALESCE(b.typname, t.typname)::text, t.typtype::text
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
"""

# Primary keys, unique constraints and foreign keys with the names of their columns in order.
_KEYS: Final = """
SELECT k.conrelid::bigint, k.conname::text, k.contype::text,
       (SELECT array_agg(a.attname::text ORDER BY n.place) FROM unnest(k.conkey) WITH ORDINALITY n (number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number),
       (SELECT f.relname::text FROM pg_catalog.pg_class f WHERE f.oid = k.confrelid),
       (SELECT array_agg(a.attname::text ORDER BY n.place) FROM unnest(k.confkey) WITH ORDINALITY n (number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number),
       k.confupdtype::text, k.confdeltype::text
  FROM pg_catalog.pg_constraint k
 WHERE k.connamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
   AND k.contype IN ('p', 'u', 'f') AND k.conrelid <> 0
 ORDER BY k.conrelid, k.conname
"""

# Unique indexes that no constraint made; neither partial nor over expressions.
_INDEXES: Final = """
SELECT i.indrelid::bigint, x.relname::text,
       (SELECT array_agg(a.attname::text ORDER BY n.place)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY n (number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.number
         WHERE n.place <= i.indnkeyatts)
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 WHERE x.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
   AND i.indisunique AND NOT i.indisprimary
   AND i.indpred IS NULL AND i.indexprs IS NULL
   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
 ORDER BY i.indrelid, x.relname
"""

TYPES: Final[Mapping[str, str]] = {
    "int2": "integer", "int4": "integer", "int8": "bigint", "bool": "boolean", "numeric": "decimal",
    "float4": "double", "float8": "double", "money": "money", "date": "date", "time": "time", "timetz": "timetz",
    "timestamp": "timestamp", "timestamptz": "timestamptz", "bytea": "binary", "uuid": "uuid", "json": "json",
    "jsonb": "json",
}  # fmt: skip
_BITS: Final = {"int2": 16, "int4": 32}
_ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_LENGTH: Final = re.compile(r"\((\d+)(?:,(-?\d+))?\)")
_LITERAL: Final = re.compile(
    r"\(?(?:'((?:[^']|'')*)'|\(?([+-]?\d+(?:\.\d+)?)\)?|(true|false|NULL))\)?(?:::[\w \"().,\[\]]+)?"
)


async def read_version(connection: Connection) -> int:
    found = (await connection.fetch(VERSION))[0][0]
    return found if isinstance(found, int) else 0


async def read_catalogue(connection: Connection) -> Catalogue:
    # Read first: what changes meanwhile makes the next look a fresh one.
    version = await read_version(connection)
    tables = cast("list[Any]", await connection.fetch(_TABLES))
    columns, keys, indexes = [_grouped(await connection.fetch(sql)) for sql in (_COLUMNS, _KEYS, _INDEXES)]
    read = [_table(name, kind, columns[oid], keys[oid], indexes[oid]) for oid, name, kind in tables]
    return Catalogue({table.name.lower(): table for table in read}, version)


def _grouped(rows: Sequence[Any]) -> dict[int, list[Any]]:
    """Rows by the table that their first value names, without that."""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def _table(name: str, kind: str, rows: list[Any], keys: list[Any], indexes: list[Any]) -> Table:
    primary = next((tuple(columns) for _, type_, columns, *_ in keys if type_ == "p"), ())
    uniques = {key: tuple(columns) for key, type_, columns, *_ in keys if type_ == "u"}
    uniques |= {index: tuple(columns) for index, columns in indexes}
    foreign_keys = tuple(
        ForeignKey(
            name=key.lower(),
            columns=tuple(columns),
            ref_table=target,
            ref_columns=tuple(referred),
            on_update=_ACTIONS[update],
            on_delete=_ACTIONS[delete],
        )
        for key, type_, columns, target, referred, update, delete in keys
        if type_ == "f"
    )
    return Table(
        name=name,
        is_view=kind in ("v", "m"),
        columns=tuple(_column(row, primary, uniques, foreign_keys) for row in rows),
        primary_key=primary,
        foreign_keys=foreign_keys,
        uniques=uniques,
    )


def _column(
    row: Sequence[Any],
    primary: tuple[str, ...],
    uniques: Mapping[str, tuple[str, ...]],
    foreign_keys: Sequence[ForeignKey],
) -> Column:
    name, db_type, not_null, default, identity, generated, base, _ = row
    kind = TYPES.get(base, "string")
    # A key of several columns may count one of them; any other counter is a default like others.
    auto = bool(identity) or (default is not None and default.startswith("nextval("))
    reference = next((one for one in foreign_keys if one.columns == (name,)), None)
    if auto and name in primary and kind in INTEGERS:
        kind = "id"
    elif reference and kind in INTEGERS:
        kind = "reference"
    length = _LENGTH.search(db_type)
    first = int(length[1]) if length else None
    return Column(
        name=name,
        type=kind,
        db_type=db_type,
        length=first,
        precision=first,
        scale=int(length[2]) if length and length[2] else None,
        default=None if auto or generated else _default(default, kind),
        allow_null=not not_null,
        fixed_length=base == "bpchar",
        auto_increment=auto,
        is_primary_key=name in primary,
        is_unique=(name,) in uniques.values(),
        ref_table=reference.ref_table if reference else None,
        ref_field=reference.ref_columns[0] if reference else None,
        generated=bool(generated) or identity == "a",
        bits=_BITS.get(base, 64),
    )


def _default(text: str | None, kind: str) -> JSON:
    """What ``DEFAULT`` says, as JSON; an expression as ``{"expression": text}``."""
    if text is None or text.startswith("NULL::") or text == "NULL":
        return None
    found = _LITERAL.fullmatch(text)
    if found is None:
        return {"expression": text}
    quoted, number, word = found.groups()
    if word is not None:
        return None if word == "NULL" else word == "true"
    plain: str = quoted.replace("''", "'") if quoted is not None else number
    if kind == "string" or kind not in (*INTEGERS, "decimal", "double"):
        return plain
    try:
        return int(plain) if re.fullmatch(r"[+-]?\d{1,18}", plain) else float(plain)
    except ValueError:
        return plain
