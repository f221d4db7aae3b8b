"""Reading records: one by its id, some by their ids, a page by filter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from reverie.auth.lookups import put_lookups
from reverie.database import Connection, Row, Value
from reverie.errors import BadRequest, NotFound
from reverie.model import JSON, Caller
from reverie.services.sql import plan
from reverie.services.sql.batch import Outcome, perform
from reverie.services.sql.catalogue import Table
from reverie.services.sql.cursors import Keyset
from reverie.services.sql.execute import FREE, Cost, Executor, Record
from reverie.services.sql.filters import (
    And,
    Applied,
    Compare,
    Filter,
    IsIn,
    IsNull,
    Matches,
    Not,
    Or,
    Scalar,
    parse_filter,
)
from reverie.services.sql.options import Options
from reverie.services.sql.statements import Count, Order, Select
from reverie.services.sql.values import OutOfRange

QUICK_PAGE: Final = 100
"""Rows that may be read on the event loop."""
PART: Final = 500
"""Records of one part of a long list."""
LONG: Final = 1000
"""Records; a list that may have more is sent while it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request on the records of a table.

    Attributes:
        mine: what the caller's role lets through; None for everything.
        max_records: most records of one answer.
        cost: what the database may cost, and who is told.
    """

    table: Table
    options: Options
    caller: Caller
    max_records: int
    mine: Filter | None = None
    cost: Cost = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A page by filter, not yet run; `values` are those of the filter.

    Attributes:
        imposed: the limit is the server's, not the client's.
    """

    shape: Select
    values: list[Value]
    limit: int
    imposed: bool


def not_found(identifier: JSON) -> NotFound:
    text = msgspec.json.encode(identifier).decode() if isinstance(identifier, dict) else str(identifier)
    return NotFound(f"Record with identifier '{text}' not found.")


def wanted_filter(task: Task) -> Filter | None:
    """The client's filter AND the role's. Lookups are put into values, so they cannot change what is asked.

    Raises:
        BadRequest
    """
    tree = parse_filter(task.options.filter, task.options.params)
    if tree is None:
        return task.mine
    tree = with_lookups(tree, task.caller)
    if any(column.does("FILTER") for column in task.table.columns if column.functions):
        tree = Applied(tree)
    return plan.both(tree, task.mine)


def with_lookups(tree: Filter, caller: Caller) -> Filter:
    """The tree with ``{name}`` in its values replaced where the name is known."""
    match tree:
        case And(parts):
            return And(tuple([with_lookups(part, caller) for part in parts]))
        case Or(parts):
            return Or(tuple([with_lookups(part, caller) for part in parts]))
        case Not(part):
            return Not(with_lookups(part, caller))
        case IsIn(field, values):
            return IsIn(field, tuple([_put(value, caller) for value in values]))
        case Compare(field, operator, value):
            return Compare(field, operator, _put(value, caller))
        case Matches(field, pattern, value):
            return Matches(field, pattern, _put(value, caller))
        case Applied(part):
            return Applied(with_lookups(part, caller))
        case IsNull():
            return tree


def _put(value: Scalar, caller: Caller) -> Scalar:
    return put_lookups(value, caller, secrets=False) if isinstance(value, str) and "{" in value else value


