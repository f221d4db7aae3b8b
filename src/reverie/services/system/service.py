"""``system/service``: the services of this instance, with their settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import ClassVar, Final

from reverie.database import Connection, Value
from reverie.errors import BadRequest, Forbidden
from reverie.model import JSON, Context, Request
from reverie.services.system.fields import ID, MASK, STAMPS, Field, Invalid, accept, convert, shown, stored
from reverie.services.system.records import Records
from reverie.services.system.relations import Relation, Row
from reverie.services.system.scripting import check_queue_options, refuse_disabled
from reverie.services.system.service_doc import ServiceDoc
from reverie.services.system.service_type import ConfigField, ServiceType
from reverie.store import tables
from reverie.store.services import open_config, seal_config
from reverie.store.store import Store

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_LEGACY_SCRIPT: Final = "script"
_ALIASES: Final = {"postgresql": "pgsql", "mariadb": "mysql"}
"""Other names of types; a service is stored under the first."""


class Services(Records):
    """Settings are checked by the type's fields; secrets among them are stored sealed and shown as `MASK`.

    Args:
        disabled: languages that are switched off, or ``all``; saving a script then answers 503.
    """

    name = "service"
    table = tables.service
    fields: ClassVar[tuple[Field, ...]] = (
        ID,
        Field(name="name", required=True, limit=40),
        Field(name="label", limit=80),
        Field(name="description", limit=255),
        Field(name="is_active", kind="boolean", nullable=False, default=False),
        Field(name="type", required=True, limit=40),
        Field(name="mutable", kind="boolean", writable=False),
        Field(name="deletable", kind="boolean", writable=False),
        *STAMPS,
        Field(name="config", kind="json"),
    )

    def __init__(self, store: Store, types: Mapping[str, ServiceType], disabled: Collection[str] = ()) -> None:
        doc: Relation = ServiceDoc()
        super().__init__(store, {doc.name: doc, "doc": doc})
        self.types = types
        self.disabled = disabled

    def show(self, row: Row) -> dict[str, JSON]:
        record = shown(self.fields[:-1], row)
        kind = self.types.get(str(row["type"]))
        settings = open_config(self.store.sealer, text_of(row["config"]))
        record["config"] = shown_config(row["id"], kind, settings) if kind and kind.config_fields else None
        return record

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        settings = sent.get("config")
        if sent.get("type") == _LEGACY_SCRIPT and isinstance(settings, dict):
            return {**sent, "type": settings.get("type")}
        if isinstance(named := sent.get("type"), str) and named in _ALIASES:
            return {**sent, "type": _ALIASES[named]}
        return sent

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values = accept(self.fields, sent, creating=row is None)
        check_name(values)
        if row is not None:
            refuse_protected(row, values)
        elif not values.get("label"):
            values["label"] = sent["name"] if isinstance(sent["name"], str) else values["name"]
        kind = self.type_of(values, row)
        if kind.is_script:
            refuse_disabled(self.disabled, kind.name)
        settings = self.settings(kind, values.pop("config", None), row)
        columns = stored(self.fields, values)
        columns["config"] = seal_config(
            self.store.sealer, settings, {field.name for field in kind.config_fields if field.secret}
        )
        return columns

    def type_of(self, values: Mapping[str, JSON], row: Row | None) -> ServiceType:
        """The type a service has or gets. Raises BadRequest for one that is unknown, or cannot be had twice."""
        name = str(values.get("type") or (text_of(row["type"]) if row is not None else ""))
        kind = self.types.get(name)
        if kind is None:
            raise BadRequest(f"Unknown service type '{name}'.", context={"type": ["There is no such service type."]})
        if kind.singleton and (row is None or row["type"] != name):
            raise BadRequest(f"There is one service of type '{name}' already, and there can be no other.")
        return kind

    def settings(self, kind: ServiceType, sent: JSON, row: Row | None) -> dict[str, JSON]:
        """The settings to store: what was there, overlaid by what was sent. Raises Invalid."""
        if sent is not None and not isinstance(sent, dict):
            raise Invalid({"config": "The field 'config' must be an object."})
        old = {} if row is None else open_config(self.store.sealer, text_of(row["config"]))
        settings: dict[str, JSON] = {}
        mistakes: list[str] = []
        for field in kind.config_fields:
            try:
                value = setting(field, sent or {}, old)
            except ValueError as error:
                mistakes.append(f"The setting '{field.name}' {error}.")
                continue
            if value is not None:
                settings[field.name] = value
        if mistakes:
            raise Invalid({"config": " ".join(mistakes)})
        if kind.is_script:
            check_queue_options(settings.get("config"))
        return settings

    def guard_delete(self, row: Row, context: Context) -> None:
        if not row["deletable"]:
            raise Forbidden(f"The service '{text_of(row['name'])}' cannot be deleted.")


def check_name(values: dict[str, JSON]) -> None:
    """Put the name into lower case. Raises Invalid for one that no path can hold."""
    if "name" not in values:
        return
    name = str(values["name"])
    if not _NAME.fullmatch(name):
        raise Invalid({"name": "The field 'name' must consist of letters, digits, '_' and '-'."})
    values["name"] = name.lower()


def refuse_protected(row: Row, values: Mapping[str, JSON]) -> None:
    """Raise Forbidden when what the platform needs would be renamed, turned into something else, or switched off."""
    if row["mutable"]:
        return
    for field in ("name", "type", "is_active"):
        if field in values and values[field] != row[field]:
            raise Forbidden(f"The '{field}' of the service '{text_of(row['name'])}' cannot be changed.")


def setting(field: ConfigField, sent: Mapping[str, JSON], old: Mapping[str, JSON]) -> JSON:
    """One setting's new value. Raises ValueError with the end of a sentence."""
    kept = old.get(field.name)
    value = sent.get(field.name, kept)
    if field.secret and value == MASK:
        value = kept
    if value is None or value == "":
        if field.required:
            raise ValueError("is required")
        return value if field.kind == "text" else None
    return convert(Field(name=field.name, kind=field.kind), value)


def shown_config(service_id: Value, kind: ServiceType, settings: Mapping[str, JSON]) -> JSON:
    """Settings as the API shows them: every field of the type, secrets masked."""
    record: dict[str, JSON] = {"service_id": service_id if isinstance(service_id, int) else None}
    for field in kind.config_fields:
        value = settings.get(field.name, field.default)
        record[field.name] = MASK if field.secret and value else value
    return record


def text_of(value: Value) -> str | None:
    return value if isinstance(value, str) else None
