"""`_table/{t}` and `_table/{t}/{id}`: which records a request means, and what is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from reverie.errors import BadRequest, NotFound, ReverieError, Unavailable
from reverie.model import JSON, Context, Parts, Request, Response, Verb, is_true
from reverie.services.sql.catalogue import Catalogue, Table
from reverie.services.sql.describe import describe_table
from reverie.services.sql.execute import FREE, Cost, Executor, Record
from reverie.services.sql.limits import Limits
from reverie.services.sql.nested import Nested
from reverie.services.sql.options import Options, read_options
from reverie.services.sql.plan import UnknownField
from reverie.services.sql.reading import LONG, PART, Reader, Task
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.related import RelatedReader, Wish, must_allow, role_filter, wishes, with_keys
from reverie.services.sql.relations import Relation, name_of, relations, usable
from reverie.services.sql.writing import Writer

_NO_RECORDS: Final = (
    "No record(s) detected in request. Please make sure record(s) are wrapped in a 'resource' tag. "
    'Example: {"resource":[{"record":1},{"record":2}]}'
)


class Records:
    """The records of one service's tables."""

    def __init__(
        self,
        executor: Executor,
        reader: Reader,
        related: RelatedReader,
        writer: Writer,
        reflector: Reflector,
        *,
        service: str,
        service_id: int,
        max_records: int,
        limits: Limits,
    ) -> None:
        self._executor = executor
        self._reader = reader
        self._related = related
        self._writer = writer
        self._reflector = reflector
        self._service = service
        self._service_id = service_id
        self._max_records = max_records
        self._limits = limits
        self._relations: dict[str, Mapping[str, Relation]] = {}
        self._relations_of: Catalogue | None = None

    async def handle(self, path: str, request: Request, context: Context) -> Response:
        """Answer a request on the records of a table; *path* is what follows ``_table/``."""
        name, _, rest = path.partition("/")
        identifier = rest.partition("/")[0]
        table = await self._reflector.shown(name)
        known = request.method == "GET" or await self._knows(table, identifier, request)
        if not known:
            # A column that we do not know yet would be dropped from the record in silence.
            self._reflector.forget()
            table = await self._reflector.shown(name)
        try:
            return await self._answer(table, identifier, request, context)
        except ReverieError as error:
            # A plain ReverieError is a statement that failed, perhaps because the table is no longer what it was.
            # Where one record was refused, nothing was done, whatever the reason.
            refused = known and request.method != "GET" and not isinstance(error, Unavailable)
            if not (refused or isinstance(error, UnknownField) or type(error) is ReverieError):
                raise
            self._reflector.forget()
            fresh = await self._reflector.shown(name)
            if fresh is table:
                raise
            return await self._answer(fresh, identifier, request, context)

    async def _knows(self, table: Table, identifier: str, request: Request) -> bool:
        """Whether it is one record that is written, alone, and every field it names is a column that we know."""
        record: JSON = {} if request.method == "DELETE" else request.payload
        if not identifier:
            try:
                records = records_of(request) if request.method == "POST" else []
            except BadRequest:
                return False
            record = records[0] if len(records) == 1 else None
        if not isinstance(record, dict) or any(table.column(name) is None for name in record):
            return False
        relations = self._relations_from(await self._reflector.catalogue(), table).values()
        return {name.lower() for name in record}.isdisjoint(name_of(relation).lower() for relation in relations)

    async def _answer(self, table: Table, identifier: str, request: Request, context: Context) -> Response:
        one = bool(identifier)
        options = read_options(request.parameters, None if one else _options_in(request))
        catalogue = await self._reflector.catalogue()
        known = self._relations_from(catalogue, table)
        most = self._most(context)
        wished = wishes(known, catalogue, options, request.parameters, most)
        task = Task(
            table=table,
            options=with_keys(table, options, wished, identifies=request.method != "GET"),
            caller=context.caller,
            max_records=most,
            mine=role_filter(self._service, table, Verb[request.method], context, request.resource),
            cost=self._cost(context),
        )
        if not one and context.streams and self._is_long(task, request, wished):
            return await self._in_parts(task)
        nested = Nested(
            executor=self._executor,
            reader=self._reader,
            writer=self._writer,
            relations={name_of(relation).lower(): relation for relation in known.values()},
            task=lambda name, verb: self._other(catalogue, name, verb, context),
            may_delete=is_true(request.parameters.get("allow_related_delete")),
        )
        records, meta, alone = await self._records(task, identifier, request, nested)
        if records is None:
            return Response(content=alone)
        await self._related.attach(records, wished, context, task.cost)
        return Response(content=cast("JSON", records[0])) if one else _list(records, options, meta)

    def _most(self, context: Context) -> int:
        """Most records of one answer."""
        most = self._limits.of(context.caller.role).max_records
        return self._max_records if most is None else min(most, self._max_records)

    def _cost(self, context: Context) -> Cost:
        within = self._limits.of(context.caller.role).max_seconds
        return FREE if within is None and context.note is None else Cost(within, context.note)

    # -- long lists

    def _is_long(self, task: Task, request: Request, wished: Sequence[Wish]) -> bool:
        """Whether this is a list that may be long and needs no more than one read, so that it can come in parts.

        Under a limit of time it does not: how long a stream takes is up to its client.
        """
        options = task.options
        return (
            request.method == "GET"
            and self._reader.limit(task) > LONG
            and self._executor.streams()
            and not (options.ids or options.count_only or options.as_list or options.include_schema or wished)
            and options.after is None
            and task.cost.within is None
            and not _records_in(request.payload)
        )

    async def _in_parts(self, task: Task) -> Response:
        """A long list; one that turns out short is an answer like others."""
        rest, meta = await self._reader.parts(task)
        first: list[Record] = await anext(rest, [])
        if len(first) < PART:
            await rest.aclose()
            return _list(first, task.options, meta)
        return Response(parts=Parts(first=first, rest=rest, meta=meta))

    # -- what is asked

    async def _records(
        self, task: Task, identifier: str, request: Request, nested: Nested
    ) -> tuple[list[Record] | None, dict[str, JSON], JSON]:
        """Records and their `meta`; without records the answer that stands alone."""
        if identifier:
            return [await self._one(task, identifier, request, nested)], {}, None
        match request.method:
            case "GET":
                return await self._read(task, request)
            case "POST":
                return await self._writer.create(task, records_of(request), nested), {}, None
            case "DELETE":
                return await self._delete(task, request)
            case _:
                return await self._update(task, request, nested), {}, None

    async def _one(self, task: Task, identifier: str, request: Request, nested: Nested) -> Record:
        match request.method:
            case "GET":
                return await self._reader.one(task, identifier)
            case "POST":
                raise BadRequest("Create record by identifier not currently supported.")
            case "DELETE":
                return await self._writer.delete_one(task, identifier)
            case _:
                if not isinstance(request.payload, dict) or not request.payload:
                    raise BadRequest(request.payload_error or _NO_RECORDS)
                return await self._writer.update_one(task, identifier, request.payload, nested)

    async def _read(self, task: Task, request: Request) -> tuple[list[Record] | None, dict[str, JSON], JSON]:
        options = task.options
        identifiers = options.ids or _records_in(request.payload)
        if identifiers:
            return await self._reader.some(task, identifiers), {}, None
        if options.count_only:
            return None, {}, await self._reader.count(task)
        records, meta = await self._reader.page(task)
        if options.include_schema:
            meta["schema"] = await self._description(task.table)
        return records, meta, None

    async def _update(self, task: Task, request: Request, nested: Nested) -> list[Record]:
        options = task.options
        records = records_of(request)
        if options.ids or options.filter:
            if len(records) != 1:
                raise BadRequest("With ids or a filter exactly one record tells what to change.")
            if options.ids:
                return await self._writer.update_ids(task, options.ids, records[0], nested)
            return await self._writer.update_filtered(task, records[0], nested)
        return await self._writer.update_records(task, records, nested)

    async def _delete(self, task: Task, request: Request) -> tuple[list[Record] | None, dict[str, JSON], JSON]:
        options = task.options
        if identifiers := options.ids or _records_in(request.payload, bare_with=task.table.primary_key):
            return await self._writer.delete_ids(task, identifiers), {}, None
        if options.filter.strip():
            return *(await self._writer.delete_filtered(task)), None
        if not options.force:
            raise BadRequest("No filter or records given for delete request.")
        await self._writer.truncate(task)
        return None, {}, {"success": True}

    def _other(self, catalogue: Catalogue, name: str, verb: Verb, context: Context) -> Task:
        """What the caller may do with a related table. Raises Forbidden."""
        table = catalogue.table(name)
        if table is None:
            raise NotFound(f'Table "{name}" does not exist in the database.')
        if verb != Verb.GET:
            must_allow(self._service, table.shown, verb, context)
        mine = role_filter(self._service, table, verb, context)
        return Task(table=table, options=Options(), caller=context.caller, max_records=self._most(context), mine=mine)

    def _relations_from(self, catalogue: Catalogue, table: Table) -> Mapping[str, Relation]:
        if self._relations_of is not catalogue:
            self._relations, self._relations_of = {}, catalogue
        if table.name not in self._relations:
            found = relations(catalogue, table, self._service_id)
            self._relations[table.name] = {name: usable(catalogue, table, one) for name, one in found.items()}
        return self._relations[table.name]

    async def _description(self, table: Table) -> JSON:
        catalogue = await self._reflector.catalogue()
        found = describe_table(catalogue, table, service_id=self._service_id, access=31)
        return _without_alias(found)


