"""Filter text → tree, with no SQL and no knowledge of columns in it. Grammar: docs/reference/filters.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reverie.errors import BadRequest
from reverie.model import JSON

Scalar: TypeAlias = "bool | int | float | str | None"
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Pattern: TypeAlias = Literal["like", "contains", "starts with", "ends with"]

MAX_LENGTH: Final = 65_536
"""Characters of a filter."""
MAX_DEPTH: Final = 50
"""Parentheses and NOTs inside each other."""
MAX_COMPARISONS: Final = 500
MAX_ITEMS: Final = 2_000
"""Values of all IN lists together."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`value` is text as written, or what a parameter holds. The column's type decides what it means."""

    field: str
    operator: Operator
    value: Scalar


@dataclass(frozen=True, slots=True)
class Matches:
    field: str
    pattern: Pattern
    value: Scalar


@dataclass(frozen=True, slots=True)
class IsIn:
    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    field: str


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a client asked for: fields stand for what their functions for FILTER make of them. The conditions of roles
    and of keys are about the columns themselves."""

    part: Filter


Filter: TypeAlias = "Compare | Matches | IsIn | IsNull | Not | And | Or | Applied"

_SYMBOLS: Final[Mapping[str, Operator]] = {
    "=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_WORDS: Final[Mapping[str, Operator]] = {"eq": "=", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS: Final[Mapping[str, Pattern]] = {
    "like": "like", "contains": "contains", "starts with": "starts with", "ends with": "ends with",
}  # fmt: skip

_SPACE = re.compile(r"\s*+")
_SYMBOL = re.compile(r"[<>!]=|<>|[=<>]")
_NAME_PART = re.compile(r"""[^\s()=<>!&|'"]++""")
_WORD_OPERATOR = re.compile(
    r"(?P<word>(?:(?:not\s++)?(?:in|like|contains|starts\s++with|ends\s++with|eq|ne|gte?|lte?)|is\s++(?:not\s++)?null))"
    r"(?!\w)",
    re.IGNORECASE,
)
_LOGIC = re.compile(r"(?:(?P<and>&&|and(?!\w))|(?P<or>\|\||or(?!\w)))", re.IGNORECASE)
_NOT = re.compile(r"not(?![\w])", re.IGNORECASE)
# What may follow AND or OR after a bare text; otherwise the word belongs to the text, as in `name = Salt and Pepper`.
_OPERAND_AHEAD = re.compile(
    r"[\s(]*+(?:not[\s(]|[^\s()=<>!&|'\"]++\s*+(?:[=<>!]|(?:not|is|in|like|contains|starts|ends|eq|ne|gte?|lte?)(?!\w)))",
    re.IGNORECASE,
)
_QUOTED = {"'": re.compile(r"'((?:[^']|'')*+)'"), '"': re.compile(r'"((?:[^"]|"")*+)"')}
_PARAMETER = re.compile(r":\w+")


def parse_filter(text: str, params: Mapping[str, JSON] | None = None) -> Filter | None:
    """Turn ``(age > 21) and (name like 'a%')`` into a tree: And, Or, Not over comparisons; None for a blank text.

    Field names stay as written; ``plan`` checks them.

    Args:
        params: values of ``:name``, with or without the colon in the key; an unknown ``:name`` is plain text.

    Raises:
        BadRequest: names the first character that does not fit, counted from 1.
    """
    if not text.strip():
        return None
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"The filter is too long: {len(text)} characters, at most {MAX_LENGTH}.")
    return _Parser(text, params or {}).whole()


