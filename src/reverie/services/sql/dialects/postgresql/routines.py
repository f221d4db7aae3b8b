"""Procedures and functions of one schema of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from reverie.database import Connection, Value
from reverie.model import JSON
from reverie.services.sql.definitions import quoted
from reverie.services.sql.dialects.postgresql.catalogue import TYPES
from reverie.services.sql.routines import Called, Parameter, Routine, Rows

# Those that the user may call, but not what only triggers call, nor what came with an extension. A domain counts as the
# type below it.
_ROUTINES: Final = """
SELECT n.nspname::text, p.proname::text, p.proretset,
       COALESCE(bt.typname, t.typname)::text, t.typtype::text, d.description,
       COALESCE(p.proargnames, '{}')::text[], COALESCE(p.proargmodes::text[], '{}'),
       (SELECT array_agg(format_type(a.type, NULL) ORDER BY a.place)
          FROM unnest(COALESCE(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY a (type, place)),
       (SELECT array_agg(COALESCE(b.typname, y.typname)::text ORDER BY a.place)
          FROM unnest(COALESCE(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY a (type, place)
          JOIN pg_catalog.pg_type y ON y.oid = a.type
          LEFT JOIN pg_catalog.pg_type b ON y.typtype = 'd' AND b.oid = y.typbasetype),
       (SELECT array_agg(pg_get_function_arg_default(p.oid, place) ORDER BY place)
          FROM generate_series(1, COALESCE(array_length(p.proallargtypes, 1), p.pronargs)) place),
       p.pronargdefaults::int, p.provariadic <> 0
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
  LEFT JOIN pg_catalog.pg_type bt ON t.typtype = 'd' AND bt.oid = t.typbasetype
  LEFT JOIN pg_catalog.pg_description d
    ON d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass AND d.objsubid = 0
 WHERE n.nspname = current_schema() AND p.prokind = $1::text::"char"
   AND ($2::text IS NULL OR lower(p.proname::text) = lower($2::text))
   AND t.typname NOT IN ('trigger', 'event_trigger')
   AND has_function_privilege(p.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
 ORDER BY p.proname, p.oid
"""

_MODES: Final[Mapping[str, Literal["IN", "OUT", "INOUT"]]] = {"i": "IN", "o": "OUT", "b": "INOUT", "v": "IN"}


class PostgresqlRoutines:
    """`RoutineBook` for PostgreSQL 11 and later."""

    async def read(self, connection: Connection, *, functions: bool, name: str | None = None) -> Sequence[Routine]:
        rows = cast("list[Any]", await connection.fetch(_ROUTINES, ("f" if functions else "p", name)))
        return [_routine(row, functions) for row in rows]

    async def call(self, connection: Connection, routine: Routine, values: Mapping[int, Value]) -> Called:
        key = cast("dict[str, JSON]", routine.key)
        name = f"{quoted(str(key['schema']))}.{quoted(routine.name)}"
        words, bound = _arguments(routine, values, variadic=bool(key["variadic"]))
        called = f"{name}({', '.join(words)})"
        if routine.is_function:
            # Names and types come from the catalogue, values are bound.
            rows = await connection.fetch(f"SELECT * FROM {called}", bound)  # noqa: S608
            if key["void"]:
                return Called()
            return Called(sets=[Rows(tuple(connection.columns()), rows)])
        rows = await connection.fetch(f"CALL {called}", bound)
        return Called(out=dict(zip(connection.columns(), rows[0], strict=True)) if rows else {})


def _arguments(routine: Routine, values: Mapping[int, Value], *, variadic: bool) -> tuple[list[str], list[Value]]:
    """The call's arguments, by name where they have one, so that those with a default may be left out."""
    words: list[str] = []
    bound: list[Value] = []
    named = False
    last = max((place for place, one in enumerate(routine.parameters) if one.mode != "OUT"), default=-1)
    for place, one in enumerate(routine.parameters):
        if one.mode == "OUT" and routine.is_function:
            continue
        if place not in values and one.optional:
            named = True
            continue
        value = values.get(place)
        # Every value travels as a text, which the server takes for what the parameter is.
        bound.append(value if value is None or isinstance(value, str | bytes) else _text(value))
        kind = "bytea" if isinstance(value, bytes) else "text"
        word = f"CAST(${len(bound)}::{kind} AS {one.db_type})"
        word = f"{quoted(one.name)} => {word}" if named and one.name else word
        words.append(f"VARIADIC {word}" if variadic and place == last else word)
    return words, bound


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _routine(row: Sequence[Any], functions: bool) -> Routine:
    (schema, name, is_set, returned, kind, description, names, modes, db_types, types, defaults, with_default,
     variadic) = row  # fmt: skip
    db_types, types, defaults = db_types or [], types or [], defaults or []
    modes = modes or ["i"] * len(types)
    parameters, columns = [], []
    taken = sum(mode in ("i", "b", "v") for mode in modes)
    seen = 0
    for place, mode in enumerate(modes):
        named = names[place] if place < len(names) else ""
        abstract = TYPES.get(types[place], "string")
        if mode == "t":
            columns.append((named, abstract))
            continue
        seen += mode != "o"
        parameters.append(
            Parameter(
                name=named,
                mode=_MODES[mode],
                type=abstract,
                db_type=db_types[place],
                default=defaults[place],
                # Only the last of those that are taken can have one.
                optional=mode != "o" and seen > taken - with_default,
            )
        )
    given_back = [one for one in parameters if one.mode != "IN"]
    answers: Literal["rows", "value", "record"] = "value"
    if is_set or not functions:
        answers = "rows"
    elif kind == "c" or (returned == "record" and len(given_back) > 1):
        answers = "record"
    if functions and answers != "value" and not columns:
        columns = [(one.name, one.type) for one in given_back]
    return Routine(
        name=name,
        is_function=functions,
        parameters=tuple(parameters),
        return_type=TYPES.get(returned, "string") if functions and answers == "value" and returned != "void" else None,
        answers=answers,
        schema=tuple(columns),
        description=description,
        key={"schema": schema, "variadic": variadic, "void": returned == "void"},
    )
