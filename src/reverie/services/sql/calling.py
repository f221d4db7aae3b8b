"""`_proc` and `_func`: procedures and functions listed, described and called."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from reverie.auth.access import filters_for
from reverie.auth.lookups import put_lookups
from reverie.database import Connection, Database, DatabaseBusy, DatabaseError, Refusal, Row, Value
from reverie.errors import BadRequest, Forbidden, NotFound, ReverieError
from reverie.model import JSON, Caller, Context, Request, Response, Verb, is_true
from reverie.services.sql.batch import refused
from reverie.services.sql.catalogue import INTEGERS, NUMBERS
from reverie.services.sql.relations import label_of
from reverie.services.sql.routines import Called, Parameter, Routine, RoutineBook, Rows

KINDS: Final[dict[str, str]] = {"_proc": "Procedures", "_func": "Functions"}
PLACES: Final[Mapping[str, str]] = {"_proc": "procedure_name", "_func": "function_name"}
"""What stands for the name in paths and events."""
_WORDS: Final = {"_proc": "Procedure", "_func": "Function"}
_PATH: Final = re.compile(r"([^()]+)(?:\((.*)\))?", re.DOTALL)
_QUOTED: Final = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)")\s*(?=,|\Z)""")
_QUOTE: Final = re.compile(r"""\s*['"]""")
_MOST_ARGUMENTS: Final = 1000

Given = Sequence[JSON] | Mapping[str, JSON]
"""Parameters by their place, or by their names in lower case."""


class Routines:
    """The routines of one service.

    Args:
        read_only: the database takes no changes, so a call may only read.
    """

    def __init__(self, database: Database, book: RoutineBook, *, service: str, read_only: bool) -> None:
        self._database = database
        self._book = book
        self._service = service
        self._read_only = read_only

    async def names(self, kind: str) -> list[str]:
        return list(dict.fromkeys(one.name for one in await self._read(kind)))

    async def described(self, kind: str, access: Callable[[str], int]) -> dict[str, dict[str, JSON]]:
        """Every routine that the caller may do anything with, whole, by its name."""
        found: dict[str, dict[str, JSON]] = {}
        for one in await self._read(kind):
            if one.name not in found and (mask := access(f"{kind}/{one.name}")):
                found[one.name] = _described(one, mask)
        return found

    async def call(self, kind: str, path: str, request: Request, context: Context) -> Response:
        """Answer a call; *path* is what follows ``_proc/``.

        Raises:
            NotFound: there is no such routine.
            Forbidden: the role's conditions on records could not be kept, or the service only reads.
            BadRequest, Conflict, Unavailable: the database refused; says nothing of the statement.
        """
        matched = _PATH.fullmatch(path.rstrip("/"))
        if request.method not in ("GET", "POST"):
            raise BadRequest(f"{request.method} is not supported on routines: they are called by GET or POST.")
        if matched is None:
            raise BadRequest(f"The call cannot be read: write '{kind}/name' or '{kind}/name(value,value)'.")
        name, inline = matched[1], matched[2]
        self._refuse_conditions(f"{kind}/{name}", request.method, context)
        payload = request.payload if isinstance(request.payload, dict) else {}
        # The database may take more for the same name than roles do, such as one with a blank at its end.
        known = [one for one in await self._read(kind, name) if one.name.lower() == name.lower()]
        if not known:
            raise NotFound(f"{_WORDS[kind]} '{name}' does not exist in the database.")
        given = _given(payload.get("params"), inline, request.parameters)
        routine = _fitting(known, given)
        values = {
            place: _to_database(parameter, _looked_up(value, context.caller))
            for place, (parameter, value) in _placed(routine, given).items()
        }

        def option(which: str) -> JSON:
            return request.parameters.get(which) or payload.get(which)

        called = await self._run(routine, values)
        shaped = _shaped(routine, called, option("wrapper"), option("returns"), payload.get("schema"))
        return Response(content=shaped)

    def _refuse_conditions(self, component: str, method: str, context: Context) -> None:
        """What a routine reads and changes is its own business: no condition on records can be put on it."""
        role = context.caller.role
        if filters_for(role, self._service, component, int(Verb[method]), int(context.requestor)):
            raise Forbidden(
                f"The role's conditions on records cannot be kept inside '{component}'. An administrator can allow it "
                "by an entry for it without conditions."
            )

    async def _read(self, kind: str, name: str | None = None) -> Sequence[Routine]:
        async def work(connection: Connection) -> Sequence[Routine]:
            return await self._book.read(connection, functions=kind == "_func", name=name)

        try:
            return await self._database.read(work, quick=False)
        except DatabaseError as error:
            raise refused(error, "", reading=True) from error

    async def _run(self, routine: Routine, values: Mapping[int, Value]) -> Called:
        async def work(connection: Connection) -> Called:
            return await self._book.call(connection, routine, values)

        try:
            return await self._database.write(work)
        except DatabaseError as error:
            raise self._failure(error, routine) from error

    def _failure(self, error: DatabaseError, routine: Routine) -> ReverieError:
        if self._read_only and re.search("read.only", str(error), re.IGNORECASE):
            return Forbidden(f"'{routine.name}' changes data, and service '{self._service}' is read-only.")
        if isinstance(error, DatabaseBusy) or (isinstance(error, Refusal) and error.detail):
            return refused(error, routine.name)
        return BadRequest(
            f"The database refused the call of '{routine.name}': a parameter does not fit, or the routine failed."
        )


