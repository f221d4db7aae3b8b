"""A plain batch of new records: one statement, in one go, for all that have the same fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from reverie.database import Connection, Value
from reverie.model import JSON
from reverie.services.sql.catalogue import Table
from reverie.services.sql.execute import Executor, Record
from reverie.services.sql.statements import Insert

MANY: Final = 20
"""Records from which on a batch is tried at once. A smaller one that fails uses up no numbers of a sequence twice."""

IN_THREAD: Final = 2000
"""Records from which on a batch is made ready beside the event loop."""


class Insertions(NamedTuple):
    """Records that one statement creates: its shape, and the values of each."""

    shape: Insert
    values: list[Sequence[Value]]


class NotAtOnce(Exception):
    """A batch that must be written record by record, so that each can say what is wrong with it."""


def names_of(item: JSON) -> tuple[str, ...]:
    """The names of a record's fields, by which records go together. Raises NotAtOnce for what is no record."""
    if not isinstance(item, dict):
        raise NotAtOnce
    return tuple(item)


async def insert_all(
    executor: Executor, connection: Connection, table: Table, insertions: Sequence[Insertions]
) -> list[Record]:
    """What was stored, in the order of *insertions*.

    Raises:
        NotAtOnce: a row is missing, or does not meet the check of its statement.
        DatabaseError
    """
    found: list[Record] = []
    for shape, values in insertions:
        rows = await executor.fetch_each(connection, shape, values)
        # A trigger of the database may have kept one out.
        if len(rows) != len(values) or (shape.check is not None and not all(row[-1] for row in rows)):
            raise NotAtOnce
        found += executor.row_maker(table, shape.returning).records(rows)
    return found