def condition(field: str, operator: str, value: JSON) -> Filter:
    """One condition of a role, ``{"name", "operator", "value"}``, as a tree. The operator's case does not matter.

    Raises:
        BadRequest: no such operator, or a value that does not fit it.
    """
    word = " ".join(operator.lower().split())
    if word in ("is null", "is not null"):
        return IsNull(field) if word == "is null" else Not(IsNull(field))
    parser = _Parser("" if value is None else value if isinstance(value, str) else str(value), {})
    if word in ("in", "not in"):
        values = tuple(scalar(item) for item in value) if isinstance(value, list) else parser.open_list()
        return _negated(IsIn(field, values), word.startswith("not "))
    single = parser.whole_value() if isinstance(value, str) else scalar(value)
    if symbol := _SYMBOLS.get(word) or _WORDS.get(word):
        return Compare(field, symbol, single)
    if pattern := _PATTERNS.get(word.removeprefix("not ")):
        return _negated(Matches(field, pattern, single), word.startswith("not "))
    raise BadRequest(f"A condition of the role has the unknown operator {operator!r}.")


def scalar(value: JSON) -> Scalar:
    """The value itself. Raises BadRequest for lists and maps."""
    if isinstance(value, list | dict):
        raise BadRequest("A filter compares with single values, not with lists or maps.")
    return value


def _negated(part: Filter, no: bool) -> Filter:
    return Not(part) if no else part


