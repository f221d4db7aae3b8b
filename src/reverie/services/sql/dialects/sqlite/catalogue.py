"""Reads the catalogue of an SQLite file through its PRAGMA functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from reverie.database import Connection, Row, Value
from reverie.model import JSON, is_true
from reverie.services.sql.catalogue import INTEGERS, NUMBERS, Catalogue, Column, ForeignKey, Table

_DECLARED = re.compile(r"\s*([a-z][a-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)
_TYPES: Final[Mapping[str, str]] = {
    "int": "integer", "integer": "integer", "smallint": "integer", "mediumint": "integer", "int2": "integer",
    "tinyint": "integer", "int4": "integer", "bigint": "bigint", "int8": "bigint", "unsigned big int": "bigint",
    "bool": "boolean", "boolean": "boolean", "decimal": "decimal", "numeric": "decimal", "money": "decimal",
    "float": "float", "double": "double", "double precision": "double", "real": "double",
    "date": "date", "time": "time", "datetime": "datetime", "timestamp": "timestamp",
    "blob": "binary", "binary": "binary", "varbinary": "binary", "text": "text", "clob": "text", "uuid": "uuid",
}  # fmt: skip
_CHARACTERS = re.compile(r"(?:n|var|nvar|native |national |varying )*char(?:acter)?(?: varying)?|nvarchar2?")
_QUOTED_DEFAULT = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")


async def read_catalogue(connection: Connection, version: int) -> Catalogue:
    listed = await connection.fetch(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'"
        " AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    tables = [await _table(connection, str(name), kind == "view", bool(wr)) for name, kind, wr in listed]
    return Catalogue({table.name.lower(): table for table in tables}, version)


async def _table(connection: Connection, name: str, is_view: bool, without_rowid: bool) -> Table:
    rows = await connection.fetch(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
        " WHERE hidden <> 1 ORDER BY cid",
        (name,),
    )
    key = tuple(str(row[0]) for row in sorted((row for row in rows if row[4]), key=lambda row: _int(row[4])))
    uniques = await _uniques(connection, name)
    foreign_keys = await _foreign_keys(connection, name)
    counts_itself = len(key) == 1 and not without_rowid
    columns = tuple(_column(row, key, counts_itself, uniques, foreign_keys) for row in rows)
    return Table(
        name=name, is_view=is_view, columns=columns, primary_key=key, foreign_keys=foreign_keys, uniques=uniques
    )


def _column(
    row: Row,
    key: tuple[str, ...],
    counts_itself: bool,
    uniques: Mapping[str, tuple[str, ...]],
    foreign_keys: Sequence[ForeignKey],
) -> Column:
    name, declared, not_null, default, _, hidden = row
    text = str(declared or "").lower()
    found = _DECLARED.fullmatch(text)
    word = " ".join(found[1].split()) if found else text
    first, second = (int(found[2]) if found and found[2] else None), (int(found[3]) if found and found[3] else None)
    kind = _abstract(word, first)
    auto = counts_itself and name in key and word == "integer"
    reference = next((one for one in foreign_keys if one.columns == (name,)), None)
    if auto:
        kind = "id"
    elif reference and kind in INTEGERS:
        kind = "reference"
    return Column(
        name=str(name),
        type=kind,
        db_type=text,
        length=first,
        precision=first if kind in NUMBERS else None,
        scale=second,
        default=_default(default, kind),
        allow_null=not not_null,
        fixed_length=word in ("char", "character", "nchar", "native character"),
        supports_multibyte=word.startswith(("nchar", "nvarchar", "native")),
        auto_increment=auto,
        is_primary_key=name in key,
        is_unique=(name,) in uniques.values(),
        ref_table=reference.ref_table if reference else None,
        ref_field=reference.ref_columns[0] if reference else None,
        generated=hidden in (2, 3),
    )


def _abstract(word: str, length: int | None) -> str:
    if word == "tinyint" and length == 1:
        return "boolean"
    if _CHARACTERS.fullmatch(word):
        return "string"
    return _TYPES.get(word, "string")


def _default(default: Value, kind: str) -> JSON:
    """What ``DEFAULT`` says, as JSON; an expression as ``{"expression": text}``."""
    if default is None or str(default).upper() == "NULL":
        return None
    text = str(default).strip()
    if found := _QUOTED_DEFAULT.fullmatch(text):
        text = found[1].replace("''", "'") if found[1] is not None else found[2].replace('""', '"')
        return is_true(text) if kind == "boolean" else text
    if kind == "boolean" and text.lower() in ("true", "false", "0", "1"):
        return is_true(text)
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)
    except ValueError:
        return {"expression": text}


async def _uniques(connection: Connection, table: str) -> dict[str, tuple[str, ...]]:
    rows = await connection.fetch(
        "SELECT l.name, i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i"
        " WHERE l.\"unique\" AND NOT l.partial AND l.origin <> 'pk' ORDER BY l.name, i.seqno",
        (table,),
    )
    found: dict[str, tuple[str, ...]] = {}
    for index, column in rows:
        found[str(index)] = (*found.get(str(index), ()), str(column))
    return found


async def _foreign_keys(connection: Connection, table: str) -> tuple[ForeignKey, ...]:
    rows = await connection.fetch(
        'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq',
        (table,),
    )
    groups: dict[Value, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return tuple([await _foreign_key(connection, table, group) for group in groups.values()])


async def _foreign_key(connection: Connection, table: str, rows: Sequence[Row]) -> ForeignKey:
    columns = tuple(str(row[2]) for row in rows)
    target = str(rows[0][1])
    if rows[0][3] is None:
        found = await connection.fetch("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (target,))
        named = tuple(str(row[0]) for row in found)
        named = named if len(named) == len(columns) else columns
    else:
        named = tuple(str(row[3]) for row in rows)
    return ForeignKey(
        name=f"fk_{table}_{'_'.join(columns)}".lower(),
        columns=columns,
        ref_table=target,
        ref_columns=named,
        on_update=str(rows[0][4]),
        on_delete=str(rows[0][5]),
    )


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
