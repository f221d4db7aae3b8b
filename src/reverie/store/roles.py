"""Roles with their access rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from sqlalchemy import select

from reverie.model import JSON, Access, Role
from reverie.store.store import Record, Store
from reverie.store.tables import role, role_service_access, service


async def role_by_id(store: Store, role_id: int) -> Role | None:
    row = await store.fetch_one(select(role.c.id, role.c.name, role.c.is_active).where(role.c.id == role_id))
    if row is None:
        return None
    rows = await store.fetch(
        select(role_service_access, service.c.name.label("service"))
        .join(service, service.c.id == role_service_access.c.service_id, isouter=True)
        .where(role_service_access.c.role_id == role_id)
        .order_by(role_service_access.c.id)
    )
    return Role(
        id=role_id,
        name=cast("str", row["name"]),
        is_active=bool(row["is_active"]),
        access=tuple(_access(each) for each in rows),
    )


def _access(row: Record) -> Access:
    name = cast("str | None", row["service"])
    return Access(
        id=cast("int", row["id"]),
        role_id=cast("int", row["role_id"]),
        service_id=cast("int | None", row["service_id"]),
        service=name.lower() if name else None,
        component=cast("str", row["component"] or "").strip("/"),
        verb_mask=cast("int", row["verb_mask"]),
        requestor_mask=cast("int", row["requestor_mask"]),
        filters=_filters(row["filters"]),
        filter_op=cast("str", row["filter_op"]) or "AND",
    )


def _filters(text: object) -> tuple[Mapping[str, JSON], ...]:
    if not isinstance(text, str) or not text:
        return ()
    filters = json.loads(text)
    return tuple(each for each in filters if isinstance(each, dict)) if isinstance(filters, list) else ()
