"""A column of an SQLite table is made another one: the table is made anew, as SQLite's page on ALTER TABLE says.

It is made from its own CREATE TABLE with that one definition changed. So whatever else stands there (CHECK, COLLATE,
AUTOINCREMENT, STRICT, computed columns) stays to the letter, and so do indexes, triggers and views.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.database import Connection, Refusal, Row
from reverie.errors import BadRequest, Conflict, NotSupported
from reverie.services.sql.definitions import Change, quoted

_TOKEN: Final = re.compile(
    r"(?P<blank>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<name>\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\])"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<other>\d[\w.]*|.)",
    re.DOTALL,
)
_CONSTRAINTS: Final = frozenset({
    "CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS",
})  # fmt: skip
"""Words that end the type of a column."""
_OF_TABLE: Final = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_COUNTING: Final = re.compile(r"int", re.IGNORECASE)
_FLOATING: Final = re.compile(r"real|floa|doub|decimal|numeric", re.IGNORECASE)
_SIZED: Final = re.compile(r"(?:n?(?:var)?char)\((\d+)\)", re.IGNORECASE)
TEMPORARY: Final = "reverie_made_anew"


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a statement: from where to where, and what is there; words in capitals, names without quotes."""

    start: int
    end: int
    kind: str
    value: str


Definition = Sequence[Token]


