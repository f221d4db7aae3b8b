"""The hot path: one row by its key, or a short page in key order, from a plan that is bound and run.

A request that is not that plain is left to `reading`; it answers the same, only slower.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from reverie.database import Connection, DatabaseBusy, DatabaseError, ReadsNow, Row, TooSlow, Value
from reverie.errors import ReverieError
from reverie.model import JSON, Context, Request, Response
from reverie.services.sql import plan
from reverie.services.sql.batch import refused
from reverie.services.sql.bounds import Bounds
from reverie.services.sql.catalogue import Catalogue, Table
from reverie.services.sql.execute import Executor
from reverie.services.sql.options import RICHER, names
from reverie.services.sql.reading import QUICK_PAGE, not_found, on_key
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.relations import fetches_always
from reverie.services.sql.statements import Select, Statement

MOST_PLANS: Final = 1024


class _Plan:
    """A plain read of one catalogue, ready to be bound and run."""

    __slots__ = ("catalogue", "key", "maker", "renamed", "statement")

    def __init__(self, executor: Executor, catalogue: Catalogue, table: Table, fields: JSON, order: str | None) -> None:
        """*order* is None for a read by key."""
        self.catalogue = catalogue
        self.renamed = table.shown != table.name  # conditions of roles may hang on either name
        columns = plan.fields_of(table, ("*",) if fields is None else names("fields", fields))
        self.key = () if order is not None else tuple(plan.column_of(table, name) for name in table.primary_key)
        shape = Select(
            table=table.source,
            columns=columns,
            where=plan.key_filter(self.key) if self.key else None,
            order=plan.order_of(table, order) if order else (),
            paged=order is not None,
        )
        self.statement = executor.statements.statement(shape)
        self.maker = executor.row_maker(table, columns)


class QuickReads:
    """Plans by shape: table, fields, order, and whether a key follows."""

    def __init__(self, executor: Executor, reflector: Reflector, bounds: Bounds, *, max_records: int) -> None:
        self._executor = executor
        self._reflector = reflector
        self._bounds = bounds
        self._largest = min(QUICK_PAGE, max_records)
        self._plans: dict[tuple[str, JSON, JSON], _Plan] = {}
        self._now = executor.database if isinstance(executor.database, ReadsNow) else None
        self._encode = msgspec.json.Encoder().encode

    async def answer(self, request: Request, context: Context) -> Response | None:
        """The answer to ``GET _table/{t}`` with a limit or ``GET _table/{t}/{id}``; None where it is not that plain.

        Raises:
            NotFound: no such record.
            Unavailable
        """
        parameters = request.parameters
        if request.payload or not RICHER.isdisjoint(parameters):
            return None
        _, _, path = request.resource.partition("/")
        name, _, identifier = path.partition("/")
        fields, order = parameters.get("fields"), parameters.get("order", "")
        found = self._plans.get((name, fields, None if identifier else order)) if _plain(fields, order) else None
        if found is None or found.catalogue is not (self._reflector.recent() or await self._reflector.catalogue()):
            found = await self._prepare(name, fields, None if identifier else order)
        if found is None or self._bounds.hold(name, found.renamed, request, context):
            return None
        return await (self._one(found, identifier, context) if identifier else self._page(found, parameters, context))

    async def _prepare(self, name: str, fields: JSON, order: JSON) -> _Plan | None:
        catalogue = await self._reflector.catalogue()
        table = catalogue.shown(name)
        if (
            table is None
            or fetches_always(table)
            or not _plain(fields, order)
            or (order is None and not table.primary_key)
        ):
            return None
        text = None if order is None else str(order)
        try:
            if text is not None and not on_key(table, plan.order_of(table, text)):
                return None
            prepared = _Plan(self._executor, catalogue, table, fields, text)
        except ReverieError:
            return None  # the full read says what is wrong
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[name, fields, order] = prepared
        return prepared

    async def _one(self, prepared: _Plan, identifier: str, context: Context) -> Response | None:
        identifier = identifier.partition("/")[0]
        try:
            values = plan.key_values(prepared.key, identifier)
        except ReverieError:
            return None
        rows = await self._fetch(prepared.statement, values, context)
        if rows is None:
            return None
        if not rows:
            raise not_found(identifier)
        record = prepared.maker.records(rows)[0]
        return Response(content=record, encoded=self._encode(record))

    async def _page(self, prepared: _Plan, parameters: Mapping[str, JSON], context: Context) -> Response | None:
        limit, offset = _number(parameters.get("limit")), _number(parameters.get("offset", 0))
        if limit is None or offset is None or not 0 < limit <= self._largest:
            return None
        rows = await self._fetch(prepared.statement, (limit, offset), context)
        if rows is None:
            return None
        content: dict[str, JSON] = {"resource": cast("JSON", prepared.maker.records(rows))}
        return Response(content=content, encoded=self._encode(content))

    async def _fetch(self, statement: Statement, values: Sequence[Value], context: Context) -> list[Row] | None:
        """None where the full read is to find out what is wrong.

        Raises:
            Unavailable: the database was not reached in time; a second wait would double it.
        """
        sql, arranged, quick = statement.sql, statement.values(values), True
        if context.note is None and self._now is not None:
            try:
                return self._now.fetch_now(sql, arranged)
            except DatabaseBusy as error:
                raise refused(error, "", reading=True) from error
            except TooSlow:
                quick = False
            except DatabaseError:
                return None

        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(sql, arranged)

        began = time.perf_counter()
        try:
            return await self._executor.database.read(work, quick=quick)
        except DatabaseBusy as error:
            raise refused(error, "", reading=True) from error
        except DatabaseError:
            return None
        finally:
            if context.note is not None:
                context.note("database", time.perf_counter() - began)


def _plain(fields: JSON, order: JSON) -> bool:
    return (fields is None or isinstance(fields, str)) and (order is None or isinstance(order, str))


def _number(value: JSON) -> int | None:
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) else None