def records_of(request: Request) -> list[JSON]:
    """The records of a body: wrapped in `resource`, a bare list, or a bare object as a batch of one.

    Raises:
        BadRequest: there is none, or the body cannot be read.
    """
    payload = request.payload
    if isinstance(payload, dict) and "resource" in payload:
        payload = payload["resource"]
    records: list[JSON] = payload if isinstance(payload, list) else [payload] if isinstance(payload, dict) else []
    if not records or payload == {}:
        raise BadRequest(request.payload_error or _NO_RECORDS)
    return records


def _records_in(payload: JSON, bare_with: Sequence[str] = ()) -> list[JSON]:
    """Records that name what is meant; a bare object only when it holds the key *bare_with*."""
    if isinstance(payload, dict):
        lower = {name.lower() for name in payload}
        if "resource" in payload:
            payload = payload["resource"]
        elif not bare_with or not all(name.lower() in lower for name in bare_with):
            return []
    return payload if isinstance(payload, list) else [payload] if isinstance(payload, dict) and payload else []


def _options_in(request: Request) -> JSON:
    """The body where it may hold options: not where it is itself a record, whose columns may bear their names."""
    payload = request.payload
    holds = isinstance(payload, dict) and ("resource" in payload or request.method in ("GET", "DELETE"))
    return payload if holds else None


def _list(records: Sequence[Record], options: Options, meta: dict[str, JSON] | None = None) -> Response:
    content: dict[str, JSON] = {"resource": _as_list(records, options) if options.as_list else list(records)}
    if meta:
        content["meta"] = meta
    return Response(content=content)


def _as_list(records: Sequence[Record], options: Options) -> list[JSON]:
    """Identifiers alone; with several id fields ``(v1,v2)``. Records without the field vanish."""
    fields = [name.lower() for name in options.id_field] or ["name"]
    found: list[JSON] = []
    for record in records:
        lower = {name.lower(): value for name, value in record.items()}
        if all(name in lower for name in fields):
            values = [lower[name] for name in fields]
            found.append(values[0] if len(values) == 1 else f"({','.join(str(value) for value in values)})")
    return found


def _without_alias(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {name: _without_alias(item) for name, item in value.items() if name != "alias"}
    return [_without_alias(item) for item in value] if isinstance(value, list) else value