# -- what is shown


def _described(routine: Routine, access: int) -> dict[str, JSON]:
    return {
        "alias": None, "name": routine.name, "label": label_of(routine.name), "description": routine.description,
        "native": [], "return_type": routine.return_type,
        "return_schema": [{"name": name, "type": kind} for name, kind in routine.schema],
        "params": [
            {
                "name": one.name, "position": place, "param_type": one.mode, "type": one.type, "db_type": one.db_type,
                "length": one.length, "precision": one.precision, "scale": one.scale, "default": one.default,
            }
            for place, one in enumerate(routine.parameters, 1)
        ],
        "access": access,
    }  # fmt: skip


# -- what is given


def _given(body: JSON, inline: str | None, query: Mapping[str, JSON]) -> Given:
    """The parameters, from the first place that has any: the body, the path's parentheses, the query.

    Raises:
        BadRequest: they have a shape that makes no sense.
    """
    if body not in (None, [], {}, ""):
        return _from_body(body)
    if inline is not None and inline.strip():
        return _from_path(inline)
    return {name.lower(): value for name, value in query.items()}


def _from_body(body: JSON) -> Given:
    if isinstance(body, dict):
        return {name.lower(): value for name, value in body.items()}
    if not isinstance(body, list):
        raise BadRequest("The parameters must be a list of values, or a map of names to values, under 'params'.")
    if any(isinstance(one, dict) and "name" in one for one in body):
        named: dict[str, JSON] = {}
        for one in body:
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                raise BadRequest("Either all parameters are given as name and value, or none.")
            named[str(one["name"]).lower()] = one.get("value")
        return named
    return body


def _from_path(text: str) -> list[JSON]:
    """Values between commas, a text with commas in quotes."""
    found: list[JSON] = []
    at = 0
    while len(found) < _MOST_ARGUMENTS:
        if _QUOTE.match(text, at):
            matched = _QUOTED.match(text, at)
            if matched is None:
                raise BadRequest("A quote in the path does not end, or more follows it; inside, a quote is doubled.")
            single, double = matched.groups()
            found.append(single.replace("''", "'") if single is not None else double.replace('""', '"'))
            end = matched.end()
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            found.append(text[at:end].strip() or None)
        if end == len(text):
            return found
        at = end + 1
    raise BadRequest(f"Too many parameters: at most {_MOST_ARGUMENTS}.")


def _fitting(known: Sequence[Routine], given: Given) -> Routine:
    """Of several with one name in any case, the one that takes what is given, and the least besides."""

    def misfit(routine: Routine) -> tuple[int, int]:
        taken = routine.taken
        if isinstance(given, Mapping):
            met = sum(1 for one in taken if one.name.lower() in given)
            return (-met, len(taken) - met)
        return (max(0, len(given) - len(taken)), abs(len(taken) - len(given)))

    return min(known, key=misfit)