class Reader:
    """Reads of one service."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def one(self, task: Task, identifier: JSON) -> Record:
        """One record.

        Raises:
            NotFound: there is none, or the role hides it.
            BadRequest: an id of a wrong type, an unknown field.
        """
        fields = self._fields(task)

        async def work(connection: Connection) -> Record:
            return await self.by_id(connection, task, identifier, fields)

        return await self._executor.read(work, task.table.name, quick=True, cost=task.cost)

    async def some(self, task: Task, identifiers: Sequence[JSON]) -> list[Record]:
        """Records in the order of their ids, repeated ones repeated. With `continue` each once, by key.

        Raises:
            BatchError: some are missing or make no sense.
        """
        asked = self._fields(task)
        key = tuple(column.name for column in plan.key_of(task.table, task.options))
        fields = tuple(dict.fromkeys((*asked, *key)))

        async def act(connection: Connection, identifier: JSON) -> Record:
            return await self.by_id(connection, task, identifier, fields)

        async def work(connection: Connection) -> Outcome[Record]:
            return await perform(connection, identifiers, act, task.options, table=task.table.name, reads=True)

        outcome = await self._executor.read(work, task.table.name, cost=task.cost)
        outcome.raise_failures("retrieved", task.options, lambda record: {name: record[name] for name in asked})
        found = outcome.results()
        if task.options.goes_on:
            by_key = {tuple(str(record[name]) for name in key): record for record in found}
            found = sorted(by_key.values(), key=lambda record: [_sortable(record[name]) for name in key])
        return [{name: record[name] for name in asked} for record in found]

    async def by_id(self, connection: Connection, task: Task, identifier: JSON, fields: tuple[str, ...]) -> Record:
        """One record inside a unit of work; raises as `one`."""
        key = plan.key_of(task.table, task.options)
        try:
            values = plan.key_values(key, identifier)
        except OutOfRange:
            raise not_found(identifier) from None
        where, more = plan.bind(task.table, task.mine)
        shape = Select(
            table=task.table.source, columns=fields, where=plan.both(plan.key_filter(key), where), paged=True
        )
        rows = await self._executor.fetch(connection, shape, [*values, *more, 1, 0])
        if not rows:
            raise not_found(identifier)
        return self._executor.row_maker(task.table, fields).records(rows)[0]

    async def count(self, task: Task) -> int:
        where, values = plan.bind(task.table, wanted_filter(task))
        return await self._count(task, where, values)

    async def page(self, task: Task) -> tuple[list[Record], dict[str, JSON]]:
        """Records by filter, and the `meta` that goes with them.

        Raises:
            BadRequest: a filter, field, order or group that makes no sense.
        """
        table, options, page = task.table, task.options, self._page(task)
        if options.after is not None:
            return await self._after(task, page, options.after)
        # One row more than the server's own limit tells whether there is more, without a count.
        bound = [*page.values, page.limit + page.imposed, options.offset]
        quick = self._is_quick(table, page) and not options.group

        async def work(connection: Connection) -> list[Record]:
            rows = await self._executor.fetch(connection, page.shape, bound)
            return self._executor.row_maker(table, page.shape.columns).records(rows)

        records = await self._executor.read(work, table.name, quick=quick, shape=page.shape, cost=task.cost)
        beyond = options.offset + len(records) > task.max_records or (not records and options.offset > task.max_records)
        meta: dict[str, JSON] = {}
        if options.include_count or (page.imposed and beyond):
            meta = _counted(await self._count(task, page.shape.where, page.values), page, options.offset)
        return records[: page.limit], meta

    async def _after(self, task: Task, page: _Page, cursor: str) -> tuple[list[Record], dict[str, JSON]]:
        """Records behind a cursor; `meta.after` is the next one, absent on the last page."""
        table, where = task.table, page.shape.where
        if task.options.offset or task.options.group:
            raise BadRequest("With 'after' there can be no offset and no group.")
        keyset = Keyset(table, page.shape.order, self._executor.dialect.name)
        segments = keyset.segments(cursor)
        shape = replace(page.shape, columns=(*page.shape.columns, *keyset.columns), order=keyset.order)

        async def work(connection: Connection) -> list[Row]:
            rows: list[Row] = []
            for condition, more in segments:
                left = page.limit + 1 - len(rows)
                if left < 1:
                    break
                part = replace(shape, where=plan.both(where, condition))
                rows += await self._executor.fetch(connection, part, [*page.values, *more, left, 0])
            return rows

        quick = self._is_quick(table, replace(page, shape=shape))
        rows = await self._executor.read(work, table.name, quick=quick, cost=task.cost)
        meta: dict[str, JSON] = {}
        if task.options.include_count:
            meta["count"] = await self._count(task, where, page.values)
        if len(rows) > page.limit:
            del rows[page.limit :]
            meta["after"] = keyset.after(rows[-1])
        return self._executor.row_maker(table, page.shape.columns).records(rows), meta

    async def parts(self, task: Task) -> tuple[AsyncGenerator[list[Record], None], dict[str, JSON]]:
        """As `page`, for a long list: its records come in parts while they are read."""
        table, offset, page = task.table, task.options.offset, self._page(task)
        meta: dict[str, JSON] = {}
        if task.options.include_count or page.imposed:
            # Before the rows: what stands beside the list must be known when it begins.
            count = await self._count(task, page.shape.where, page.values)
            if task.options.include_count or count > task.max_records:
                meta = _counted(count, page, offset)
        maker = self._executor.row_maker(table, page.shape.columns)
        rows = self._executor.stream(page.shape, [*page.values, page.limit, offset], table.name, size=PART)

        async def records() -> AsyncGenerator[list[Record], None]:
            async with aclosing(rows):
                async for part in rows:
                    yield maker.records(part)

        return records(), meta

    def limit(self, task: Task) -> int:
        """Most records that a page will hold."""
        wanted = task.options.limit
        return wanted if wanted and wanted <= task.max_records else task.max_records

    def _page(self, task: Task) -> _Page:
        table, options = task.table, task.options
        where, values = plan.bind(table, wanted_filter(task))
        if options.group:
            columns = plan.grouped_fields(table, options.fields or (), options.group)
        else:
            columns = self._fields(task)
        group = tuple(plan.stored_column_of(table, name, "group field").name for name in options.group)
        # Groups have no order of their own on every database, and without one the pages would not fit together.
        order = plan.order_of(table, options.order) or tuple(Order(column=name) for name in group)
        shape = Select(table=table.source, columns=columns, where=where, group=group, order=order, paged=True)
        limit = self.limit(task)
        return _Page(shape=shape, values=values, limit=limit, imposed=limit != options.limit)

    @staticmethod
    def _is_quick(table: Table, page: _Page) -> bool:
        return page.limit <= QUICK_PAGE and page.shape.where is None and on_key(table, page.shape.order)

    async def _count(self, task: Task, where: Filter | None, values: Sequence[Value]) -> int:
        shape = Count(table=task.table.source, where=where)

        async def work(connection: Connection) -> int:
            rows = await self._executor.fetch(connection, shape, values)
            return int(rows[0][0] or 0)

        return await self._executor.read(work, task.table.name, shape=shape, cost=task.cost)

    @staticmethod
    def _fields(task: Task) -> tuple[str, ...]:
        return plan.fields_of(task.table, ("*",) if task.options.fields is None else task.options.fields)


def _counted(count: int, page: _Page, offset: int) -> dict[str, JSON]:
    meta: dict[str, JSON] = {"count": count}
    if count - offset > page.limit:
        meta["next"] = offset + page.limit
    return meta


def on_key(table: Table, order: Sequence[Order]) -> bool:
    """Whether rows come in this order without sorting: the table's own, or the first columns of its key."""
    if table.is_view:
        return False
    same_way = len({one.descending for one in order}) <= 1
    named = tuple(one.column for one in order)
    return same_way and named == table.primary_key[: len(named)] and not any(one.nulls for one in order)


def _sortable(value: JSON) -> tuple[bool, float, str]:
    """Numbers first, then texts: how keys stand in the table's own order, near enough."""
    number = isinstance(value, int | float)
    return (not number, value if isinstance(value, int | float) else 0, str(value))
