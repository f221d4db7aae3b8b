"""What is kept beside the databases of SQL services: labels, aliases, validation, virtual relations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from sqlalchemy import ColumnElement, and_, delete, insert, select

from reverie.database import Connection
from reverie.store.records import ExtraKind, ExtraRecord
from reverie.store.store import Record, Store
from reverie.store.tables import sql_extra


async def extras_of(store: Store, service_id: int) -> list[ExtraRecord]:
    """All that is kept about a service's tables, by table."""
    rows = await store.fetch(
        select(sql_extra)
        .where(sql_extra.c.service_id == service_id)
        .order_by(sql_extra.c.table_name, sql_extra.c.kind, sql_extra.c.name)
    )
    return [_record_of(row) for row in rows]


async def save_extras(store: Store, service_id: int, changes: Sequence[ExtraRecord]) -> None:
    """Lay properties over those that are kept, all or none; a null forgets the property, the last one the record.

    Raises:
        Refusal: the service is gone.
        StoreUnavailable: nothing was done.
    """

    async def work(connection: Connection) -> None:
        for change in changes:
            where = and_(
                sql_extra.c.service_id == service_id,
                sql_extra.c.table_name == change.table,
                sql_extra.c.kind == change.kind,
                sql_extra.c.name == change.name,
            )
            rows = await store.fetch(select(sql_extra).where(where), connection)
            kept = dict(_record_of(rows[0]).properties) if rows else {}
            merged = {name: value for name, value in {**kept, **change.properties}.items() if value is not None}
            await store.execute(delete(sql_extra).where(where), connection)
            if merged:
                values = {"service_id": service_id, "table_name": change.table, "kind": change.kind}
                text = json.dumps(merged, ensure_ascii=False)
                await store.execute(insert(sql_extra).values(**values, name=change.name, properties=text), connection)

    if changes:
        await store.write(work)


async def drop_extras(
    store: Store, service_id: int, table: str, kind: ExtraKind | None = None, names: Sequence[str] = ()
) -> None:
    """Forget what is kept about fields or relations of a table, or with no *kind* all about the table."""
    where: list[ColumnElement[bool]] = [sql_extra.c.service_id == service_id, sql_extra.c.table_name == table]
    if kind is not None:
        where += [sql_extra.c.kind == kind, sql_extra.c.name.in_(names)]

    async def work(connection: Connection) -> None:
        await store.execute(delete(sql_extra).where(and_(*where)), connection)

    await store.write(work)


def _record_of(row: Record) -> ExtraRecord:
    properties = json.loads(cast("str", row["properties"]))
    return ExtraRecord(
        table=cast("str", row["table_name"]),
        kind=cast("ExtraKind", row["kind"]),
        name=cast("str", row["name"]),
        properties=properties if isinstance(properties, dict) else {},
    )