def _placed(routine: Routine, given: Given) -> dict[int, tuple[Parameter, JSON]]:
    """What is given, by the place of its parameter; what the routine does not take is ignored."""
    places = [(place, one) for place, one in enumerate(routine.parameters) if one.mode != "OUT"]
    if isinstance(given, Mapping):
        return {place: (one, given[one.name.lower()]) for place, one in places if one.name.lower() in given}
    return {place: (one, value) for (place, one), value in zip(places, given, strict=False)}


def _looked_up(value: JSON, caller: Caller) -> JSON:
    return put_lookups(value, caller, secrets=False) if isinstance(value, str) and "{" in value else value


def _to_database(parameter: Parameter, value: JSON) -> Value:
    """The value as the parameter's type wants it; text that is no number counts as 0, as clients know it."""
    if value is None:
        return None
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"The parameter '{parameter.name}' holds half a character (a lone surrogate).") from error
    kind = parameter.type
    if kind == "boolean":
        return is_true(value)
    if kind in INTEGERS or kind in NUMBERS:
        number = _number(value)
        return int(number) if kind in INTEGERS else number
    if kind == "binary":
        try:
            return base64.b64decode(str(value), validate=True)
        except ValueError as error:
            raise BadRequest(f"The parameter '{parameter.name}' must be base64 text.") from error
    return str(int(value)) if isinstance(value, bool) else str(value)


def _number(value: JSON) -> int | float:
    """A number of that spelling, else 0; never one that is not finite."""
    if isinstance(value, int):
        return int(value)
    try:
        return int(str(value))
    except ValueError:
        pass
    try:
        found = float(str(value))
    except ValueError:
        return 0
    return found if abs(found) < 1e300 else 0


# -- what is answered


def _shaped(routine: Routine, called: Called, wrapper: JSON, returns: JSON, schema: JSON) -> JSON:
    kinds = {str(name): str(kind) for name, kind in schema.items()} if isinstance(schema, dict) else {}
    sets = [_records(one, kinds) for one in called.sets]
    wanted = str(returns).strip().lower() if isinstance(returns, str) else ""
    scalar = wanted if wanted and wanted != "table" else None
    if routine.is_function:
        return _of_function(routine, called, sets, scalar)
    found: JSON = sets[0] if len(sets) == 1 else list(sets)
    key = wrapper if isinstance(wrapper, str) and wrapper else None
    if called.out:
        out: dict[str, JSON] = {name: _cast(_plain(value), kinds.get(name)) for name, value in called.out.items()}
        return {**out, key or "resource": found} if any(sets) else out
    if scalar:
        return _first(called, scalar)
    return {key: found} if key else found


def _of_function(routine: Routine, called: Called, sets: list[JSON], scalar: str | None) -> JSON:
    if scalar or routine.answers == "value":
        return _first(called, scalar or routine.return_type)
    records = sets[0] if sets else []
    if routine.answers == "record":
        return records[0] if isinstance(records, list) and records else None
    return records


def _first(called: Called, kind: str | None) -> JSON:
    """The first column of the first row; null without one."""
    rows = called.sets[0].rows if called.sets else ()
    return _cast(_plain(rows[0][0]), kind) if rows and rows[0] else None


def _records(one: Rows, kinds: Mapping[str, str]) -> JSON:
    def record(row: Row) -> dict[str, JSON]:
        return {name: _cast(_plain(value), kinds.get(name)) for name, value in zip(one.columns, row, strict=True)}

    return [record(row) for row in one.rows]


def _plain(value: Value) -> JSON:
    """A value as JSON; of a type that JSON has no word for, its text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _cast(value: JSON, kind: str | None) -> JSON:
    """The value as the type that was asked for; null, and what no such value can be made of, stays."""
    if value is None or kind is None:
        return value
    kind = kind.lower()
    if kind in INTEGERS:
        return int(_number(value))
    if kind in NUMBERS:
        number = _number(value)
        return int(number) if isinstance(number, float) and number.is_integer() else number
    if kind == "boolean":
        return is_true(value)
    if kind in ("string", "text", "json", "uuid"):
        return str(value)
    return value
