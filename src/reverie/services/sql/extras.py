"""What is kept beside a database, and the catalogue with it laid over: aliases, rules, relations of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.catalogue import Catalogue, Column, Rule, Table
from reverie.services.sql.functions import Constant, Expression, Use, parsed_uses
from reverie.services.sql.validation import rules_of
from reverie.store.extras import drop_extras, save_extras
from reverie.store.memory import Memory
from reverie.store.records import ExtraKind, ExtraRecord

log = structlog.get_logger()

Kept = Mapping[str, Mapping[str, JSON]]
"""Properties by the name of a field or relation, in lower case."""


class Extras(Protocol):
    """Where what belongs beside a service's database is kept."""

    async def load(self) -> Sequence[ExtraRecord]:
        """All of it; what compares equal to an earlier answer has not changed. Cheap."""
        ...

    async def save(self, changes: Sequence[ExtraRecord]) -> None:
        """Lay properties over those that are kept, all or none; a null forgets one."""
        ...

    async def drop(self, table: str, kind: ExtraKind | None = None, names: Sequence[str] = ()) -> None:
        """Forget what is kept about these fields or relations; with no *kind* all about the table."""
        ...


class StoredExtras:
    """`Extras` in the platform's store; every process sees a change when it next looks at the settings."""

    def __init__(self, memory: Memory, service_id: int) -> None:
        self._memory = memory
        self._service_id = service_id

    async def load(self) -> Sequence[ExtraRecord]:
        return await self._memory.extras(self._service_id)

    async def save(self, changes: Sequence[ExtraRecord]) -> None:
        await save_extras(self._memory.store, self._service_id, changes)
        await self._memory.fresh()

    async def drop(self, table: str, kind: ExtraKind | None = None, names: Sequence[str] = ()) -> None:
        about = [one for one in await self.load() if one.table == table and (kind is None or one.kind == kind)]
        if any(kind is None or one.name in names for one in about):
            await drop_extras(self._memory.store, self._service_id, table, kind, names)
            await self._memory.fresh()


class BriefExtras:
    """`Extras` that are kept as long as the service lives: for a service that has no store."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ExtraKind, str], ExtraRecord] = {}

    async def load(self) -> Sequence[ExtraRecord]:
        return [self._kept[key] for key in sorted(self._kept)]

    async def save(self, changes: Sequence[ExtraRecord]) -> None:
        for change in changes:
            key = (change.table, change.kind, change.name)
            merged = {**(self._kept[key].properties if key in self._kept else {}), **change.properties}
            left = {name: value for name, value in merged.items() if value is not None}
            self._kept[key] = replace(change, properties=left)
            if not left:
                del self._kept[key]

    async def drop(self, table: str, kind: ExtraKind | None = None, names: Sequence[str] = ()) -> None:
        for key in list(self._kept):
            if key[0] == table and (kind is None or (key[1] == kind and key[2] in names)):
                del self._kept[key]


def laid_over(catalogue: Catalogue, extras: Sequence[ExtraRecord], database: str) -> Catalogue:
    """The catalogue as requests see it. What is kept about tables and fields that are no more has no effect.

    Args:
        database: its kind, which decides what functions there are.
    """
    if not extras:
        return catalogue
    kept: dict[str, dict[ExtraKind, dict[str, Mapping[str, JSON]]]] = {}
    for one in extras:
        kept.setdefault(one.table, {}).setdefault(one.kind, {})[one.name] = one.properties
    return Catalogue(
        {
            name: _table(table, kept[name], database)
            if name in kept
            else table  # keys are names in lower case, as kept
            for name, table in catalogue.tables.items()
        },
        catalogue.version,
    )


def _table(table: Table, kept: Mapping[ExtraKind, Kept], database: str) -> Table:
    fields = kept.get("field", {})
    columns = tuple(_column(table, column, fields.get(column.name.lower()), database) for column in table.columns)
    columns += tuple(
        _virtual(table, name, extra, database) for name, extra in fields.items() if _adds(table, extra, name)
    )
    shown = {column.real_name: column.name for column in columns}
    return replace(
        table,
        columns=columns,
        primary_key=tuple(shown.get(name, name) for name in table.primary_key),
        extra=kept.get("table", {}).get("", {}),
        related=kept.get("relation", {}),
    )


def _adds(table: Table, extra: Mapping[str, JSON], name: str) -> bool:
    """Whether this is about a virtual field: a column of that name takes its place."""
    return bool(extra.get("is_virtual")) and table.real_column(name) is None


def _virtual(table: Table, name: str, extra: Mapping[str, JSON], database: str) -> Column:
    kind = str(extra.get("type") or "string")
    named = str(extra.get("name") or name)
    return _column(table, Column(name=named, type=kind, db_type=kind, generated=True, virtual=True), extra, database)


def _column(table: Table, column: Column, extra: Mapping[str, JSON] | None, database: str) -> Column:
    if not extra:
        return column
    alias = extra.get("alias")
    name = alias if isinstance(alias, str) else column.name
    try:
        rules = rules_of(name, extra.get("validation"), extra.get("picklist"))
    except BadRequest as error:
        # Checked when it was kept; a release that knows other rules may have kept it. No rule means no write.
        log.warning("sql.validation_unreadable", field=column.name, cause=error.message)
        rules = (_refuse(name),)
    known = _functions(table, column, extra.get("db_function"), database)
    if known is None:
        rules = (_refuse(name),)
    # Null rather than the column itself: the function may have been there to hide it.
    functions = known if known is not None else (("SELECT", Constant(None)),)
    stored = column.name if name != column.name else None
    return replace(column, name=name, stored=stored, extra=extra, rules=rules, functions=functions)


def _functions(table: Table, column: Column, listed: JSON, database: str) -> tuple[tuple[Use, Expression], ...] | None:
    """A field's functions; None when they cannot be read any more, as after a column in them was dropped."""
    try:
        return parsed_uses(listed if isinstance(listed, list) else [], table.stored_name, database)
    except BadRequest as error:
        log.warning("sql.function_unreadable", table=table.name, field=column.name, cause=error.message)
        return None


def _refuse(field: str) -> Rule:
    def rule(value: JSON, creating: bool) -> bool:
        raise BadRequest(f"Field '{field}' can not be written: its validation cannot be read. Set it anew.")

    return rule
