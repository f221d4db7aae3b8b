"""`_schema`: tables described, created, changed and dropped, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reverie.database import Connection
from reverie.errors import BadRequest, Conflict, NotFound, NotSupported, ReverieError
from reverie.model import JSON, is_true
from reverie.services.sql import properties
from reverie.services.sql.batch import entry
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.definitions import CHANGEABLE
from reverie.services.sql.describe import describe_column, describe_table, head
from reverie.services.sql.dialect import Step
from reverie.services.sql.execute import Executor
from reverie.services.sql.extras import Extras
from reverie.services.sql.options import names
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.relations import relations
from reverie.services.sql.values import to_text
from reverie.store.records import ExtraRecord

Access = Callable[[str], int]
"""The caller's verb mask for a component."""


class Schema:
    """The schema of one service's database."""

    def __init__(self, executor: Executor, reflector: Reflector, extras: Extras, service_id: int) -> None:
        self._executor = executor
        self._reflector = reflector
        self._extras = extras
        self._service_id = service_id

    # -- describe

    async def describe(self, name: str, access: Access) -> dict[str, JSON]:
        """The full object of a table. Raises NotFound."""
        table = await self._reflector.table(name)
        catalogue = await self._reflector.catalogue()
        mask = access(f"_schema/{table.name}")
        return describe_table(catalogue, table, service_id=self._service_id, access=mask)

    async def describe_part(self, name: str, part: str, parameters: Mapping[str, JSON]) -> JSON:
        """``_field``, ``_field/{f}``, ``_related``, ``_related/{r}``, or in the old form just ``{f}``.

        Raises:
            NotFound: no such table, field or relation.
        """
        table = await self._reflector.table(name)
        kind, _, one = part.partition("/")
        if kind == "_related":
            found: Mapping[str, JSON] = dict(relations(await self._reflector.catalogue(), table, self._service_id))
        else:
            one = one if kind == "_field" else kind
            found = {column.real_name: describe_column(column) for column in table.columns}
        if one:
            lower = {key.lower(): value for key, value in found.items()}
            if one.lower() not in lower:
                what = "relationships" if kind == "_related" else "fields"
                raise NotFound(f"No requested {what} found in table '{table.name}'.")
            return lower[one.lower()]
        chosen = {one.lower() for one in names("ids", parameters.get("ids"))}
        return {"resource": [value for key, value in found.items() if not chosen or key.lower() in chosen]}

    # -- create and widen

    async def create(self, records: Sequence[JSON], *, check_exist: bool) -> list[JSON]:
        """Create tables, or widen those that exist; answers ``{"name"}`` for each.

        One that fails alone raises; among several its place holds ``{"error"}`` and the others are created.

        Raises:
            BadRequest, Conflict, NotSupported
        """
        results: list[JSON] = []
        for record in records:
            try:
                results.append({"name": await self._create_one(_lower(record), check_exist=check_exist)})
            except ReverieError as error:
                if len(records) == 1:
                    raise
                results.append({"error": entry(error)})
        return results

    async def _create_one(self, record: Mapping[str, JSON], *, check_exist: bool) -> str:
        name = record.get("name")
        if not isinstance(name, str) or not name.strip() or "\0" in name or "/" in name:
            raise BadRequest("Every table needs a name.")
        name = to_text("name", name.strip())
        self._reflector.forget()
        catalogue = await self._reflector.catalogue()
        known = catalogue.table(name)
        if known is None:
            fields = _fields(record)
            stored = [properties.without(field) for field in fields if not properties.is_virtual(field)]
            statements = self._executor.dialect.create_table(name, stored)
            kept = properties.of_table(catalogue, name, record, None)
            kept += properties.of_fields(name, fields, None, self._executor.dialect.name)
            own: list[JSON] = [dict(one) for one in _relations(record) if is_true(one.get("is_virtual"))]
            await self._run(statements, name)
            await self._keep(kept)
            if own:
                await self.change_relations(name, own)
            return name
        if check_exist:
            raise Conflict(f"Table '{known.name}' exists already.")
        return await self.change(known.name, dict(record), drops=False)

    async def change(self, name: str, record: JSON, *, drops: bool) -> str:
        """Add the fields that the table does not have; with *drops* drop those that are not mentioned.

        What is kept beside the database is changed as far as it is mentioned.

        Raises:
            NotFound: no such table.
            NotSupported: what would have to be changed cannot be yet; says what.
        """
        table = await self._reflector.table(name)
        catalogue = await self._reflector.catalogue()
        body = _lower(record)
        fields = _fields(body)
        kept = properties.of_table(catalogue, table.name, body, table)
        kept += properties.of_fields(table.name, fields, table, self._executor.dialect.name)
        kept += properties.of_relations(catalogue, table, _relations(body), self._service_id)
        statements: list[Step] = []
        for field in fields:
            column = table.real_column(str(field.get("name", "")))
            if properties.is_virtual(field) or (column is not None and column.virtual):
                continue
            if column is None:
                statements += self._executor.dialect.add_column(table.name, properties.without(field))
            elif changed := _changed(column, field):
                statements += self._changes(table, column, field, changed)
        gone: list[str] = []
        if drops and fields:
            mentioned = {str(field.get("name", "")).lower() for field in fields}
            gone = [column.real_name for column in table.columns if column.real_name.lower() not in mentioned]
        await self._run([*statements, *self._without(table, gone)], table.name)
        await self._keep(kept)
        await self._forget(table, gone)
        return table.name

    def _changes(self, table: Table, column: Column, field: Mapping[str, JSON], changed: set[str]) -> list[Step]:
        dialect, unique = self._executor.dialect, "is_unique" in changed
        others = changed - {"is_unique"}
        steps: list[Step] = [*dialect.change_column(table.name, column, field, others)] if others else []
        if unique:
            steps += dialect.change_unique(table, column, unique=is_true(field["is_unique"]))
        return steps

    async def add_fields(self, name: str, records: Sequence[JSON]) -> list[str]:
        """Add fields to a table; their names. Raises as `change`."""
        await self.change(name, {"field": list(records)}, drops=False)
        return [str(_lower(record).get("name")) for record in records]

    async def change_relations(self, name: str, records: Sequence[JSON]) -> list[str]:
        """Keep properties of relations, or virtual relations; their names.

        Raises:
            NotFound, BadRequest, Conflict, NotSupported
        """
        table = await self._reflector.table(name)
        catalogue = await self._reflector.catalogue()
        kept = properties.of_relations(catalogue, table, [_lower(one) for one in records], self._service_id)
        await self._keep(kept)
        return [str(one.properties.get("name") or one.name) for one in kept]

    # -- drop

    async def drop(self, wanted: Sequence[str]) -> list[str]:
        """Drop tables, all or none; their names. Raises NotFound, Conflict."""
        tables = [await self._reflector.table(name) for name in wanted]
        for table in tables:
            if table.is_view:
                raise NotSupported(f"Dropping the view '{table.name}' is not supported yet.")
        await self._run([one for table in tables for one in self._executor.dialect.drop_table(table.name)], wanted[0])
        for table in tables:
            await self._extras.drop(table.name.lower())
        self._reflector.forget()
        return [table.name for table in tables]

    async def drop_fields(self, name: str, wanted: Sequence[str]) -> None:
        """Drop columns; unknown names are gone already. Raises NotFound for the table."""
        table = await self._reflector.table(name)
        gone = [column.real_name for one in wanted if (column := table.real_column(one))]
        await self._run(self._without(table, gone), table.name)
        await self._forget(table, gone)

    async def drop_relations(self, name: str, wanted: Sequence[str]) -> None:
        """Drop virtual relations, and forget what is kept about others. Raises NotFound for the table."""
        table = await self._reflector.table(name)
        await self._extras.drop(table.name.lower(), "relation", [one.strip().lower() for one in wanted])
        self._reflector.forget()

    def _without(self, table: Table, columns: Sequence[str]) -> list[str]:
        dialect = self._executor.dialect
        stored = [name for column in columns if (name := table.stored_name(column))]
        return [one for column in stored for one in dialect.drop_column(table, column)]

    async def _keep(self, kept: Sequence[ExtraRecord]) -> None:
        if changes := [one for one in kept if one.properties]:
            await self._extras.save(changes)
        self._reflector.forget()

    async def _forget(self, table: Table, columns: Sequence[str]) -> None:
        """Nothing is kept about columns that were dropped: one of the same name may come."""
        if columns:
            await self._extras.drop(table.name.lower(), "field", [column.lower() for column in columns])
        self._reflector.forget()

    async def _run(self, steps: Sequence[Step], table: str) -> None:
        async def work(connection: Connection) -> None:
            for one in steps:
                await (connection.execute(one) if isinstance(one, str) else one(connection))

        if steps:
            whole = all(isinstance(one, str) for one in steps)
            await (self._executor.write if whole else self._executor.rebuild)(work, table)
        self._reflector.forget()


