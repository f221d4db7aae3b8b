"""Procedures and functions of a database, as values, and the interface to those who know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from reverie.database import Connection, Row, Value
from reverie.model import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        name: ``""`` where it has none; it can be given by its position alone.
        type: abstract type, as of a column.
        db_type: as the database spells it.
        default: an expression as the database spells it, to be shown; None without one.
        optional: the database has a value for it when none is given.
    """

    name: str
    mode: Literal["IN", "OUT", "INOUT"]
    type: str
    db_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    default: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """A procedure or function that the service's user may call.

    Attributes:
        return_type: abstract type of what a function answers; None for rows, and for procedures.
        answers: rows, one value, or a record of the OUT parameters.
        schema: columns of the rows that it is known to answer, with their abstract types.
        description: what the database keeps as its comment.
        key: how the dialect knows it; names alone may be ambiguous.
    """

    name: str
    is_function: bool
    parameters: tuple[Parameter, ...] = ()
    return_type: str | None = None
    answers: Literal["rows", "value", "record"] = "rows"
    schema: tuple[tuple[str, str], ...] = ()
    description: str | None = None
    key: JSON = None

    @property
    def taken(self) -> tuple[Parameter, ...]:
        """The parameters that a caller may give, in order."""
        return tuple(one for one in self.parameters if one.mode != "OUT")

    @property
    def given_back(self) -> tuple[Parameter, ...]:
        return tuple(one for one in self.parameters if one.mode != "IN")


@dataclass(frozen=True, slots=True)
class Rows:
    columns: tuple[str, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a call answered: every set of rows, and the values of parameters that are given back, by name."""

    sets: Sequence[Rows] = ()
    out: Mapping[str, Value] = field(default_factory=dict)


class RoutineBook(Protocol):
    """Knows and calls the routines of one kind of database."""

    async def read(self, connection: Connection, *, functions: bool, name: str | None = None) -> Sequence[Routine]:
        """The procedures, or the functions, by name; only those called *name* in any case, where it is given.

        Several may have one name and differ in their parameters.
        """
        ...

    async def call(self, connection: Connection, routine: Routine, values: Mapping[int, Value]) -> Called:
        """Call it.

        Args:
            values: by the place in `Routine.parameters`. One that is missing is left to the database where it is
                optional, else it is null.
        """
        ...
