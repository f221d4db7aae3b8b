"""A plain batch of new records: one statement, in one go, for all that have the same fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from reverie.database import Connection, Value
from reverie.services.sql.catalogue import Table
from reverie.services.sql.execute import Executor, Record
from reverie.services.sql.statements import Insert

MANY: Final = 20
"""Records from which on a batch is tried at once. A smaller one that fails uses up no numbers of a sequence twice."""

Insertion: TypeAlias = "tuple[Insert, list[Value]]"


class NotAtOnce(Exception):
    """A batch that must be written record by record, so that each can say what is wrong with it."""


async def insert_all(
    executor: Executor, connection: Connection, table: Table, insertions: Sequence[Insertion]
) -> list[Record]:
    """What was stored, in the order of *insertions*.

    Raises:
        NotAtOnce: a row is missing, or does not meet the check of its statement.
        DatabaseError
    """
    groups: list[tuple[Insert, list[list[Value]]]] = []
    for shape, values in insertions:
        if not groups or groups[-1][0] != shape:
            groups.append((shape, []))
        groups[-1][1].append(values)
    found: list[Record] = []
    for shape, all_values in groups:
        rows = await executor.fetch_each(connection, shape, all_values)
        # A trigger of the database may have kept one out.
        if len(rows) != len(all_values) or (shape.check is not None and not all(row[-1] for row in rows)):
            raise NotAtOnce
        found += executor.row_maker(table, shape.returning).records(rows)
    return found