def listing(table: Table, access: Sequence[str], *, alias: bool) -> dict[str, JSON]:
    """One entry of a list of tables with all its fields; *access* names verbs."""
    entry = {"alias": table.extra.get("alias"), **head(table)} if alias else {**head(table), "name": table.shown}
    return {**entry, "access": list(access)}


def _lower(record: JSON) -> dict[str, JSON]:
    if not isinstance(record, dict):
        raise BadRequest("A table or field must be a map of properties.")
    return {name.lower(): value for name, value in record.items()}


def _fields(record: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    fields = record.get("field") or record.get("fields") or []
    if not isinstance(fields, list | dict):
        raise BadRequest("The property 'field' must be a list of fields.")
    return [_lower(field) for field in (fields if isinstance(fields, list) else [fields])]


def _relations(record: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    related = record.get("related") or []
    if not isinstance(related, list):
        raise BadRequest("The property 'related' must be a list of relationships.")
    return [_lower(one) for one in related]


def _changed(column: Column, field: Mapping[str, JSON]) -> set[str]:
    """Which properties are to be others; what is as it was, or null, is no change: clients send a field whole.

    Raises:
        NotSupported: one that no database here can change.
    """
    found: set[str] = set()
    for name, now in properties.without(describe_column(column)).items():
        given = field.get(name)
        if given in (None, [], "", now) or (isinstance(now, bool) and is_true(given) == now):
            continue
        if name == "type" and str(given).lower() in (column.type, column.db_type):
            continue
        # It follows from the others.
        if name != "required":
            found.add(name)
    if others := sorted(found - CHANGEABLE):
        raise NotSupported(f"Changing '{others[0]}' of field '{column.real_name}' is not supported yet.")
    return found
