"""What the parameters of a call ask for: which records, which fields, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, asc, desc, false, nulls_first, nulls_last, or_

from reverie.errors import BadRequest, NotSupported
from reverie.model import JSON, Request
from reverie.services.sql import filters
from reverie.services.system.fields import Field, convert, is_storable
from reverie.services.system.resource import flag, words

MOST_RECORDS: Final = 1000
_LARGEST: Final = 2**63 - 1

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "fields": ("fields", "select"),
    "filter": ("filter", "where"),
    "limit": ("limit", "top"),
    "offset": ("offset", "skip"),
    "order": ("order", "sort", "order_by"),
    "group": ("group", "group_by"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a call asks for.

    Attributes:
        fields: names asked for; None when the call does not say.
        ids: as sent; None when the call names none.
        where: the condition of ``filter``; None without one.
    """

    fields: tuple[str, ...] | None
    related: tuple[str, ...]
    ids: tuple[str, ...] | None
    where: ColumnElement[bool] | None
    order: tuple[ColumnElement[Any], ...]
    limit: int
    offset: int
    id_field: str
    as_list: bool
    include_count: bool
    count_only: bool


def parameter(request: Request, name: str) -> JSON:
    """A parameter by its name or an alias: from the query, else from a body that carries records apart from it."""
    names = _ALIASES.get(name, (name,))
    for source in (request.parameters, _body_parameters(request)):
        for one in names:
            if one in source:
                return source[one]
    return None


def _body_parameters(request: Request) -> Mapping[str, JSON]:
    body = request.payload
    if isinstance(body, dict) and ("resource" in body or request.method in ("GET", "DELETE")):
        return body
    return {}


def read_criteria(
    request: Request, table: Table, fields: Sequence[Field], key: str, columns: Columns | None = None
) -> Criteria:
    """The criteria of a call.

    Args:
        columns: what a filter or an order may name; the table's own without it.

    Raises:
        BadRequest: an unknown field, or a filter or order that makes no sense.
    """
    if parameter(request, "group"):
        raise BadRequest("System records cannot be grouped.")
    if flag(request, "include_schema"):
        raise NotSupported("Not there yet: include_schema for system resources.")
    columns = columns or Columns(table, fields)
    ids = parameter(request, "ids")
    chosen = parameter(request, "fields")
    id_field = str(request.parameters.get("id_field") or key)
    columns.named(id_field, "id_field")
    return Criteria(
        fields=None if chosen is None else _field_names(words(chosen), fields, key),
        related=tuple(words(parameter(request, "related"))),
        ids=tuple(words(ids)) or None,
        where=columns.condition(parameter(request, "filter"), request.parameters.get("params")),
        order=columns.order(parameter(request, "order"), key),
        limit=_number(parameter(request, "limit"), MOST_RECORDS, lowest=1, highest=MOST_RECORDS),
        offset=_number(parameter(request, "offset"), 0, lowest=0, highest=_LARGEST),
        id_field=id_field,
        as_list=flag(request, "as_list"),
        include_count=flag(request, "include_count"),
        count_only=flag(request, "count_only"),
    )


def _field_names(names: list[str], fields: Sequence[Field], key: str) -> tuple[str, ...]:
    """Checked names, ``*`` spelled out; none named means the key alone."""
    known = {field.name.lower(): field.name for field in fields if field.shown}
    chosen: list[str] = []
    for name in names:
        if name == "*":
            chosen.extend(known.values())
        elif name.lower() in known:
            chosen.append(known[name.lower()])
        else:
            raise BadRequest(f"Unknown field '{name}'.")
    return tuple(dict.fromkeys(chosen)) or (key,)


