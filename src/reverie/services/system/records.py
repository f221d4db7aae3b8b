"""What all resources that are rows of a table have in common: list, read, create, change, delete, in batches.

A resource is a subclass with its table, its fields, and what is special about it in the methods under "special".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, select, update

from reverie.database import Connection, Value
from reverie.errors import BadRequest, NotFound, ReverieError
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.batch import (
    Failed,
    Mode,
    as_record,
    finish,
    mode_of,
    record_of,
    records_of,
    run_all,
    write_all,
)
from reverie.services.system.criteria import Criteria, read_criteria
from reverie.services.system.fields import Field, accept, shown, stored
from reverie.services.system.relations import Author, Relation, Row, stamped
from reverie.services.system.resource import flag, unsupported_verb
from reverie.store.store import Store

T = TypeVar("T")

NOTHING_TO_DELETE: Final = "No filter or records given for delete request."
_LARGEST_ID_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record to be changed: which, and what was sent for it."""

    identifier: JSON
    sent: Mapping[str, JSON]


class Records:
    """`Resource` over the rows of a table.

    Args:
        relations: by the name in ``related``; a relation may stand under several names.

    Attributes:
        key: the field that identifies a record in answers.
        match: the column that an identifier in a call is looked up in.
    """

    name: ClassVar[str]
    table: ClassVar[Table]
    fields: ClassVar[tuple[Field, ...]]
    key: ClassVar[str] = "id"
    match: ClassVar[str] = "id"

    def __init__(self, store: Store, relations: Mapping[str, Relation] | None = None) -> None:
        self.store = store
        self.relations = relations or {}

    # -- special: what a resource may say otherwise

    def scope(self) -> ColumnElement[bool] | None:
        """Which rows are records of this resource; None for all."""
        return None

    def match_value(self, identifier: JSON) -> Value:
        """An identifier as the column `match` holds it; None for one that no record can have."""
        text = str(identifier)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _LARGEST_ID_DIGITS else None

    def show(self, row: Row) -> dict[str, JSON]:
        """A row as a record, with its computed fields."""
        return shown(self.fields, row)

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        """What takes time, before the transaction. Raises ReverieError for a record that cannot be."""
        return sent

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        """The columns to write; *row* is what is there, None on create. Raises ReverieError."""
        return stored(self.fields, accept(self.fields, sent, creating=row is None))

    async def written(self, connection: Connection, row: Row | None, values: Mapping[str, Value]) -> None:
        """A record was created or changed, in the same transaction."""

    def guard_change(self, row: Row, sent: Mapping[str, JSON], context: Context) -> None:
        """Raise Forbidden when the record may not be changed into that."""

    def guard_delete(self, row: Row, context: Context) -> None:
        """Raise Forbidden when the record may not be deleted."""

    # -- the verbs

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        identifier = "/".join(path)
        if request.method == "GET":
            return await (self.read_one(request, identifier) if path else self.read_many(request))
        if request.method == "POST":
            return await (self.post_one(request, context, identifier) if path else self.create_many(request, context))
        if request.method in ("PUT", "PATCH"):
            return await (self.change_one(request, context, identifier) if path else self.change_many(request, context))
        if request.method == "DELETE":
            return await (self.delete_one(request, context, identifier) if path else self.delete_many(request, context))
        raise unsupported_verb(request, self.name, path)

    # -- reading

    async def read_one(self, request: Request, identifier: str) -> Response:
        criteria = self.criteria(request)
        row = await self.row(identifier, None)
        return Response(content=(await self.shaped([row], criteria, None, full=True))[0])

    async def read_many(self, request: Request) -> Response:
        criteria = self.criteria(request)
        if criteria.ids is not None:
            return await self.read_ids(request, criteria, criteria.ids)
        where = self.conditions(criteria.where)
        if criteria.count_only:
            return Response(content=await self.count(where))
        query = select(self.table).where(*where).order_by(*criteria.order)
        rows = await self.store.fetch(query.limit(criteria.limit).offset(criteria.offset))
        content: dict[str, JSON] = {"resource": await self.listing(rows, criteria)}
        if criteria.include_count:
            content["meta"] = {"count": await self.count(where)}
        return Response(content=content)

    async def read_ids(self, request: Request, criteria: Criteria, ids: Sequence[str]) -> Response:
        query = select(self.table).where(*self.conditions(criteria.where), self.matching(ids))
        rows = await self.store.fetch(query.order_by(*criteria.order))
        found = {row[self.match]: row for row in rows}

        async def one(identifier: str) -> JSON:
            row = found.get(self.match_value(identifier))
            if row is None:
                raise self.not_found(identifier)
            return (await self.shaped([row], criteria, None, full=True))[0]

        if any(self.match_value(identifier) not in found for identifier in ids):
            finish(await run_all(ids, one, mode_of(request)), "retrieved")
        return Response(content={"resource": await self.listing(rows, criteria)})

    async def listing(self, rows: Sequence[Row], criteria: Criteria) -> list[JSON]:
        if criteria.as_list:
            return [self.show(row).get(criteria.id_field) for row in rows]
        return list(await self.shaped(rows, criteria, None, full=True))

    # -- creating

    async def post_one(self, request: Request, context: Context, identifier: str) -> Response:
        raise BadRequest(f"A record is not created under an identifier; POST to 'system/{self.name}' instead.")

    async def create_many(self, request: Request, context: Context) -> Response:
        criteria = self.criteria(request)
        mode = mode_of(request)
        items = await self.prepared(records_of(request), mode, creating=True)
        author = self.author(context)

        async def step(connection: Connection, item: dict[str, JSON] | Failed) -> JSON:
            return {self.key: await self.create(connection, unfailed(item), author, request)}

        done = await write_all(self.store, items, step, mode, "created")
        return Response(status=201, content={"resource": await self.reread(done, criteria)})

    async def create(self, connection: Connection, sent: Mapping[str, JSON], author: Author, request: Request) -> JSON:
        """Insert a record and what hangs on it; its key."""
        values = await self.values(connection, sent, None, request)
        made = insert(self.table).values(**values, **stamped(self.table, author.created()))
        rows = await self.store.fetch(made.returning(self.table.c[self.key]), connection)
        key = rows[0][self.key]
        await self.write_relations(connection, key, sent, author)
        await self.written(connection, None, {**values, self.key: key})
        return plain(key)

    # -- changing

    async def change_one(self, request: Request, context: Context, identifier: str) -> Response:
        criteria = self.criteria(request)
        sent = await self.prepare(record_of(request), creating=False)
        done = await self.change_all([Change(identifier=identifier, sent=sent)], request, context, Mode.STOP)
        return Response(content=(await self.reread(done, criteria))[0])

    async def change_many(self, request: Request, context: Context) -> Response:
        criteria = self.criteria(request)
        mode = mode_of(request)
        changes = await self.changes(request, criteria, mode)
        done = await self.change_all(changes, request, context, mode, batch=True)
        return Response(content={"resource": await self.reread(done, criteria)})

    async def changes(self, request: Request, criteria: Criteria, mode: Mode) -> list[Change | Failed]:
        """Which records a call without an identifier in its path changes, and into what."""
        if criteria.ids is not None or criteria.where is not None:
            sent = await self.prepare(record_of(request), creating=False)
            return [Change(identifier=key, sent=sent) for key in await self.named(criteria)]
        items = await self.prepared(records_of(request), mode, creating=False)
        return [
            item if isinstance(item, Failed) else Change(identifier=item.get(self.key), sent=item) for item in items
        ]

    async def change_all(
        self, changes: Sequence[Change | Failed], request: Request, context: Context, mode: Mode, *, batch: bool = False
    ) -> list[JSON]:
        author = self.author(context)

        async def step(connection: Connection, change: Change | Failed) -> JSON:
            wanted = unfailed(change)
            if wanted.identifier is None:
                raise BadRequest(f"The record has no '{self.key}' that says which one to change.")
            row = await self.row(wanted.identifier, connection)
            self.guard_change(row, wanted.sent, context)
            return {self.key: await self.change(connection, row, wanted.sent, author, request)}

        return await write_all(self.store, changes, step, mode, "updated", batch=batch)

    async def change(
        self, connection: Connection, row: Row, sent: Mapping[str, JSON], author: Author, request: Request
    ) -> JSON:
        """Update a record and what hangs on it; its key."""
        values = await self.values(connection, sent, row, request)
        extra: dict[str, Any] = stamped(self.table, author.changed())
        if "version" in self.table.c:
            extra["version"] = self.table.c.version + 1
        same_row = self.table.c[self.key] == row[self.key]
        await self.store.execute(update(self.table).where(same_row).values(**values, **extra), connection)
        await self.write_relations(connection, row[self.key], sent, author)
        await self.written(connection, row, values)
        return plain(row[self.key])

    async def write_relations(
        self, connection: Connection, key: Value, sent: Mapping[str, JSON], author: Author
    ) -> None:
        for name, relation in self.relations.items():
            if name in sent:
                await relation.write(self.store, connection, key, sent[name], author)

    # -- deleting

    async def delete_one(self, request: Request, context: Context, identifier: str) -> Response:
        criteria = self.criteria(request)
        done = await self.delete_all([identifier], criteria, context, Mode.STOP)
        return Response(content=done[0])

    async def delete_many(self, request: Request, context: Context) -> Response:
        criteria = self.criteria(request)
        mode = mode_of(request)
        doomed: Sequence[JSON]
        if criteria.ids is not None or criteria.where is not None:
            doomed = await self.named(criteria)
        elif request.payload:
            items = records_of(request)
            doomed = [item.get(self.key) if isinstance(item, dict) else item for item in items]
        elif flag(request, "force"):
            doomed = await self.keys(self.conditions(None))
        else:
            raise BadRequest(NOTHING_TO_DELETE)
        done = await self.delete_all(doomed, criteria, context, mode, batch=True)
        return Response(content={"resource": done})

    async def delete_all(
        self, doomed: Sequence[JSON], criteria: Criteria, context: Context, mode: Mode, *, batch: bool = False
    ) -> list[JSON]:
        async def step(connection: Connection, identifier: JSON) -> JSON:
            row = await self.row(identifier, connection)
            self.guard_delete(row, context)
            record = (await self.shaped([row], criteria, connection))[0]
            same_row = self.table.c[self.key] == row[self.key]
            await self.store.execute(delete(self.table).where(same_row), connection)
            return record

        return await write_all(self.store, doomed, step, mode, "deleted", batch=batch)

    # -- shared steps

    def criteria(self, request: Request) -> Criteria:
        criteria = read_criteria(request, self.table, self.fields, self.key)
        for name in criteria.related:
            if name not in self.relations:
                raise BadRequest(f"Unknown relationship: {name}")
        return criteria

    def author(self, context: Context) -> Author:
        return Author(context.caller.user_id, self.store.now_text())

    async def prepared(self, items: Sequence[JSON], mode: Mode, *, creating: bool) -> list[dict[str, JSON] | Failed]:
        """Each record prepared, or why it cannot be; those behind a failure that stops are left out."""
        results: list[dict[str, JSON] | Failed] = []
        for item in items:
            try:
                results.append(await self.prepare(as_record(item), creating=creating))
            except ReverieError as error:
                results.append(Failed(error))
                if mode is not Mode.CONTINUE:
                    break
        return results

    def conditions(self, where: ColumnElement[bool] | None) -> list[ColumnElement[bool]]:
        return [condition for condition in (self.scope(), where) if condition is not None]

    def matching(self, identifiers: Sequence[JSON]) -> ColumnElement[bool]:
        values = {self.match_value(identifier) for identifier in identifiers} - {None}
        return self.table.c[self.match].in_(values)

    async def row(self, identifier: JSON, connection: Connection | None) -> Row:
        """Raises NotFound."""
        value = self.match_value(identifier)
        row: Row | None = None
        if value is not None:
            query = select(self.table).where(*self.conditions(self.table.c[self.match] == value))
            row = await self.store.fetch_one(query, connection)
        if row is None:
            raise self.not_found(identifier)
        return row

    def not_found(self, identifier: JSON) -> NotFound:
        return NotFound(f"Record with identifier '{identifier}' not found.")

    async def named(self, criteria: Criteria) -> list[JSON]:
        """Identifiers that ``ids`` names, as sent, else those of the records that ``filter`` finds."""
        return list(criteria.ids) if criteria.ids is not None else await self.keys(self.conditions(criteria.where))

    async def targets(self, request: Request) -> list[JSON]:
        """What a change with no identifier in its path names by ``ids`` or ``filter``; empty where its records do."""
        criteria = self.criteria(request)
        changes = request.method in ("PUT", "PATCH")
        return (
            await self.named(criteria) if changes and (criteria.ids is not None or criteria.where is not None) else []
        )

    async def keys(self, where: Sequence[ColumnElement[bool]]) -> list[JSON]:
        column = self.table.c[self.key]
        query: Select[Any] = select(column).where(*where).order_by(column)
        return [plain(row[self.key]) for row in await self.store.fetch(query)]

    async def count(self, where: Sequence[ColumnElement[bool]]) -> int:
        number = await self.store.scalar(select(func.count()).select_from(self.table).where(*where))
        return number if isinstance(number, int) else 0

    async def reread(self, done: Sequence[JSON], criteria: Criteria) -> list[JSON]:
        """What a write answers: the identifiers, or what was asked for, in the order of the request."""
        if criteria.fields is None and not criteria.related:
            return list(done)
        keys = [item[self.key] for item in done if isinstance(item, dict)]
        query = select(self.table).where(self.table.c[self.key].in_(keys))
        rows = {row[self.key]: row for row in await self.store.fetch(query)}
        return list(await self.shaped([rows[key] for key in keys if key in rows], criteria, None))

    async def shaped(
        self, rows: Sequence[Row], criteria: Criteria, connection: Connection | None, *, full: bool = False
    ) -> list[JSON]:
        """Rows as the call wants to see them: its ``fields`` (else all if *full*, else the key), its relations."""
        names = criteria.fields or (None if full else (self.key,))
        records = [self.show(row) for row in rows]
        if names is not None:
            wanted = set(names)
            if criteria.fields is not None:
                wanted |= {field.name for field in self.fields if field.always}
            records = [{name: value for name, value in record.items() if name in wanted} for record in records]
        for name in criteria.related:
            read = await self.relations[name].read(self.store, rows, connection)
            for record, value in zip(records, read, strict=True):
                record[name] = value
        return list(records)


def unfailed(item: T | Failed) -> T:
    """Raises the error of one that failed while it was prepared."""
    if isinstance(item, Failed):
        raise item.error
    return item


def plain(key: Value) -> JSON:
    """A key as JSON; keys are numbers or texts."""
    return key if isinstance(key, int | str) else None
