"""Related records inside a record that is written: created, changed, attached and detached with it.

What it leads to (``belongs_to``) is written before the record, what leads to it afterwards, all in one unit of work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, cast

from reverie.database import Connection, DatabaseBusy, DatabaseError, Value
from reverie.errors import BadRequest, Forbidden, NotFound, NotSupported, ReverieError
from reverie.model import JSON, Verb
from reverie.services.sql import plan
from reverie.services.sql.batch import refused
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.execute import Executor, Record
from reverie.services.sql.filters import And, Compare
from reverie.services.sql.reading import Reader, Task
from reverie.services.sql.relations import Relation, name_of
from reverie.services.sql.statements import Delete, Select, Update
from reverie.services.sql.values import to_database

Given: TypeAlias = Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written: its id fields, the fields that were asked for, and which related ones failed."""

    identity: Record
    record: Record
    failure: ReverieError | None = None


class OneByOne(Protocol):
    """Writes single records inside a unit of work; each checks what the task's role lets through."""

    async def insert(self, connection: Connection, task: Task, record: Given) -> Written: ...

    async def update(self, connection: Connection, task: Task, identifier: JSON, record: Given) -> Written: ...

    async def delete(self, connection: Connection, task: Task, identifier: JSON) -> Written: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Related records of one request.

    Attributes:
        relations: of the table that is written, by lower-case name.
        task: what the caller may do with another table, by verb. Raises Forbidden.
        may_delete: a record that cannot be detached, since its reference may not be null, is deleted instead.
    """

    executor: Executor
    reader: Reader
    writer: OneByOne
    relations: Mapping[str, Relation]
    task: Callable[[str, Verb], Task]
    may_delete: bool = False

    def split(self, item: JSON) -> tuple[dict[str, JSON], dict[str, JSON]]:
        """The record's own fields and its related records, keys in lower case. Raises BadRequest for no record."""
        if not isinstance(item, dict):
            raise BadRequest("A record must be a map of fields to values.")
        record = {name.lower(): value for name, value in item.items()}
        return record, {name: record.pop(name) for name in self.relations if name in record}

    async def before(self, connection: Connection, record: dict[str, JSON], parts: Given) -> None:
        """Write what the record leads to, and put its key into the record where it was created.

        Raises:
            BadRequest, Forbidden
        """
        for name, part in parts.items():
            relation = self.relations[name]
            if relation["type"] != "belongs_to" or not part:
                continue
            one = _Related(self, connection, relation)
            record |= await one.lead(one.map(part))

    async def after(self, connection: Connection, task: Task, written: Written, parts: Given) -> Written:
        """Write what leads to the record. What fails there is kept in the result: the record itself stays.

        Raises:
            Forbidden, NotSupported: the whole record fails.
        """
        later = {name: part for name, part in parts.items() if self.relations[name]["type"] != "belongs_to"}
        if not later:
            return written
        fields = tuple(str(self.relations[name]["field"]) for name in later)
        values = await self.reader.by_id(connection, task, dict(written.identity), tuple(dict.fromkeys(fields)))
        for name, part in later.items():
            relation = self.relations[name]
            try:
                async with connection.savepoint():
                    await _Related(self, connection, relation, values[str(relation["field"])]).write(part)
            except (Forbidden, NotSupported, DatabaseBusy):
                raise
            except (ReverieError, DatabaseError) as error:
                known = error if isinstance(error, ReverieError) else refused(error, str(relation["ref_table"]))
                failure = BadRequest(f"The related records '{name_of(relation)}' were not written: {known.message}")
                failure.__cause__ = error
                return Written(written.identity, written.record, failure)
        return written


