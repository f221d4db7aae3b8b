"""``service_doc_by_service_id``: a service's description (OpenAPI), as a relation of the service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, select

from reverie.database import Connection, Value
from reverie.errors import BadRequest, NotSupported
from reverie.model import JSON
from reverie.services.system.relations import Author, Row
from reverie.store import tables
from reverie.store.store import Store

JSON_FORMAT: Final = 0
YAML_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDoc:
    """At most one for each service; null removes it."""

    name: str = "service_doc_by_service_id"

    async def read(self, store: Store, rows: Sequence[Row], connection: Connection | None) -> list[JSON]:
        table = tables.service_doc
        query = select(table).where(table.c.service_id.in_([row["id"] for row in rows]))
        found: dict[Value, JSON] = {}
        for row in await store.fetch(query, connection) if rows else []:
            service_id, format_, content = row["service_id"], row["format"], row["content"]
            if isinstance(service_id, int) and isinstance(format_, int):
                text = content if isinstance(content, str) else None
                found[service_id] = {"service_id": service_id, "format": format_, "content": text}
        return [found.get(row["id"]) for row in rows]

    async def write(self, store: Store, connection: Connection, owner: Value, sent: JSON, author: Author) -> None:
        table = tables.service_doc
        new = None if sent is None else _checked(self.name, sent)
        await store.execute(delete(table).where(table.c.service_id == owner), connection)
        if new is not None:
            made = {"service_id": owner, "format": JSON_FORMAT, "content": new, **author.created()}
            await store.execute(insert(table).values(**made), connection)


def _checked(name: str, sent: JSON) -> str:
    """The text of a document. Raises BadRequest, or NotSupported for a format that is not read yet."""
    if not isinstance(sent, dict):
        raise BadRequest(f"'{name}' must be an object with 'format' and 'content'.")
    format_ = sent.get("format", JSON_FORMAT)
    if format_ in (YAML_FORMAT, str(YAML_FORMAT)):
        raise NotSupported("Not there yet: service documents in YAML (format 1); send JSON (format 0).")
    if format_ not in (JSON_FORMAT, str(JSON_FORMAT)) or isinstance(format_, bool):
        raise BadRequest(f"Invalid API Doc Format '{format_}'.")
    content = sent.get("content")
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    if not isinstance(content, str):
        raise BadRequest(f"'{name}' must have its text in 'content'.")
    try:
        described = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        raise BadRequest(f"The 'content' of '{name}' is no JSON.") from None
    if not isinstance(described, dict):
        raise BadRequest(f"The 'content' of '{name}' must describe an object.")
    return content