def _number(value: JSON, otherwise: int, *, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return otherwise
    try:
        number = int(value)
    except ValueError:
        return otherwise
    return number if lowest <= number <= highest else otherwise


class Columns:
    """The columns that a filter or an order may name."""

    def __init__(self, table: Table, fields: Sequence[Field]) -> None:
        self.fields = {field.name.lower(): field for field in fields if field.comparable}
        self.table = table

    def named(self, name: str, where: str) -> tuple[Field, ColumnElement[Any]]:
        field = self.fields.get(name.lower())
        if field is None:
            raise BadRequest(f"Invalid or unparsable field in {where} request: '{name}'")
        return field, self.table.c[field.name]

    def compared(self, field: Field, column: ColumnElement[Any], tree: filters.Compare) -> ColumnElement[bool]:
        return _compared(column, tree.operator, self.value(field, tree.value))

    def among(self, field: Field, column: ColumnElement[Any], tree: filters.IsIn) -> ColumnElement[bool]:
        return column.in_([self.value(field, value) for value in tree.values]) if tree.values else false()

    # -- order

    def order(self, text: JSON, key: str) -> tuple[ColumnElement[Any], ...]:
        if text is None or text == "":
            return (self.table.c[key].asc(),)
        if not isinstance(text, str) or ";" in text:
            raise BadRequest("The order must be a list of fields such as 'name desc, id'.")
        return tuple(self._ordered(part.split()) for part in text.split(",") if part.strip())

    def _ordered(self, parts: list[str]) -> ColumnElement[Any]:
        _, column = self.named(parts[0], "order")
        rest = [part.lower() for part in parts[1:]]
        ordered: ColumnElement[Any] = desc(column) if rest[:1] == ["desc"] else asc(column)
        if rest[-2:] == ["nulls", "first"]:
            ordered = nulls_first(ordered)
        elif rest[-2:] == ["nulls", "last"]:
            ordered = nulls_last(ordered)
        elif rest[-2:] != ["nulls", "first"]:
            # As SQLite has it: nothing is less than everything. PostgreSQL has it the other way round.
            ordered = nulls_last(ordered) if rest[:1] == ["desc"] else nulls_first(ordered)
        return ordered

    # -- filter

    def condition(self, text: JSON, params: JSON) -> ColumnElement[bool] | None:
        if text is None:
            return None
        if not isinstance(text, str):
            raise BadRequest("The filter must be a text.")
        tree = filters.parse_filter(text, params if isinstance(params, dict) else None)
        return None if tree is None else self._expression(tree)

    def _expression(self, tree: filters.Filter) -> ColumnElement[bool]:
        if isinstance(tree, filters.And):
            return and_(*(self._expression(part) for part in tree.parts))
        if isinstance(tree, filters.Or):
            return or_(*(self._expression(part) for part in tree.parts))
        if isinstance(tree, filters.Not):
            return ~self._expression(tree.part)
        if isinstance(tree, filters.Applied):
            return self._expression(tree.part)
        field, column = self.named(tree.field, "filter")
        if isinstance(tree, filters.IsNull):
            missing: ColumnElement[bool] = column.is_(None)
            return missing
        if isinstance(tree, filters.IsIn):
            return self.among(field, column, tree)
        if isinstance(tree, filters.Matches):
            return _matching(field, column, tree)
        return self.compared(field, column, tree)

    @staticmethod
    def value(field: Field, value: filters.Scalar) -> JSON:
        try:
            return convert(Field(name=field.name, kind=field.kind), value)
        except ValueError as error:
            raise BadRequest(f"Invalid value in filter request: '{field.name}' {error}.") from None


def _matching(field: Field, column: ColumnElement[Any], tree: filters.Matches) -> ColumnElement[bool]:
    if field.kind in ("time", "number"):
        raise BadRequest(f"Invalid value in filter request: '{field.name}' is no text; compare it with <, = or >.")
    text = "" if tree.value is None else str(tree.value)
    if not is_storable(text):
        raise BadRequest(f"Invalid value in filter request: '{field.name}' must not hold characters that are no text.")
    before = "%" if tree.pattern in ("contains", "ends with") else ""
    after = "%" if tree.pattern in ("contains", "starts with") else ""
    return column.like(f"{before}{text}{after}")


def _compared(column: ColumnElement[Any], operator: filters.Operator, value: JSON) -> ColumnElement[bool]:
    if value is None:
        return false()
    made: Mapping[str, ColumnElement[bool]] = {
        "=": column == value,
        "!=": column != value,
        "<": column < value,
        "<=": column <= value,
        ">": column > value,
        ">=": column >= value,
    }
    return made[operator]
