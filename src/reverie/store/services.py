"""Services as stored, with the secrets in their settings sealed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import structlog
from sqlalchemy import Select, select

from reverie.model import JSON
from reverie.sealing import Sealer, Unsealable, key_id_of_text
from reverie.store.records import ServiceRecord
from reverie.store.store import Record, Store
from reverie.store.tables import service, service_doc

_SEALED: Final = "$sealed"
_ABOUT: Final = "service.config"
log = structlog.get_logger()


def _select() -> Select[Any]:
    return (
        select(service, service_doc.c.content.label("doc"), service_doc.c.format.label("doc_format"))
        .join(service_doc, service_doc.c.service_id == service.c.id, isouter=True)
        .order_by(service.c.name)
    )


async def service_by_name(store: Store, name: str) -> ServiceRecord | None:
    row = await store.fetch_one(_select().where(service.c.name == name.lower()))
    return record_of(store.sealer, row) if row else None


async def service_by_id(store: Store, service_id: int) -> ServiceRecord | None:
    row = await store.fetch_one(_select().where(service.c.id == service_id))
    return record_of(store.sealer, row) if row else None


async def all_services(store: Store) -> list[ServiceRecord]:
    """By name, also those that are not active."""
    return [record_of(store.sealer, row) for row in await store.fetch(_select())]


def record_of(sealer: Sealer, row: Record) -> ServiceRecord:
    return ServiceRecord(
        id=cast("int", row["id"]),
        name=cast("str", row["name"]),
        label=cast("str", row["label"]),
        description=cast("str | None", row["description"]),
        is_active=bool(row["is_active"]),
        type=cast("str", row["type"]),
        config=open_config(sealer, cast("str | None", row["config"])),
        mutable=bool(row["mutable"]),
        deletable=bool(row["deletable"]),
        version=cast("int", row["version"]),
        doc=_doc(row),
    )


def _doc(row: Record) -> Mapping[str, JSON] | None:
    text = row["doc"]
    if not isinstance(text, str) or row["doc_format"] != 0:
        return None
    try:
        doc = json.loads(text)
    except ValueError:
        return None
    return doc if isinstance(doc, dict) else None


def seal_config(sealer: Sealer, config: Mapping[str, JSON], secrets: Collection[str]) -> str:
    """Settings as the column ``service.config`` holds them.

    Args:
        secrets: names of the fields that nobody may read in the file.
    """
    kept: dict[str, JSON] = {}
    for name, value in config.items():
        # A map that merely looks sealed is sealed too, so that it comes back as it was.
        looks_sealed = isinstance(value, dict) and _SEALED in value
        if looks_sealed or (name in secrets and value is not None):
            kept[name] = {_SEALED: sealer.seal_text(json.dumps(value), about=_ABOUT)}
        else:
            kept[name] = value
    return json.dumps(kept, ensure_ascii=False)


def open_config(sealer: Sealer, text: str | None) -> dict[str, JSON]:
    """Settings of a service with their secrets readable; one that cannot be opened is None, and logged."""
    config = json.loads(text) if text else {}
    if not isinstance(config, dict):
        return {}
    opened: dict[str, JSON] = {}
    for name, value in config.items():
        opened[name] = _open(sealer, name, value)
    return opened


def sealed_in(text: str | None) -> list[str]:
    """The sealed values in the column ``service.config``."""
    config = json.loads(text) if text else {}
    values = config.values() if isinstance(config, dict) else ()
    return [value[_SEALED] for value in values if isinstance(value, dict) and isinstance(value.get(_SEALED), str)]


def resealed(sealer: Sealer, text: str | None) -> tuple[str | None, int, int]:
    """The column ``service.config`` under the key in use: how many values changed, and how many cannot be opened."""
    changed = lost = 0
    for sealed in sealed_in(text):
        if text is None or key_id_of_text(sealed) == sealer.key_id:
            continue
        try:
            opened = sealer.open_text(sealed, about=_ABOUT)
        except Unsealable:
            lost += 1
            continue
        # Envelopes are base64, so they stand in JSON as they are, and each is unlike any other.
        text = text.replace(sealed, sealer.seal_text(opened, about=_ABOUT))
        changed += 1
    return text, changed, lost


def _open(sealer: Sealer, name: str, value: JSON) -> JSON:
    if not isinstance(value, dict) or not isinstance(sealed := value.get(_SEALED), str):
        return value
    try:
        return cast("JSON", json.loads(sealer.open_text(sealed, about=_ABOUT)))
    except Unsealable as error:
        log.warning("store.setting_unreadable", setting=name, cause=str(error))
        return None
