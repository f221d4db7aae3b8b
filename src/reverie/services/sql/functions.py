"""Database functions of fields: a small language of expressions → a tree → SQL of our own making.

    concat     := sum { "||" sum }
    sum        := product { ("+" | "-") product }
    product    := part { ("*" | "/") part }
    part       := number | 'text' | field | "field" | function "(" [concat {"," concat}] ")" | "(" concat ")" | {value}

Nothing of the text reaches a statement: names of functions come from the list below, fields from the catalogue, quoted
by the dialect, and numbers and texts are bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa

from reverie.database import Value
from reverie.errors import BadRequest

Use: TypeAlias = Literal["SELECT", "FILTER", "INSERT", "UPDATE"]
Element: TypeAlias = "sa.ColumnElement[Any]"

LONGEST: Final = 1000
"""Characters of an expression."""
DEEPEST: Final = 20

_COMMON: Final[Mapping[str, tuple[int, int]]] = {
    "lower": (1, 1), "upper": (1, 1), "trim": (1, 1), "ltrim": (1, 1), "rtrim": (1, 1), "length": (1, 1),
    "replace": (3, 3), "substr": (2, 3), "abs": (1, 1), "round": (1, 2), "coalesce": (2, 9), "nullif": (2, 2),
    "concat": (1, 9),
}  # fmt: skip
"""On every database; with the fewest and the most arguments."""
FUNCTIONS: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "sqlite": {
        **_COMMON, "ifnull": (2, 2), "instr": (2, 2), "date": (1, 3), "time": (1, 3), "datetime": (1, 3),
        "strftime": (2, 4), "julianday": (1, 3), "min": (2, 9), "max": (2, 9), "sign": (1, 1), "hex": (1, 1),
    },
    "postgresql": {
        **_COMMON, "initcap": (1, 1), "left": (2, 2), "right": (2, 2), "strpos": (2, 2), "split_part": (3, 3),
        "concat_ws": (2, 9), "ceil": (1, 1), "floor": (1, 1), "greatest": (2, 9), "least": (2, 9), "md5": (1, 1),
        "date_part": (2, 2), "date_trunc": (2, 2), "to_char": (2, 2), "sign": (1, 1), "reverse": (1, 1),
    },
    "mysql": {
        **_COMMON, "ifnull": (2, 2), "left": (2, 2), "right": (2, 2), "instr": (2, 2), "concat_ws": (2, 9),
        "char_length": (1, 1), "ceil": (1, 1), "floor": (1, 1), "greatest": (2, 9), "least": (2, 9), "md5": (1, 1),
        "date": (1, 1), "year": (1, 1), "month": (1, 1), "day": (1, 1), "hour": (1, 1), "minute": (1, 1),
        "date_format": (2, 2), "datediff": (2, 2), "sign": (1, 1), "reverse": (1, 1),
    },
}  # fmt: skip
"""By database. None has an effect, waits, reads files, or makes much of little."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column, as the database names it."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | float | None


@dataclass(frozen=True, slots=True)
class Given:
    """The value that is written."""


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Two expressions and what stands between them."""

    operator: Literal["||", "+", "-", "*", "/"]
    left: Expression
    right: Expression


Expression: TypeAlias = "Field | Constant | Given | Call | Join"

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?)
      | '(?P<text>(?:[^']|'')*)'
      | "(?P<quoted>(?:[^"]|"")+)" | `(?P<ticked>[^`]+)`
      | (?P<given>\{value\})
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>\|\||[-+*/(),])
    )""",
    re.VERBOSE,
)


def parse(text: str, columns: Callable[[str], str | None], database: str, *, writes: bool) -> Expression:
    """The tree of an expression.

    Args:
        columns: a column's name as the database spells it; None when there is none.
        writes: ``{value}`` may stand for the value that is written.

    Raises:
        BadRequest: it is none, or holds something that is not on the list; says what.
    """
    if len(text) > LONGEST:
        raise BadRequest(f"A database function may have {LONGEST} characters at most.")
    return _Parser(text, columns, database, writes=writes).whole()


