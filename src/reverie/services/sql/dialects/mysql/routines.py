"""Procedures and functions of a MySQL database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from reverie.database import Connection, Value
from reverie.mysql.connection import MysqlConnection
from reverie.services.sql.definitions import quoted
from reverie.services.sql.dialects.mysql.catalogue import abstract
from reverie.services.sql.routines import Called, Parameter, Routine, Rows

_ROUTINES: Final = """
SELECT routine_name, data_type, dtd_identifier, routine_comment FROM information_schema.routines
 WHERE routine_schema = DATABASE() AND routine_type = %s AND (%s IS NULL OR LOWER(routine_name) = LOWER(%s))
 ORDER BY routine_name
"""

# Place 0 is what a function answers; the table above has that too.
_PARAMETERS: Final = """
SELECT specific_name, parameter_mode, parameter_name, data_type, dtd_identifier, character_maximum_length,
       numeric_precision, numeric_scale
  FROM information_schema.parameters
 WHERE specific_schema = DATABASE() AND routine_type = %s AND ordinal_position > 0
   AND (%s IS NULL OR LOWER(specific_name) = LOWER(%s))
 ORDER BY specific_name, ordinal_position
"""


class MysqlRoutines:
    """`RoutineBook` for MySQL and MariaDB. A procedure's rows are known only once it was called."""

    async def read(self, connection: Connection, *, functions: bool, name: str | None = None) -> Sequence[Routine]:
        wanted = ("FUNCTION" if functions else "PROCEDURE", name, name)
        found = cast("list[Any]", await connection.fetch(_ROUTINES, wanted))
        parameters: dict[str, list[Any]] = defaultdict(list)
        for routine, *row in cast("list[Any]", await connection.fetch(_PARAMETERS, wanted)):
            parameters[routine].append(row)
        return [
            Routine(
                name=routine,
                is_function=functions,
                parameters=tuple(_parameter(row) for row in parameters[routine]),
                return_type=abstract(data_type, db_type) if functions else None,
                answers="value" if functions else "rows",
                description=comment or None,
            )
            for routine, data_type, db_type, comment in found
        ]

    async def call(self, connection: Connection, routine: Routine, values: Mapping[int, Value]) -> Called:
        name = quoted(routine.name).replace("%", "%%")
        if routine.is_function:
            bound = [values.get(place) for place in range(len(routine.parameters))]
            places = ", ".join(["%s"] * len(bound))
            return Called(sets=[Rows(("value",), await connection.fetch(f"SELECT {name}({places})", bound))])
        return await _call_procedure(cast("MysqlConnection", connection), routine, name, values)


async def _call_procedure(
    connection: MysqlConnection, routine: Routine, name: str, values: Mapping[int, Value]
) -> Called:
    """Values come back through variables of the session, whose names are ours."""
    words: list[str] = []
    bound: list[Value] = []
    for place, parameter in enumerate(routine.parameters):
        if parameter.mode == "IN":
            words.append("%s")
            bound.append(values.get(place))
            continue
        words.append(f"@reverie_{place}")
        await connection.execute(f"SET @reverie_{place} = %s", (values.get(place),))
    sets = await connection.fetch_sets(f"CALL {name}({', '.join(words)})", bound)
    variables = [word for word in words if word != "%s"]
    out = await connection.fetch(f"SELECT {', '.join(variables)}") if variables else [()]
    return Called(
        sets=[Rows(tuple(columns), rows) for columns, rows in sets],
        out=dict(zip((one.name for one in routine.given_back), out[0], strict=True)),
    )


def _parameter(row: Sequence[Any]) -> Parameter:
    mode, name, data_type, db_type, length, precision, scale = row
    kind = abstract(data_type, db_type)
    return Parameter(
        name=name or "",
        mode=mode or "IN",
        type=kind,
        db_type=db_type,
        length=length,
        precision=precision if data_type == "decimal" else None,
        scale=scale if data_type == "decimal" else None,
    )