class _Parser:
    """Recursive descent over one text; `at` is the next character to read, counted from 0."""

    def __init__(self, text: str, params: Mapping[str, JSON]) -> None:
        self.text = text
        self.params = params
        self.at = 0
        self.depth = 0
        self.comparisons = 0
        self.items = 0

    def wrong(self, expected: str, at: int | None = None) -> BadRequest:
        at = self.at if at is None else at
        found = repr(self.text[at]) if at < len(self.text) else "the end"
        return BadRequest(f"The filter does not make sense at character {at + 1}: expected {expected}, found {found}.")

    def spaces(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def whole(self) -> Filter:
        tree = self.either()
        self.spaces()
        if self.at < len(self.text):
            raise self.wrong("AND, OR or the end")
        return tree

    # -- logic

    def either(self) -> Filter:
        parts = [self.both()]
        while self.logic("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self) -> Filter:
        parts = [self.operand()]
        while self.logic("and"):
            parts.append(self.operand())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def logic(self, kind: str) -> bool:
        self.spaces()
        found = _LOGIC.match(self.text, self.at)
        if not found or found[kind] is None:
            return False
        self.at = found.end()
        return True

    def operand(self) -> Filter:
        self.spaces()
        if found := _NOT.match(self.text, self.at):
            return self.deeper(found.end(), lambda: Not(self.operand()))
        if self.text.startswith("(", self.at):
            return self.deeper(self.at + 1, self.group)
        return self.comparison()

    def group(self) -> Filter:
        tree = self.either()
        self.spaces()
        if not self.text.startswith(")", self.at):
            raise self.wrong("AND, OR or ')'")
        self.at += 1
        return tree

    def deeper(self, start: int, inside: Callable[[], Filter]) -> Filter:
        if self.depth >= MAX_DEPTH:
            raise BadRequest(f"The filter is nested too deeply at character {self.at + 1}: at most {MAX_DEPTH} levels.")
        self.depth += 1
        self.at = start
        tree = inside()
        self.depth -= 1
        return tree

    # -- one comparison

    def comparison(self) -> Filter:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise BadRequest(f"The filter has too many comparisons: at most {MAX_COMPARISONS}.")
        field = self.field()
        if found := _SYMBOL.match(self.text, self.at):
            self.at = found.end()
            return Compare(field, _SYMBOLS[found[0]], self.value())
        found = _WORD_OPERATOR.match(self.text, self.at)
        if not found:
            raise self.wrong("an operator")
        self.at = found.end()
        word = " ".join(found[0].lower().split())
        no = "not" in word.split()
        word = word.replace("not ", "")
        if word == "is null":
            return _negated(IsNull(field), no)
        if word == "in":
            return _negated(IsIn(field, self.listed()), no)
        if pattern := _PATTERNS.get(word):
            return _negated(Matches(field, pattern, self.value()), no)
        return _negated(Compare(field, _WORDS[word], self.value()), no)

    def field(self) -> str:
        """The name before the operator, which may hold single spaces; then `at` stands on the operator."""
        self.spaces()
        start = self.at
        end = start
        while found := _NAME_PART.match(self.text, self.at):
            if end > start and _WORD_OPERATOR.match(self.text, self.at):
                break
            self.at = end = found.end()
            self.spaces()
        if end == start:
            raise self.wrong("a field")
        return self.text[start:end]

    # -- values

    def value(self) -> Scalar:
        self.spaces()
        quoted = self.quoted()
        return self.bare() if quoted is None else quoted

    def quoted(self) -> str | None:
        mark = self.text[self.at : self.at + 1]
        if mark not in _QUOTED:
            return None
        found = _QUOTED[mark].match(self.text, self.at)
        if not found:
            raise self.wrong(f"a closing {mark}", len(self.text))
        self.at = found.end()
        return found[1].replace(mark * 2, mark)

    def bare(self) -> Scalar:
        """Text up to the end of the operand: an unmatched ``)``, AND or OR before another comparison, or the end."""
        start, inside = self.at, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == "(":
                inside += 1
            elif character == ")":
                if not inside:
                    break
                inside -= 1
            elif not inside and self.logic_ahead():
                break
            self.at += 1
        if inside:
            raise self.wrong("')'", len(self.text))
        text = self.text[start : self.at].strip()
        if not text:
            raise self.wrong("a value", start)
        return scalar(self.resolved(text))

    def logic_ahead(self) -> bool:
        if self.text[self.at] not in "aAoO&|":
            return False
        before = self.text[self.at - 1]
        symbol = self.text[self.at] in "&|"
        found = _LOGIC.match(self.text, self.at)
        if not found or not (symbol or before.isspace() or before == ")"):
            return False
        return _OPERAND_AHEAD.match(self.text, found.end()) is not None

    def listed(self) -> tuple[Scalar, ...]:
        self.spaces()
        if not self.text.startswith("(", self.at):
            raise self.wrong("'(' before the list of IN")
        self.at += 1
        values = self.items_until(")")
        self.at += 1
        return values

    def items_until(self, end: str) -> tuple[Scalar, ...]:
        """Values between commas up to *end*, on which `at` stops; the empty *end* is the text's."""
        values: list[Scalar] = []
        while True:
            self.spaces()
            found = self.item(end)
            values.extend(found)
            self.items += max(len(found), 1)
            if self.items > MAX_ITEMS:
                raise BadRequest(f"The filter lists too many values: at most {MAX_ITEMS}.")
            self.spaces()
            if self.text.startswith(end, self.at) if end else self.at >= len(self.text):
                return tuple(values)
            if not self.text.startswith(",", self.at):
                raise self.wrong("',' or ')'")
            self.at += 1

    def item(self, end: str) -> list[Scalar]:
        quoted = self.quoted()
        if quoted is not None:
            return [quoted]
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != "," and not (end and self.text[self.at] == end):
            self.at += 1
        text = self.text[start : self.at].strip()
        if not text:
            raise self.wrong("a value")
        found = self.resolved(text)
        return [scalar(one) for one in found] if isinstance(found, list) else [scalar(found)]

    def resolved(self, text: str) -> JSON:
        """The parameter that *text* names, else *text* itself."""
        if not _PARAMETER.fullmatch(text):
            return text
        return self.params[text] if text in self.params else self.params.get(text[1:], text)

    # -- values of a role's conditions

    def whole_value(self) -> str:
        whole = self.text.strip()
        found = _QUOTED[whole[0]].fullmatch(whole) if whole[:1] in _QUOTED else None
        return found[1].replace(whole[0] * 2, whole[0]) if found else whole

    def open_list(self) -> tuple[Scalar, ...]:
        self.text = self.text.strip()
        if self.text.startswith("(") and self.text.endswith(")"):
            self.text = self.text[1:-1]
        return self.items_until("")