async def change_column(connection: Connection, *, table: str, column: str, change: Change) -> None:
    """Make *table* anew with *column* as *change* says.

    Args:
        connection: in a unit that `Rebuilds.rebuild` runs.

    Raises:
        BadRequest, Conflict, Refusal: a value that is there does not fit.
        NotSupported: the statement that made the table cannot be read.
    """
    sql = str(
        (await connection.fetch("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)))[0][0]
    )
    made = with_change(sql, column, change)
    others = await connection.fetch(
        "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (table,),
    )
    counted = await _counted(connection, table)
    pointing = await _pointing_nowhere(connection)
    stored = await connection.fetch("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid", (table,))
    names = ", ".join(quoted(str(row[0])) for row in stored)
    await connection.execute(made)
    try:
        copy = f"INSERT INTO {TEMPORARY} ({names}) SELECT {names} FROM {quoted(table)}"  # noqa: S608 - quoted names
        await connection.execute(copy)
    except Refusal as error:
        error.detail = error.detail.replace(TEMPORARY, table)
        raise
    await _must_fit(connection, column, change.type or "")
    await connection.execute(f"DROP TABLE {quoted(table)}")
    await connection.execute(f"ALTER TABLE {TEMPORARY} RENAME TO {quoted(table)}")
    for one in others:
        await connection.execute(str(one[0]))
    for one in counted:
        await connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (one[0], table))
    if await _pointing_nowhere(connection) > pointing:
        raise Conflict(f"A reference from or to field '{column}' would point nowhere.")


async def _counted(connection: Connection, table: str) -> list[Row]:
    """The largest key that the table ever gave, where it remembers."""
    if not await connection.fetch("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"):
        return []
    return await connection.fetch("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))


async def _pointing_nowhere(connection: Connection) -> int:
    return int(str((await connection.fetch("SELECT count(*) FROM pragma_foreign_key_check"))[0][0]))


async def _must_fit(connection: Connection, column: str, kind: str) -> None:
    """SQLite keeps what does not fit a type as it is; the other databases refuse the change.

    Raises:
        BadRequest
    """
    name = quoted(column)
    if sized := _SIZED.fullmatch(kind):
        wrong = f"length({name}) > {int(sized[1])}"
    elif _COUNTING.search(kind):
        wrong = f"typeof({name}) NOT IN ('integer', 'null')"
    elif _FLOATING.search(kind):
        wrong = f"typeof({name}) NOT IN ('integer', 'real', 'null')"
    else:
        return
    if await connection.fetch(f"SELECT 1 FROM {TEMPORARY} WHERE {wrong} LIMIT 1"):  # noqa: S608 - a quoted name
        raise BadRequest(f"Field '{column}' holds values that are no {kind}.")


def with_change(sql: str, column: str, change: Change) -> str:
    """The statement *sql* for a table `TEMPORARY` whose *column* is as *change* says.

    Raises:
        NotSupported: it is none that can be read, as that of a virtual table.
    """
    tokens = [token for token in _tokens(sql) if token.kind != "blank"]
    begin = next((at for at, token in enumerate(tokens) if token.value == "("), len(tokens))
    head = [token.value for token in tokens[:2]]
    definition = next((one for one in _definitions(tokens[begin:]) if _names(one, column)), None)
    if head != ["CREATE", "TABLE"] or definition is None:
        raise NotSupported(f"Field '{column}' cannot be changed: the statement that made its table cannot be read.")
    pieces = [f"CREATE TABLE {TEMPORARY} "]
    at = tokens[begin].start
    for start, end, text in _edits(definition, change):
        pieces += (sql[at:start], text)
        at = end
    return "".join([*pieces, sql[at:]])


def _tokens(sql: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(sql):
        kind, value = str(found.lastgroup), found[0]
        if kind == "word":
            value = value.upper()
        elif kind == "name":
            value = value[1:-1].replace(value[0] * 2, value[0])
        yield Token(found.start(), found.end(), kind, value)


def _definitions(tokens: Sequence[Token]) -> Iterator[Definition]:
    """What stands between the commas of the first parentheses."""
    depth = 0
    one: list[Token] = []
    for token in tokens:
        if token.value == ")" and token.kind == "other":
            depth -= 1
        if depth == 0 and one:
            yield one
            return
        if depth == 1 and token.kind == "other" and token.value == ",":
            yield one
            one = []
        elif depth:
            one.append(token)
        if token.value == "(" and token.kind == "other":
            depth += 1


def _names(definition: Definition, column: str) -> bool:
    first = definition[0]
    return first.value.lower() == column.lower() and not (first.kind == "word" and first.value in _OF_TABLE)


def _edits(definition: Definition, change: Change) -> list[tuple[int, int, str]]:
    """What to put in the place of what, in the order of the text."""
    name, rest = definition[0], definition[1:]
    kept = next((at for at, token in enumerate(rest) if _is(token, *_CONSTRAINTS)), len(rest))
    after_type = rest[kept - 1].end if kept else name.end
    edits: list[tuple[int, int, str]] = []
    if change.type is not None:
        edits.append((name.end, after_type, f" {change.type}"))
    added = ""
    found = dict(_constraints(rest[kept:]))
    if change.allow_null is not None:
        edits += [(*found[word], "") for word in ("NOT", "NULL") if word in found]
        added += "" if change.allow_null else " NOT NULL"
    if change.default is not None:
        edits += [(*found["DEFAULT"], "")] if "DEFAULT" in found else []
        added += f" DEFAULT {change.default}"
    if added:
        edits.append((after_type, after_type, added))
    if change.reference is not None:
        edits.append((definition[-1].end, definition[-1].end, f" {change.reference}"))
    return sorted(edits, key=lambda one: (one[0], one[1]))


def _constraints(tokens: Definition) -> Iterator[tuple[str, tuple[int, int]]]:
    """``NOT`` (that is, NOT NULL), ``NULL`` and ``DEFAULT`` of a column, each from its name to its end."""
    at, named = 0, None
    while at < len(tokens):
        token = tokens[at]
        start = token.start if named is None else named
        if _is(token, "CONSTRAINT"):
            at, named = at + 2, token.start
            continue
        end = at + 1
        if token.kind == "other" and token.value == "(":
            end = _skipped(tokens, at)
        elif _is(token, "SET"):
            end = at + 2  # ON DELETE SET NULL
        elif _is(token, "DEFAULT"):
            end = _skipped(tokens, at + (2 if tokens[at + 1].value in ("+", "-") else 1))
            yield "DEFAULT", (start, tokens[end - 1].end)
        elif _is(token, "NULL") or (_is(token, "NOT") and end < len(tokens) and _is(tokens[end], "NULL")):
            end += _is(token, "NOT")
            end += 3 if end < len(tokens) and _is(tokens[end], "ON") else 0  # ON CONFLICT IGNORE
            yield token.value, (start, tokens[end - 1].end)
        at, named = end, None


def _skipped(tokens: Definition, at: int) -> int:
    """The place behind the token at *at*, or behind the parentheses that it opens."""
    depth = 0
    while at < len(tokens):
        token = tokens[at]
        depth += {"(": 1, ")": -1}.get(token.value, 0) if token.kind == "other" else 0
        at += 1
        if depth == 0:
            return at
    return at


def _is(token: Token, *words: str) -> bool:
    return token.kind == "word" and token.value in words
