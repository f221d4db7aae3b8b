"""The hot path of writes: one record created, or changed or deleted by its key, with one statement that stands alone.

A request that is not that plain, or is refused before it reaches the database, is left to `writing`, which answers the
same, only slower. Both give the database the same shapes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from reverie.database import Connection, DatabaseBusy, DatabaseError, Refusal, Row, Value
from reverie.errors import ReverieError, Unavailable
from reverie.model import JSON, Caller, Context, Request, Response
from reverie.services.sql import plan
from reverie.services.sql.batch import Outcome, refused
from reverie.services.sql.blame import blame, blame_references
from reverie.services.sql.bounds import Bounds
from reverie.services.sql.catalogue import Catalogue, Table
from reverie.services.sql.execute import Executor, Record
from reverie.services.sql.given import NotPlain, filled, missing, plain_value
from reverie.services.sql.options import PLAIN, RICHER, Options, names
from reverie.services.sql.reading import not_found
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.relations import fetches_always, name_of, relations
from reverie.services.sql.statements import Delete, Insert, Update

MOST_PLANS: Final = 1024
_RICHER: Final = RICHER | PLAIN - {"fields"}
_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOTHING: Final[Mapping[str, JSON]] = {}


class _Plan:
    """A plain write of one catalogue, ready to be bound and run.

    Args:
        given: the names of the record's fields, as it spells them.

    Raises:
        NotPlain, ReverieError
    """

    __slots__ = ("catalogue", "fixed", "key", "maker", "renamed", "shape", "shown", "statement", "table", "takes")

    def __init__(
        self,
        executor: Executor,
        catalogue: Catalogue,
        table: Table,
        method: str,
        fields: str | None,
        given: Sequence[str],
        related: frozenset[str],
    ) -> None:
        self.catalogue = catalogue
        self.table = table
        self.renamed = table.shown != table.name
        self.key = tuple(plan.column_of(table, name) for name in table.primary_key)
        if not self.key or fetches_always(table):
            raise NotPlain
        found = filled(table, given, related) if given else ()
        fixed = () if method == "POST" else table.primary_key
        self.takes = tuple((name, column) for name, column in found if column.name not in fixed)
        self.fixed = tuple((name, column) for name, column in found if column.name in fixed)
        columns = tuple(column.name for _, column in self.takes)
        asked = None if fields is None else plan.fields_of(table, names("fields", fields))
        returning = tuple(dict.fromkeys((*table.primary_key, *(asked or ()))))
        self.shown = None if asked is None or asked == returning else asked
        self.shape = self._shape(method, columns, returning)
        self.statement = executor.statements.statement(self.shape)
        self.maker = executor.row_maker(table, returning)

    def _shape(self, method: str, columns: tuple[str, ...], returning: tuple[str, ...]) -> Insert | Update | Delete:
        table = self.table
        by, exact = tuple(column.name for column in self.key), plan.is_exact(table, self.key)
        if method == "DELETE":
            where = plan.key_filter(self.key)
            return Delete(table=table.source, where=where, returning=returning, by=by, exact=exact)
        if not columns:
            raise NotPlain
        if method == "POST":
            if missing(table, columns) is not None:
                raise NotPlain
            return Insert(
                table=table.source,
                columns=columns,
                returning=returning,
                key=table.primary_key,
                counted=next((column.name for column in table.columns if column.auto_increment), None),
            )
        return Update(
            table=table.source,
            columns=columns,
            where=plan.key_filter(self.key),
            returning=returning,
            key=table.primary_key,
            by=by,
            exact=exact,
        )

    def values(self, record: Mapping[str, JSON], identifier: str, caller: Caller) -> list[Value]:
        """In the order of the shape. Raises NotPlain, BadRequest."""
        found = [plain_value(column, record[name], caller) for name, column in self.takes]
        for name, column in self.fixed:
            plain_value(column, record[name], caller)
        return [*found, *plan.key_values(self.key, identifier)] if identifier else found

    def record(self, rows: Sequence[Row]) -> Record:
        record = self.maker.records(rows[:1])[0]
        return record if self.shown is None else {name: record[name] for name in self.shown}


class QuickWrites:
    """Plans by shape: method, table, fields to be answered, and fields that are given.

    Args:
        upserts: a change of an id that does not exist creates the record, so it is no plain write.
    """

    def __init__(
        self, executor: Executor, reflector: Reflector, bounds: Bounds, *, service_id: int, upserts: bool
    ) -> None:
        self._executor = executor
        self._reflector = reflector
        self._bounds = bounds
        self._service_id = service_id
        self._upserts = upserts
        self._plans: dict[tuple[str, str, JSON, tuple[str, ...]], _Plan] = {}
        self._encode = msgspec.json.Encoder().encode

    async def answer(self, request: Request, context: Context) -> Response | None:
        """The answer to a POST of one record to ``_table/{t}``, or to a PUT, PATCH or DELETE of ``_table/{t}/{id}``.

        None where it is not that plain; then nothing was done.

        Raises:
            NotFound: no such record.
            BatchError: the database refused the new record.
            Conflict, BadRequest: it refused a change.
            Unavailable
        """
        fields = request.parameters.get("fields")
        if not _RICHER.isdisjoint(request.parameters) or not (fields is None or isinstance(fields, str)):
            return None
        _, _, path = request.resource.partition("/")
        name, _, identifier = path.partition("/")
        record = self._record(request, identifier)
        if record is None:
            return None
        method = "PATCH" if request.method == "PUT" else request.method
        found = self._plans.get((method, name, fields, tuple(record)))
        try:
            if found is None or found.catalogue is not (self._reflector.recent() or await self._reflector.catalogue()):
                found = await self._prepare(method, name, fields, tuple(record))
            if self._bounds.hold(name, found.renamed, request, context):
                return None
            values = found.values(record, identifier, context.caller)
        except Unavailable:
            raise  # a second wait would double it
        except (NotPlain, ReverieError):
            return None  # the full path says what is wrong
        rows = await self._run(found, values, context)
        if rows is None:
            return None
        if not rows and identifier:
            raise not_found(identifier)
        written = found.record(rows)
        content: JSON = cast("JSON", written if identifier else {"resource": [written]})
        return Response(content=content, encoded=self._encode(content))

    def _record(self, request: Request, identifier: str) -> Mapping[str, JSON] | None:
        """The one record that is sent, empty for a DELETE; None where it is not that plain."""
        payload, method = request.payload, request.method
        if method not in _METHODS or "/" in identifier or (method == "POST") is bool(identifier):
            return None
        if method == "DELETE":
            return _NOTHING
        if method == "POST":
            if isinstance(payload, dict) and "resource" in payload:
                payload = payload["resource"] if len(payload) == 1 else None  # options may stand beside it
            if isinstance(payload, list):
                payload = payload[0] if len(payload) == 1 else None
        elif self._upserts:
            return None
        return payload if isinstance(payload, dict) and payload else None

    async def _prepare(self, method: str, name: str, fields: str | None, given: tuple[str, ...]) -> _Plan:
        """Raises NotPlain, ReverieError."""
        catalogue = await self._reflector.catalogue()
        table = catalogue.shown(name)
        if table is None:
            raise NotPlain
        related = frozenset(name_of(one).lower() for one in relations(catalogue, table, self._service_id).values())
        prepared = _Plan(self._executor, catalogue, table, method, fields, given, related)
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[method, name, fields, given] = prepared
        return prepared

    async def _run(self, prepared: _Plan, values: Sequence[Value], context: Context) -> list[Row] | None:
        """The rows; None where the table has changed since the plan was made, and nothing was done."""
        executor, shape = self._executor, prepared.shape
        began = time.perf_counter()

        async def work(connection: Connection) -> list[Row]:
            if executor.dialect.writes is not None:
                return await executor.fetch(connection, shape, values)
            return await connection.fetch(prepared.statement.sql, prepared.statement.values(values))

        try:
            return await executor.database.write(work, single=True)
        except DatabaseBusy as error:
            raise refused(error, prepared.table.name) from error
        except DatabaseError as error:
            if await self._is_new(prepared.catalogue):
                return None
            raise _failure(error, prepared.table, shape, values) from error
        finally:
            if context.note is not None:
                context.note("database", time.perf_counter() - began)

    async def _is_new(self, catalogue: Catalogue) -> bool:
        """Whether there is another catalogue than that by now: what it says may be why a statement failed."""
        self._reflector.forget()
        return await self._reflector.catalogue() is not catalogue


def _failure(
    error: DatabaseError, table: Table, shape: Insert | Update | Delete, values: Sequence[Value]
) -> ReverieError:
    """As the full path has it: a new record is a batch of one."""
    if isinstance(error, Refusal):
        error.detail = error.detail or blame(error, shape, values)
        if error.kind == "foreign_key" and not isinstance(shape, Delete):
            error.detail = error.detail or blame_references(table, shape.columns, values)
    failure = refused(error, table.name)
    if not isinstance(shape, Insert):
        return failure
    outcome: Outcome[None] = Outcome(errors={0: failure})
    return outcome.failure("created", Options(), lambda nothing: nothing)
