"""Creating, changing and deleting records, one or many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import cast

from reverie.database import Connection, Refusal, Row, Value
from reverie.errors import BadRequest, Forbidden, NotSupported, ReverieError, Unavailable
from reverie.model import JSON
from reverie.services.sql import plan
from reverie.services.sql.at_once import IN_THREAD, MANY, Insertions, NotAtOnce, insert_all, names_of
from reverie.services.sql.batch import Outcome, RolledBack, perform
from reverie.services.sql.blame import blame_references
from reverie.services.sql.catalogue import Column
from reverie.services.sql.execute import Executor, Record
from reverie.services.sql.given import NotPlain, can_hold, filled, known, missing, plain_values
from reverie.services.sql.nested import Nested, Written, failure_of
from reverie.services.sql.reading import Reader, Task, not_found, wanted_filter
from reverie.services.sql.statements import Delete, Insert, Update
from reverie.services.sql.values import OutOfRange

Act = Callable[[Connection, JSON], Awaitable[Written]]


class Writer:
    """Writes of one service.

    Args:
        upserts: a change of an id that does not exist creates the record.
    """

    def __init__(self, executor: Executor, reader: Reader, *, upserts: bool) -> None:
        self._executor = executor
        self._reader = reader
        self._upserts = upserts

    # -- create

    async def create(self, task: Task, records: Sequence[JSON], nested: Nested) -> list[Record]:
        """Create all; answers their ids, or the fields asked for. Raises BatchError when some could not be."""

        async def act(connection: Connection, item: JSON) -> Written:
            record, parts = nested.split(item)
            await nested.before(connection, record, parts)
            return await nested.after(connection, task, await self.insert(connection, task, record), parts)

        if len(records) >= MANY:
            # Most batches are plain and right. One that is not is made again, record by record, and says what is wrong.
            try:
                return await self._create_at_once(task, records, nested)
            except (Unavailable, NotSupported):
                raise
            except (ReverieError, NotAtOnce):
                pass
        return await self._batch(task, records, act, "created", single=self._stands_alone(task, records, nested))

    async def _create_at_once(self, task: Task, items: Sequence[JSON], nested: Nested) -> list[Record]:
        """Create records without anything nested. Raises NotAtOnce, ReverieError."""
        given, many = (task, items, nested), len(items) >= IN_THREAD
        # Before the transaction begins, for which others may wait.
        insertions = await asyncio.to_thread(self._insertions, *given) if many else self._insertions(*given)

        async def work(connection: Connection) -> list[Record]:
            async with connection.savepoint():
                return await insert_all(self._executor, connection, task.table, insertions)

        made = await self._executor.write(work, task.table.name, cost=task.cost)
        names = self._answered(task)
        return made if names == self._returning(task) else [{name: one[name] for name in names} for one in made]

    def _insertions(self, task: Task, items: Sequence[JSON], nested: Nested) -> list[Insertions]:
        """What creates records, those with the same fields together. Raises NotAtOnce, BadRequest, Forbidden."""
        found: list[Insertions] = []
        for names, some in groupby(items, names_of):
            records = cast("list[dict[str, JSON]]", list(some))
            try:
                fields = filled(task.table, names, nested.relations)
                columns = [plain_values(column, [one[name] for one in records], task.caller) for name, column in fields]
            except NotPlain:
                for one in records:
                    shape, values = self._alone(task, one, nested)
                    if not found or found[-1].shape != shape:
                        found.append(Insertions(shape, []))
                    found[-1].values.append(values)
            else:
                shape, more = self._insert(task, [column.name for _, column in fields])
                found.append(Insertions(shape, [(*row, *more) for row in zip(*columns, strict=True)]))
        return found

    def _alone(self, task: Task, item: JSON, nested: Nested) -> tuple[Insert, list[Value]]:
        record, parts = nested.split(item)
        if parts:
            raise NotAtOnce
        return self._insertion(task, record)

    async def insert(self, connection: Connection, task: Task, record: Mapping[str, JSON]) -> Written:
        shape, values = self._insertion(task, record)
        rows = await self._store(connection, task, shape, values)
        return self._written(task, rows[0], checked=shape.check is not None)

    def _insertion(self, task: Task, record: Mapping[str, JSON]) -> tuple[Insert, list[Value]]:
        """The statement that creates a record, and its values. Raises BadRequest, Forbidden."""
        table = task.table
        values = known(table, record, task.caller, creating=True)
        for column in table.columns:
            if column.auto_increment and values.get(column.name) is None:
                values.pop(column.name, None)
        shape, more = self._insert(task, values.keys())
        return shape, [*(values[name] for name in shape.columns), *more]

    def _insert(self, task: Task, given: Collection[str]) -> tuple[Insert, list[Value]]:
        """The statement for a record that gives these columns, and the values behind those of the record.

        Raises:
            BadRequest: a column is missing. Forbidden: the role's conditions cannot hold.
        """
        table = task.table
        if (column := missing(table, given)) is not None:
            raise BadRequest(f"Required field '{column.name}' can not be NULL.")
        if not given:
            raise BadRequest("No valid fields were found in the record.")
        if task.mine is not None and not can_hold(table, task.mine, given):
            raise _denied()
        check, more = plan.bind(table, task.mine)
        shape = Insert(
            table=table.source,
            columns=tuple(column.name for column in table.columns if column.name in given),
            returning=self._returning(task),
            check=check,
            key=table.primary_key,
            counted=next((column.name for column in table.columns if column.auto_increment), None),
        )
        return shape, more

    # -- change

    async def update_one(self, task: Task, identifier: JSON, record: JSON, nested: Nested) -> Record:
        """Change one record. Raises NotFound, Forbidden, Conflict, BadRequest."""

        async def work(connection: Connection) -> Written:
            written = await self._update_nested(connection, task, identifier, record, nested)
            if written.failure is not None:
                raise written.failure
            return written

        single = self._stands_alone(task, (record,), nested, changes=True)
        return (await self._executor.write(work, task.table.name, cost=task.cost, single=single)).record

    async def _update_nested(
        self, connection: Connection, task: Task, identifier: JSON, item: JSON, nested: Nested
    ) -> Written:
        """*identifier* None: the record holds its own."""
        record, parts = nested.split(item)
        named = dict(record) if identifier is None else identifier
        await nested.before(connection, record, parts)
        return await nested.after(connection, task, await self.update(connection, task, named, record), parts)

    async def update_records(self, task: Task, records: Sequence[JSON], nested: Nested) -> list[Record]:
        """Change records that carry their own ids."""

        async def act(connection: Connection, item: JSON) -> Written:
            return await self._update_nested(connection, task, None, item, nested)

        single = self._stands_alone(task, records, nested, changes=True)
        return await self._batch(task, records, act, "updated", single=single)

    async def update_ids(self, task: Task, identifiers: Sequence[JSON], record: JSON, nested: Nested) -> list[Record]:
        """The same change for all ids."""

        async def act(connection: Connection, identifier: JSON) -> Written:
            return await self._update_nested(connection, task, identifier, record, nested)

        return await self._batch(task, identifiers, act, "updated")

    async def update_filtered(self, task: Task, record: JSON, nested: Nested) -> list[Record]:
        """The same change for all that match, whatever the limit; answers those that still match."""
        table = task.table
        own, parts = nested.split(record)
        if any(parts.values()):
            raise NotSupported("Related records can not be written by a filter; name the records by their ids.")
        values = self._changes(task, own, ())
        where, wanted = plan.bind(table, wanted_filter(task))
        check, more = plan.bind(table, task.mine)

        async def work(connection: Connection) -> None:
            shape = Update(
                table=table.source,
                columns=tuple(values),
                where=where,
                returning=(),
                check=check,
                key=table.primary_key,
            )
            rows = await self._store(connection, task, shape, [*values.values(), *wanted, *more])
            if check is not None and not all(row[-1] for row in rows):
                raise _denied()

        if values:
            await self._executor.write(work, table.name, cost=task.cost)
        return (await self._reader.page(_ids_only(task)))[0]

    async def update(self, connection: Connection, task: Task, identifier: JSON, record: Mapping[str, JSON]) -> Written:
        table = task.table
        key = plan.key_of(table, task.options)
        try:
            wanted = plan.key_values(key, identifier)
        except OutOfRange:
            raise not_found(_shown(key, identifier)) from None
        values = self._changes(task, record, key)
        if not values and not self._upserts:
            return await self._unchanged(connection, task, identifier)
        mine, more = plan.bind(table, task.mine)
        if values:
            shape = Update(
                table=table.source,
                columns=tuple(values),
                where=plan.both(plan.key_filter(key), mine),
                returning=self._returning(task),
                check=mine,
                key=table.primary_key,
                by=tuple(column.name for column in key),
                exact=plan.is_exact(table, key),
            )
            rows = await self._store(connection, task, shape, [*values.values(), *wanted, *more, *more])
            if rows:
                # A field of the client's choice may name more rows than one.
                if mine is not None and not all(row[-1] for row in rows):
                    raise _denied()
                return self._written(task, rows[0], checked=mine is not None)
        if self._upserts:
            merged = {**record, **{column.name: cast("JSON", value) for column, value in zip(key, wanted, strict=True)}}
            return await self.insert(connection, task, merged)
        raise not_found(_shown(key, identifier))

    async def _unchanged(self, connection: Connection, task: Task, identifier: JSON) -> Written:
        fields = self._returning(task)
        record = await self._reader.by_id(connection, task, identifier, fields)
        return self._shaped(task, record)

    def _changes(self, task: Task, record: Mapping[str, JSON], key: Sequence[Column]) -> dict[str, Value]:
        """New values by column, in the table's order; id fields are left out."""
        fixed = {column.name for column in key} | set(task.table.primary_key)
        found = known(task.table, record, task.caller, fixed)
        return {column.name: found[column.name] for column in task.table.columns if column.name in found.keys() - fixed}

    # -- delete

    async def delete_one(self, task: Task, identifier: JSON) -> Record:
        """Delete one record; answers its id, or the fields asked for. Raises NotFound, Conflict."""

        async def work(connection: Connection) -> Written:
            return await self.delete(connection, task, identifier)

        return (await self._executor.write(work, task.table.name, cost=task.cost, single=True)).record

    async def delete_ids(self, task: Task, identifiers: Sequence[JSON]) -> list[Record]:
        """Delete by ids, or by records that hold them."""

        async def act(connection: Connection, identifier: JSON) -> Written:
            return await self.delete(connection, task, identifier)

        return await self._batch(task, identifiers, act, "deleted", single=len(identifiers) == 1)

    async def delete_filtered(self, task: Task) -> tuple[list[Record], dict[str, JSON]]:
        """Delete what a read with the same options would answer, and answer it.

        Raises:
            NotSupported: a part of the matches was asked for, of a table without a key.
        """
        table = task.table
        asked = plan.fields_of(table, task.options.fields or ())
        fields = tuple(dict.fromkeys((*table.primary_key, *asked)))
        records, meta = await self._reader.page(replace(task, options=replace(task.options, fields=fields)))
        if not table.primary_key and (task.options.limit or task.options.offset or "next" in meta):
            raise NotSupported(f"Table '{table.name}' has no primary key: deleting a part of it is not supported.")
        key = plan.key_of(table, replace(task.options, id_field=())) if table.primary_key else ()
        where, values = plan.bind(table, task.mine if key else wanted_filter(task))

        async def work(connection: Connection) -> None:
            shape = Delete(table=table.source, where=plan.both(plan.key_filter(key), where) if key else where)
            for record in records if key else [{}]:
                await self._executor.fetch(connection, shape, [*plan.key_values(key, record), *values])

        await self._executor.write(work, table.name, cost=task.cost)
        return [{name: record[name] for name in asked} for record in records], meta

    async def truncate(self, task: Task) -> None:
        """Delete every record that the role can see."""
        where, values = plan.bind(task.table, task.mine)

        async def work(connection: Connection) -> None:
            await self._executor.fetch(connection, Delete(table=task.table.source, where=where), values)

        await self._executor.write(work, task.table.name, cost=task.cost)

    async def delete(self, connection: Connection, task: Task, identifier: JSON) -> Written:
        table = task.table
        key = plan.key_of(table, task.options)
        try:
            wanted = plan.key_values(key, identifier)
        except OutOfRange:
            raise not_found(_shown(key, identifier)) from None
        where, values = plan.bind(table, task.mine)
        shape = Delete(
            table=table.source,
            where=plan.both(plan.key_filter(key), where),
            returning=self._returning(task),
            by=tuple(column.name for column in key),
            exact=plan.is_exact(table, key),
        )
        rows = await self._executor.fetch(connection, shape, [*wanted, *values])
        if not rows:
            raise not_found(_shown(key, identifier))
        written = self._written(task, rows[0], checked=False)
        return Written(written.record, written.record)

    # -- what all share

    def _stands_alone(self, task: Task, items: Sequence[JSON], nested: Nested, *, changes: bool = False) -> bool:
        """Whether it is one statement whose row is not looked at again: one record, with nothing nested in it."""
        return (
            len(items) == 1
            and isinstance(items[0], dict)
            and task.mine is None
            and not (changes and self._upserts)
            and nested.relations.keys().isdisjoint(name.lower() for name in items[0])
        )

    async def _batch(
        self, task: Task, items: Sequence[JSON], act: Act, verb: str, *, single: bool = False
    ) -> list[Record]:
        async def work(connection: Connection) -> Outcome[Written]:
            return await perform(connection, items, act, task.options, table=task.table.name, failure_of=failure_of)

        try:
            outcome = await self._executor.write(work, task.table.name, cost=task.cost, single=single)
        except RolledBack as undone:
            outcome = cast("Outcome[Written]", undone.outcome)
        outcome.raise_failures(verb, task.options, lambda written: written.identity)
        return [written.record for written in outcome.results()]

    async def _store(
        self, connection: Connection, task: Task, shape: Insert | Update, values: Sequence[Value]
    ) -> list[Row]:
        try:
            return await self._executor.fetch(connection, shape, values)
        except Refusal as error:
            if error.kind == "foreign_key":
                error.detail = error.detail or blame_references(task.table, shape.columns, values)
            raise

    def _identity(self, task: Task) -> tuple[str, ...]:
        names = task.options.id_field or task.table.primary_key
        return tuple(plan.column_of(task.table, name, "id_field").name for name in names)

    def _returning(self, task: Task) -> tuple[str, ...]:
        """Id fields and the fields asked for; something in any case, so that an answer tells that a row was there."""
        asked = () if task.options.fields is None else plan.fields_of(task.table, task.options.fields)
        return tuple(dict.fromkeys((*self._identity(task), *asked))) or (task.table.columns[0].name,)

    def _written(self, task: Task, row: Row, *, checked: bool) -> Written:
        """Raises Forbidden when the row, as it is now, is not one that the role lets through."""
        if checked and not row[-1]:
            raise _denied()
        maker = self._executor.row_maker(task.table, self._returning(task))
        return self._shaped(task, maker.records([row])[0])

    def _shaped(self, task: Task, record: Record) -> Written:
        identity = {name: record[name] for name in self._identity(task)}
        if task.options.fields is None:
            return Written(identity, identity)
        return Written(identity, {name: record[name] for name in self._answered(task)})

    def _answered(self, task: Task) -> tuple[str, ...]:
        fields = task.options.fields
        return self._identity(task) if fields is None else plan.fields_of(task.table, fields)


def _ids_only(task: Task) -> Task:
    fields = task.options.fields or task.options.id_field
    return replace(task, options=replace(task.options, fields=fields, limit=None, offset=0, count_only=False))


def _shown(key: Sequence[Column], identifier: JSON) -> JSON:
    """The id for a message: of a record only its key."""
    if not isinstance(identifier, dict):
        return identifier
    lower = {name.lower(): value for name, value in identifier.items()}
    values: dict[str, JSON] = {column.name: lower.get(column.name.lower()) for column in key}
    return next(iter(values.values())) if len(values) == 1 else values


def _denied() -> Forbidden:
    return Forbidden("Denied access to some of the requested fields.")
