"""What is kept beside a database, and the catalogue with it laid over: aliases, rules, relations of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.catalogue import Catalogue, Column, Rule, Table
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


def laid_over(catalogue: Catalogue, extras: Sequence[ExtraRecord]) -> Catalogue:
    """The catalogue as requests see it. What is kept about tables and fields that are no more has no effect."""
    if not extras:
        return catalogue
    kept: dict[str, dict[ExtraKind, dict[str, Mapping[str, JSON]]]] = {}
    for one in extras:
        kept.setdefault(one.table, {}).setdefault(one.kind, {})[one.name] = one.properties
    return Catalogue(
        {
            name: _table(table, kept[name]) if name in kept else table  # keys are names in lower case, as kept
            for name, table in catalogue.tables.items()
        },
        catalogue.version,
    )


def _table(table: Table, kept: Mapping[ExtraKind, Kept]) -> Table:
    fields = kept.get("field", {})
    columns = tuple(_column(column, fields.get(column.name.lower())) for column in table.columns)
    shown = {column.real_name: column.name for column in columns}
    return replace(
        table,
        columns=columns,
        primary_key=tuple(shown.get(name, name) for name in table.primary_key),
        extra=kept.get("table", {}).get("", {}),
        related=kept.get("relation", {}),
    )


def _column(column: Column, extra: Mapping[str, JSON] | None) -> Column:
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
    return replace(column, name=name, stored=column.name if name != column.name else None, extra=extra, rules=rules)


def _refuse(field: str) -> Rule:
    def rule(value: JSON, creating: bool) -> bool:
        raise BadRequest(f"Field '{field}' can not be written: its validation cannot be read. Set it anew.")

    return rule