class _Parser:
    def __init__(self, text: str, columns: Callable[[str], str | None], database: str, *, writes: bool) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._columns = columns
        self._functions = FUNCTIONS.get(database, _COMMON)
        self._writes = writes
        self._depth = 0

    def whole(self) -> Expression:
        found = self._concat()
        if self._at < len(self._tokens):
            raise _wrong(f"'{self._tokens[self._at][1]}' was not expected")
        return found

    def _sign(self, *signs: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in signs:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _concat(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _wrong(f"it is nested more than {DEEPEST} deep")
        found = self._sum()
        while self._sign("||"):
            found = Join("||", found, self._sum())
        self._depth -= 1
        return found

    def _sum(self) -> Expression:
        found = self._product()
        while sign := self._sign("+", "-"):
            found = Join("+" if sign == "+" else "-", found, self._product())
        return found

    def _product(self) -> Expression:
        found = self._part()
        while sign := self._sign("*", "/"):
            found = Join("*" if sign == "*" else "/", found, self._part())
        return found

    def _part(self) -> Expression:
        if self._sign("("):
            inside = self._concat()
            self._closed()
            return inside
        if self._at >= len(self._tokens):
            raise _wrong("it ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        match kind:
            case "number":
                return Constant(float(text) if "." in text else int(text))
            case "text":
                return Constant(text.replace("''", "'"))
            case "given":
                if not self._writes:
                    raise _wrong("{value} has a meaning where a value is written: in the uses insert and update")
                return Given()
            case "name" if self._sign("("):
                return self._call(text.lower())
            case "name" | "quoted" | "ticked":
                return self._field(text.replace('""', '"') if kind == "quoted" else text)
            case _:
                raise _wrong(f"'{text}' was not expected")

    def _call(self, name: str) -> Call:
        if name not in self._functions:
            raise _wrong(f"there is no function '{name}' here, there are {', '.join(sorted(self._functions))}")
        arguments: list[Expression] = []
        if not self._sign(")"):
            arguments.append(self._concat())
            while self._sign(","):
                arguments.append(self._concat())
            self._closed()
        fewest, most = self._functions[name]
        if not fewest <= len(arguments) <= most:
            raise _wrong(f"'{name}' takes {fewest if fewest == most else f'{fewest} to {most}'} arguments")
        return Call(name, tuple(arguments))

    def _field(self, name: str) -> Field:
        known = self._columns(name)
        if known is None:
            raise _wrong(f"the table has no field '{name}'")
        return Field(known)

    def _closed(self) -> None:
        if not self._sign(")"):
            raise _wrong("a ')' is missing")


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, text = 0, text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise _wrong(f"{text[at : at + 10]!r} does not belong in it")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


def _wrong(what: str) -> BadRequest:
    return BadRequest(f"The database function cannot be used: {what}.")


def fields_in(tree: Expression) -> Iterator[str]:
    """Names of the columns in it."""
    match tree:
        case Field(name):
            yield name
        case Call(_, arguments):
            for one in arguments:
                yield from fields_in(one)
        case Join(_, left, right):
            yield from fields_in(left)
            yield from fields_in(right)


def element(
    tree: Expression,
    column: Callable[[str], Element],
    constant: Callable[[Value], Element],
    given: Callable[[], Element] | None = None,
) -> Element:
    """SQLAlchemy's construct for it.

    Args:
        column: by the database's name.
        constant: binds a value that is part of the expression.
        given: binds the value that is written.
    """

    def built(one: Expression) -> Element:
        match one:
            case Field(name):
                return column(name)
            case Constant(value):
                return constant(value)
            case Given():
                if given is None:
                    raise AssertionError("no value is written here")
                return given()
            case Call(function, arguments):
                called: Element = getattr(sa.func, function)(*map(built, arguments))
                return called
            case Join(operator, left, right):
                return _JOIN[operator](built(left), built(right))

    return built(tree)


_JOIN: Final[Mapping[str, Callable[[Element, Element], Element]]] = {
    "||": lambda left, right: left.concat(right),
    "+": lambda left, right: left.op("+")(right),
    "-": lambda left, right: left.op("-")(right),
    "*": lambda left, right: left.op("*")(right),
    "/": lambda left, right: left.op("/")(right),
}


def parsed_uses(
    listed: Sequence[object], columns: Callable[[str], str | None], database: str
) -> tuple[tuple[Use, Expression], ...]:
    """The expressions of a field's ``db_function``, by their use.

    Args:
        listed: ``[{"use": ["SELECT"], "function": "...", "function_type": "database"}]``.

    Raises:
        BadRequest: it is not of that form, or cannot be used.
    """
    found: dict[Use, Expression] = {}
    for one in listed:
        uses = one.get("use") if isinstance(one, Mapping) else None
        text = one.get("function") if isinstance(one, Mapping) else None
        if not isinstance(uses, list) or not isinstance(text, str) or not text.strip():
            raise BadRequest("A db_function is a list of maps with 'use', a list, and 'function', a text.")
        for use in uses:
            known = _USES.get(str(use).upper())
            if known is None:
                raise BadRequest(f"A db_function is used for {', '.join(_USES).lower()}, not for '{use}'.")
            if known in found:
                raise BadRequest(f"A field has one database function for {known.lower()}, not two.")
            found[known] = parse(text, columns, database, writes=known in ("INSERT", "UPDATE"))
    return tuple(sorted(found.items()))


_USES: Final[Mapping[str, Use]] = {"SELECT": "SELECT", "FILTER": "FILTER", "INSERT": "INSERT", "UPDATE": "UPDATE"}
