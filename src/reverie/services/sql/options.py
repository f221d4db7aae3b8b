"""What a request asks for beside its path: parameters with their aliases, in the query or in the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reverie.errors import BadRequest
from reverie.model import JSON, is_true

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "fields": ("fields", "select"), "filter": ("filter", "where"), "params": ("params",), "ids": ("ids",),
    "limit": ("limit", "top"), "offset": ("offset", "skip"), "order": ("order", "sort", "order_by"),
    "group": ("group", "group_by"), "count_only": ("count_only",), "continue": ("continue",),
    "rollback": ("rollback",), "after": ("after",),
}  # fmt: skip
"""Those that may also come in the body."""

MOST_IDS: Final = 10_000

PLAIN: Final = frozenset({"fields", "limit", "offset", "order"})
"""What a plain read may carry; any other name of ours makes it a full one."""
RICHER: Final = frozenset(
    {name for names in _ALIASES.values() for name in names} - PLAIN
    | {"id_field", "related", "include_count", "include_schema", "force", "refresh", "as_list"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The request's wishes, not yet checked against a table.

    Attributes:
        fields: as named; ``("*",)`` for all; None when not asked for.
        limit: what was asked for when it is a whole number above 0; None means the server's maximum.
        ids: as sent; None when not asked for.
        after: a cursor; empty for the first page, None when pages are not asked for in this way.
    """

    fields: tuple[str, ...] | None = None
    filter: str = ""
    params: Mapping[str, JSON] = field(default_factory=dict)
    limit: int | None = None
    offset: int = 0
    order: str = ""
    after: str | None = None
    group: tuple[str, ...] = ()
    ids: tuple[JSON, ...] | None = None
    id_field: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    goes_on: bool = False
    rolls_back: bool = False
    count_only: bool = False
    include_count: bool = False
    include_schema: bool = False
    force: bool = False
    as_list: bool = False


def read_options(parameters: Mapping[str, JSON], payload: JSON = None) -> Options:
    """Options of a request; the query wins over the body.

    Args:
        payload: the body where it may hold options, else None.

    Raises:
        BadRequest: `rollback` and `continue` together, or a value of a shape that makes no sense.
    """
    body = payload if isinstance(payload, dict) else {}
    get = _Lookup(parameters, body)
    found = Options(
        fields=None if (fields := get("fields")) is None else names("fields", fields),
        filter=_text("filter", get("filter")),
        params=_map("params", get("params")),
        limit=whole_number(get("limit")),
        offset=whole_number(get("offset")) or 0,
        order=_text("order", get("order")),
        after=None if (after := get("after")) is None else _text("after", after),
        group=names("group", get("group")),
        ids=_ids(get("ids")),
        id_field=names("id_field", parameters.get("id_field")),
        related=names("related", parameters.get("related")),
        goes_on=is_true(get("continue")),
        rolls_back=is_true(get("rollback")),
        count_only=is_true(get("count_only")),
        include_count=is_true(parameters.get("include_count")),
        include_schema=is_true(parameters.get("include_schema")),
        force=is_true(parameters.get("force")),
        as_list=is_true(parameters.get("as_list")),
    )
    if found.goes_on and found.rolls_back:
        raise BadRequest("Rollback and continue operations can not be requested at the same time.")
    return found


def names(option: str, value: JSON) -> tuple[str, ...]:
    """A comma list or a list as names without blanks around them; empty ones vanish.

    Raises:
        BadRequest: something other than texts is in it.
    """
    if value is None:
        return ()
    parts: list[JSON] = list(value.split(",")) if isinstance(value, str) else value if isinstance(value, list) else []
    if not isinstance(value, str | list):
        _refuse(option, "a list of names")
    found = [part.strip() if isinstance(part, str) else _refuse(option, "a list of names") for part in parts]
    return tuple(part for part in found if part)


def whole_number(value: JSON) -> int | None:
    """A whole number above 0, else None; there is no error for nonsense."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**62 else None


def _text(option: str, value: JSON) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value) and option == "order":
        return ",".join(str(part) for part in value)
    return _refuse(option, "a text")


def _map(option: str, value: JSON) -> Mapping[str, JSON]:
    if isinstance(value, dict):
        return value
    if value is not None and value not in ("", []):
        _refuse(option, "a map of names to values")
    return {}


def _ids(value: JSON) -> tuple[JSON, ...] | None:
    if value is None or value in ("", []):
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    found = tuple(value) if isinstance(value, list) else (value,)
    if len(found) > MOST_IDS:
        raise BadRequest(f"Too many ids: {len(found)}, at most {MOST_IDS} in one request.")
    return found


def _refuse(option: str, shape: str) -> str:
    raise BadRequest(f"The parameter '{option}' must be {shape}.")


class _Lookup:
    def __init__(self, parameters: Mapping[str, JSON], body: Mapping[str, JSON]) -> None:
        self._sources = (parameters, body)

    def __call__(self, name: str) -> JSON:
        for source in self._sources:
            for alias in _ALIASES[name]:
                if (value := source.get(alias)) is not None:
                    return value
        return None