@dataclass(slots=True)
class _Related:
    """The records of one relation of one record; `parent` is the value that they point to."""

    nested: Nested
    connection: Connection
    relation: Relation
    parent: JSON = None
    _tables: dict[tuple[str, Verb], Task] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return name_of(self.relation)

    def task(self, verb: Verb, which: str = "ref_table") -> Task:
        if "," in str(self.relation["field"]):
            raise NotSupported(f"The relation '{self.name}' hangs on several fields; writing it is not supported.")
        return self.nested.task(str(self.relation[which]), verb)

    def map(self, part: JSON) -> dict[str, JSON]:
        if not isinstance(part, dict):
            raise BadRequest(f"A related record of '{self.name}' must be a map of fields to values.")
        return {name.lower(): value for name, value in part.items()}

    async def write(self, part: JSON) -> None:
        match self.relation["type"]:
            case "has_one":
                await (self._point(self.map(part)) if part else self._detach_all())
            case "has_many":
                for item in self._list(part):
                    await self._point(self.map(item))
            case _:
                for item in self._list(part):
                    await self._link(self.map(item))

    def _list(self, part: JSON) -> Sequence[JSON]:
        if part is not None and not isinstance(part, list):
            raise BadRequest(f"The related records of '{self.name}' must be a list.")
        return part or []

    # -- the record leads to it

    async def lead(self, item: dict[str, JSON]) -> dict[str, JSON]:
        """Write it; the record's new reference where it was created."""
        if await self._changed(item):
            return {}
        task = self.task(Verb.POST)
        key = await self._value_of(task, await self.nested.writer.insert(self.connection, task, item))
        return {str(self.relation["field"]).lower(): key}

    # -- it leads to the record

    async def _point(self, item: dict[str, JSON]) -> None:
        """Create, change, attach or detach one that holds the reference itself."""
        task = self.task(Verb.PATCH) if _has_key(self._table(), item) else self.task(Verb.POST)
        reference = plan.column_of(task.table, str(self.relation["ref_field"]))
        name = reference.name.lower()
        if not _known(task.table, item):
            raise BadRequest("No valid fields were found in the record.")
        if not _has_key(task.table, item):
            await self.nested.writer.insert(self.connection, task, {**item, name: self.parent})
            return
        detached = name in item and item[name] is None
        if detached and not reference.allow_null:
            if not self.nested.may_delete:
                raise BadRequest(f"'{reference.name}' can not be NULL; allow_related_delete=true deletes the record.")
            await self.nested.writer.delete(self.connection, self.task(Verb.DELETE), item)
            return
        changed = item if detached else {**item, name: self.parent}
        try:
            await self.nested.writer.update(self.connection, task, dict(item), changed)
        except NotFound:
            if any(task.table.column(one).auto_increment for one in task.table.primary_key):  # type: ignore[union-attr] # it has them
                raise
            await self.nested.writer.insert(self.connection, self.task(Verb.POST), changed)

    async def _detach_all(self) -> None:
        table = self._table()
        reference = plan.column_of(table, str(self.relation["ref_field"]))
        if not reference.allow_null and not self.nested.may_delete:
            raise BadRequest(f"'{reference.name}' can not be NULL; allow_related_delete=true deletes the record.")
        task = self.task(Verb.PATCH if reference.allow_null else Verb.DELETE)
        mine, more = plan.bind(table, task.mine)
        where = plan.both(Compare(reference.name, "=", None), mine)
        if reference.allow_null:
            shape: Update | Delete = Update(
                table=table.source,
                columns=(reference.name,),
                where=where,
                returning=(),
                check=mine,
                key=table.primary_key,
            )
            values: list[Value] = [None, to_database(reference, self.parent), *more, *more]
        else:
            shape, values = Delete(table=table.source, where=where), [to_database(reference, self.parent), *more]
        rows = await self.nested.executor.fetch(self.connection, shape, values)
        if reference.allow_null and mine is not None and not all(row[-1] for row in rows):
            raise Forbidden(f"The role does not let '{reference.name}' become null.")

    # -- both lead to each other, over a table between

    async def _link(self, item: dict[str, JSON]) -> None:
        junction = self.task(Verb.POST, "junction_table").table
        near = plan.column_of(junction, str(self.relation["junction_field"]))
        far = plan.column_of(junction, str(self.relation["junction_ref_field"]))
        unlink = [name for name, value in item.items() if "." in name and value is None]
        for name in unlink:
            del item[name]
        if not _known(self._table(), item):
            raise BadRequest("No valid fields were found in the record.")
        if unlink:
            await self._unlink(junction, near, far, item)
            return
        if await self._changed(item):
            key = item[str(self.relation["ref_field"]).lower()]
        else:
            task = self.task(Verb.POST)
            key = await self._value_of(task, await self.nested.writer.insert(self.connection, task, item))
        values = [to_database(near, self.parent), to_database(far, key)]
        shape = Select(table=junction.source, columns=(near.name,), where=_both_are(near, far), paged=True)
        if not await self.nested.executor.fetch(self.connection, shape, [*values, 1, 0]):
            # Through the writer, so that the role's conditions on that table hold as well.
            link = {near.name.lower(): self.parent, far.name.lower(): key}
            await self.nested.writer.insert(self.connection, self.task(Verb.POST, "junction_table"), link)

    async def _unlink(self, junction: Table, near: Column, far: Column, item: dict[str, JSON]) -> None:
        task = self.task(Verb.DELETE, "junction_table")
        mine, more = plan.bind(junction, task.mine)
        key = item.get(str(self.relation["ref_field"]).lower())
        shape = Delete(table=junction.source, where=plan.both(_both_are(near, far), mine))
        values = [to_database(near, self.parent), to_database(far, key), *more]
        await self.nested.executor.fetch(self.connection, shape, values)

    # -- shared

    def _table(self) -> Table:
        return self.task(Verb.GET).table

    async def _changed(self, item: dict[str, JSON]) -> bool:
        """Change one that is named by its key; False when it names none, or there is none and it may be created."""
        table = self._table()
        if not _has_key(table, item):
            return False
        keys = {name.lower() for name in table.primary_key}
        if not _known(table, item) - keys:
            return await self._is_seen(item)
        try:
            await self.nested.writer.update(self.connection, self.task(Verb.PATCH), dict(item), item)
        except NotFound:
            return False
        return True

    async def _is_seen(self, item: dict[str, JSON]) -> bool:
        """Whether the role does not hide the record that *item* names: to the caller a hidden one is none."""
        task = self.task(Verb.GET)
        if task.mine is None:
            return True
        try:
            await self.nested.reader.by_id(self.connection, task, item, task.table.primary_key)
        except NotFound:
            return False
        return True

    async def _value_of(self, task: Task, written: Written) -> JSON:
        """The field of a new record that the other side points to."""
        name = plan.column_of(task.table, str(self.relation["ref_field"])).name
        if name in written.identity:
            return written.identity[name]
        return (await self.nested.reader.by_id(self.connection, task, dict(written.identity), (name,)))[name]


def _both_are(near: Column, far: Column) -> And:
    return And((Compare(near.name, "=", None), Compare(far.name, "=", None)))


def _known(table: Table, item: Given) -> set[str]:
    return {name for name in item if table.column(name) is not None}


def _has_key(table: Table, item: Given) -> bool:
    """Whether a related record is named by the whole key of its table."""
    return bool(table.primary_key) and all(item.get(name.lower()) not in (None, "") for name in table.primary_key)


def failure_of(written: object) -> ReverieError | None:
    """What failed beside a record that was written."""
    return cast("Written", written).failure
