"""A database as a service: which resource is meant, and who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from reverie.auth.access import verbs
from reverie.database import Database
from reverie.errors import BadRequest, NotFound
from reverie.events.names import VERBS, EventPath, Moment
from reverie.model import JSON, Context, Request, Response, Role, Verb, is_true
from reverie.services.openapi import Description, Detail
from reverie.services.sql import explain
from reverie.services.sql.bounds import Bounds
from reverie.services.sql.calling import KINDS, PLACES, Routines
from reverie.services.sql.dialect import Dialect
from reverie.services.sql.execute import Executor, writable
from reverie.services.sql.explain import Explainer
from reverie.services.sql.extras import BriefExtras, Extras
from reverie.services.sql.limits import Limits
from reverie.services.sql.openapi import describe
from reverie.services.sql.options import names
from reverie.services.sql.quick import QuickReads
from reverie.services.sql.quick_writing import QuickWrites
from reverie.services.sql.reading import Reader
from reverie.services.sql.records import Records, records_of
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.related import RelatedReader
from reverie.services.sql.schema import Access, Schema, listing
from reverie.services.sql.writing import Writer
from reverie.store.records import ServiceRecord

RESOURCES: Final[dict[str, str]] = {"_schema": "Schema", "_table": "Tables"}
LARGEST_PAGE: Final = 100_000
_ALL: Final = int(Verb.GET | Verb.POST | Verb.PUT | Verb.PATCH | Verb.DELETE)


class SqlService:
    """`Service` over one database.

    Args:
        record: settings ``max_records`` (1000), ``limits``, ``read_only`` and ``allow_upsert``, beside those that
            *dialect* needs.
        database: opened by ``dialect.open(record)``; closed with the service.
        extras: what is kept beside the database; without it, as long as the service lives.
        keeps_plans: False plans and compiles every request anew, and answers the same.
        role: the role with that id, for explanations.
    """

    def __init__(
        self,
        record: ServiceRecord,
        dialect: Dialect,
        database: Database,
        extras: Extras | None = None,
        role: Callable[[int], Awaitable[Role | None]] | None = None,
        *,
        keeps_plans: bool = True,
    ) -> None:
        self.name = record.name.lower()
        self._id = record.id
        self._database = database
        self._read_only = is_true(record.config.get("read_only"))
        book = dialect.routines
        self._routines = (
            None if book is None else Routines(database, book, service=self.name, read_only=self._read_only)
        )
        self._kinds = RESOURCES | KINDS if self._routines else RESOURCES
        executor = Executor(database, dialect, keeps_plans=keeps_plans)
        extras = extras or BriefExtras()
        self._reflector = Reflector(database, dialect, extras)
        self._schema = Schema(executor, self._reflector, extras, record.id)
        most = _max_records(record.config.get("max_records"))
        limits = Limits(record.config.get("limits"), self.name)
        bounds, upserts = Bounds(self.name, limits), is_true(record.config.get("allow_upsert"))
        self._quick = QuickReads(executor, self._reflector, bounds, max_records=most) if keeps_plans else None
        self._quick_writes = (
            QuickWrites(executor, self._reflector, bounds, service_id=record.id, upserts=upserts)
            if keeps_plans
            else None
        )

        def records(executor: Executor) -> Records:
            reader = Reader(executor)
            return Records(
                executor,
                reader,
                RelatedReader(executor, self._reflector, service=self.name),
                Writer(executor, reader, upserts=upserts),
                self._reflector,
                service=self.name,
                service_id=record.id,
                max_records=most,
                limits=limits,
            )

        async def read(executor: Executor, request: Request, context: Context) -> Response:
            return await records(executor).handle(request.resource.partition("/")[2], request, context)

        self._records = records(executor)
        self._explainer = Explainer(executor, read, role, limits, service=self.name)

    async def handle(self, request: Request, context: Context) -> Response:
        if request.method == "GET" and request.resource.startswith("_table/"):
            if explain.HEADER in request.headers and explain.asks(request):
                return await self._explainer.answer(request, context)
            quick = await self._quick.answer(request, context) if self._quick else None
            if quick is not None:
                return quick
        kind, _, path = request.resource.strip("/").partition("/")
        if not kind:
            return await self._root(request)
        if kind not in self._kinds:
            raise NotFound(f"Resource '{kind}' not found for service '{self.name}'.")
        if self._routines and kind in KINDS:
            if path:
                return await self._routines.call(kind, path, request, context)
            return Response(content=await self._list_routines(self._routines, kind, request, context))
        if request.method != "GET":
            writable(self._read_only, self.name)
            if self._quick_writes and kind == "_table" and path:
                written = await self._quick_writes.answer(request, context)
                if written is not None:
                    return written
        if is_true(request.parameters.get("refresh")):
            self._reflector.forget_all()
        if not path:
            return Response(content=await self._collection(kind, request, context))
        if kind == "_schema":
            return Response(content=await self._schema_path(path, request, _access(self.name, context)))
        return await self._records.handle(path, request, context)

    # -- lists

    async def _root(self, request: Request) -> Response:
        if request.method != "GET":
            raise _no_handler(request)
        if is_true(request.parameters.get("as_access_list")):
            return Response(content={"resource": list(await self.access_list())})
        entries: list[JSON] = [{"name": name, "label": label} for name, label in self._kinds.items()]
        return Response(content={"resource": _shown(entries, request.parameters)})

    async def _collection(self, kind: str, request: Request, context: Context) -> JSON:
        if request.method != "GET":
            if kind == "_schema":
                return await self._change_tables(request, _access(self.name, context))
            raise _no_handler(request)
        access = _access(self.name, context)
        wanted = {name.lower() for name in names("ids", request.parameters.get("ids"))}
        catalogue = await self._reflector.catalogue()
        named = {table.shown if kind == "_table" else table.name: table for table in catalogue.tables.values()}
        seen = [(name, mask) for name in sorted(named) if (mask := access(f"{kind}/{name}") & _ALL)]
        chosen = [(named[name], mask) for name, mask in seen if not wanted or name.lower() in wanted]
        if kind == "_schema" and wanted:
            return {"resource": [await self._schema.describe(table.name, access) for table, _ in chosen]}
        entries: list[JSON] = [listing(table, _verb_names(mask), alias=kind == "_schema") for table, mask in chosen]
        return {"resource": _shown(entries, request.parameters)}

    async def _list_routines(self, routines: Routines, kind: str, request: Request, context: Context) -> JSON:
        if request.method != "GET":
            raise _no_handler(request)
        found = await routines.described(kind, _access(self.name, context))
        if wanted := {name.lower() for name in names("ids", request.parameters.get("ids"))}:
            return {"resource": [one for name, one in found.items() if name.lower() in wanted]}
        entries: list[JSON] = [{**one, "access": list(_verb_names(int(str(one["access"]))))} for one in found.values()]
        return {"resource": _shown(entries, request.parameters)}

    # -- _schema

    async def _change_tables(self, request: Request, access: Access) -> JSON:
        if request.method == "DELETE":
            wanted = names("ids", request.parameters.get("ids")) or _names_in(request.payload)
            if not wanted:
                raise BadRequest("No data in schema delete request.")
            return {"resource": [{"name": name} for name in await self._schema.drop(wanted)]}
        records = records_of(request)
        check_exist = is_true(request.parameters.get("check_exist"))
        created: list[JSON] = []
        if request.method == "POST":
            created = await self._schema.create(records, check_exist=check_exist)
        else:
            drops = request.method == "PUT"
            for name, record in zip(_named(records), records, strict=True):
                created.append({"name": await self._schema.change(name, record, drops=drops)})
        if names("fields", request.parameters.get("fields")) == ("*",):
            return {"resource": [await self._schema.describe(name, access) for name in _named(created)]}
        return {"resource": created}

    async def _schema_path(self, path: str, request: Request, access: Access) -> JSON:
        name, _, part = path.partition("/")
        if part:
            return await self._schema_part(name, part, request)
        match request.method:
            case "GET":
                return await self._schema.describe(name, access)
            case "DELETE":
                await self._schema.drop([name])
                return {"success": True}
            case _:
                await self._reflector.table(name)
                changed = await self._schema.change(name, request.payload, drops=request.method == "PUT")
                return {"name": changed}

    async def _schema_part(self, name: str, part: str, request: Request) -> JSON:
        if request.method == "GET":
            return await self._schema.describe_part(name, part, request.parameters)
        kind, _, one = part.partition("/")
        related = kind == "_related"
        one = one if kind in ("_field", "_related") else kind
        if request.method == "DELETE":
            wanted = [one] if one else names("ids", request.parameters.get("ids"))
            await (self._schema.drop_relations if related else self._schema.drop_fields)(name, wanted)
            return {"success": True}
        records = [{**request.payload, "name": one}] if one and isinstance(request.payload, dict) else None
        write = self._schema.change_relations if related else self._schema.add_fields
        written = await write(name, records or records_of(request))
        return {"name": one} if one else {"resource": [{"name": each} for each in written]}

    # -- events and roles

    def moments(self, request: Request) -> Sequence[Moment]:
        kind, _, path = request.resource.strip("/").partition("/")
        verb = request.method.lower()
        if not kind:
            return (Moment(f"{self.name}.{verb}"),)
        if kind not in self._kinds:
            return (Moment(f"{self.name}.{verb}", request.resource),)
        if not path:
            return (Moment(f"{self.name}.{kind}.{verb}"),)
        if kind in KINDS:
            routine = path.partition("(")[0].strip("/ ")
            template = f"{self.name}.{kind}.{{{PLACES[kind]}}}"
            return (Moment(f"{template}.{verb}", routine), Moment(f"{self.name}.{kind}.{routine}.{verb}", routine))
        table, _, rest = path.partition("/")
        generic, specific = f"{self.name}.{kind}.{{table_name}}", f"{self.name}.{kind}.{table}"
        if not rest:
            return (Moment(f"{generic}.{verb}", table), Moment(f"{specific}.{verb}", table))
        last = "{field}" if kind == "_schema" else "{id}"
        return (Moment(f"{generic}.{last}.{verb}", f"{table}/{rest}"), Moment(f"{specific}.{last}.{verb}", rest))

    async def event_paths(self) -> Sequence[EventPath]:
        catalogue = await self._reflector.catalogue()
        tables: dict[str, JSON] = {"table_name": list(catalogue.names())}
        shown: dict[str, JSON] = {"table_name": list(catalogue.shown_names())}
        table, schema = f"{self.name}._table", f"{self.name}._schema"
        changes = ("get", "put", "patch", "delete")
        called: list[EventPath] = []
        for kind in KINDS if self._routines else ():
            routines: dict[str, JSON] = {PLACES[kind]: list(await self._names_of_routines(kind))}
            called.append(EventPath(name=f"{self.name}.{kind}", verbs=("get",)))
            called.append(
                EventPath(name=f"{self.name}.{kind}.{{{PLACES[kind]}}}", verbs=("get", "post"), parameter=routines)
            )
        return (
            EventPath(name=self.name, verbs=("get",)),
            EventPath(name=table, verbs=("get",)),
            EventPath(name=f"{table}.{{table_name}}", verbs=VERBS, parameter=shown),
            EventPath(name=f"{table}.{{table_name}}.{{id}}", verbs=changes, parameter=shown),
            EventPath(name=schema, verbs=VERBS),
            EventPath(name=f"{schema}.{{table_name}}", verbs=VERBS, parameter=tables),
            EventPath(name=f"{schema}.{{table_name}}.{{field}}", verbs=VERBS, parameter=tables),
            *called,
        )

    async def access_list(self) -> Sequence[str]:
        found = ["", "*"]
        catalogue = await self._reflector.catalogue()
        for kind in self._kinds:
            listed = catalogue.shown_names() if kind == "_table" else catalogue.names()
            listed = await self._names_of_routines(kind) if kind in KINDS else listed
            for component in (kind, *(f"{kind}/{name}" for name in listed)):
                found += [f"{component}/", f"{component}/*"]
        return found

    async def _names_of_routines(self, kind: str) -> list[str]:
        return await self._routines.names(kind) if self._routines else []

    async def describe(self, detail: Detail) -> Description:
        if detail.refresh:
            self._reflector.forget_all()
        return describe(
            await self._reflector.catalogue(),
            detail,
            service=self.name,
            service_id=self._id,
            kinds=tuple(self._kinds),
            read_only=self._read_only,
        )

    def flush(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        await self._database.close()


def _access(service: str, context: Context) -> Access:
    role = context.caller.role
    if role is None:
        return lambda component: _ALL
    return lambda component: verbs(role, service, component, int(context.requestor))


def _verb_names(mask: int) -> list[str]:
    return [verb for verb in ("GET", "POST", "PUT", "PATCH", "DELETE") if mask & Verb[verb]]


def _shown(entries: Sequence[JSON], parameters: Mapping[str, JSON]) -> list[JSON]:
    """Only names, unless `fields` asks for more; with `as_list` the names themselves."""
    wanted = names("fields", parameters.get("fields")) or ("name",)
    records = [entry for entry in entries if isinstance(entry, dict)]
    if is_true(parameters.get("as_list")):
        return [record["name"] for record in records]
    if "*" in wanted:
        return list(records)
    return [{name: record[name] for name in wanted if name in record} for record in records]


def _named(records: Sequence[JSON]) -> list[str]:
    return [str(record.get("name", "")) if isinstance(record, dict) else "" for record in records]


def _names_in(payload: JSON) -> tuple[str, ...]:
    """Names of tables in a body: ``{"ids": [...]}``, ``{"resource": [{"name"}]}`` or a list of either."""
    if isinstance(payload, dict):
        payload = payload.get("ids") or payload.get("resource") or ([payload] if "name" in payload else [])
    if isinstance(payload, list):
        return tuple(str(one.get("name", "")) if isinstance(one, dict) else str(one) for one in payload)
    return names("ids", payload) if isinstance(payload, str) else ()


def _no_handler(request: Request) -> BadRequest:
    return BadRequest(f"{request.method} is not supported on '{request.resource or '/'}' of this service.")


def _max_records(value: JSON) -> int:
    """1000 unless set, never above the server's own maximum."""
    if isinstance(value, str) and value.strip().isdigit() and len(value) < 12:
        value = int(value)
    return min(value, LARGEST_PAGE) if isinstance(value, int) and value > 0 else 1000
