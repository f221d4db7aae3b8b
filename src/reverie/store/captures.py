"""Events of scripts that are kept for a while: which scripts are watched, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import delete, desc, insert, select

from reverie.database import Connection, Value
from reverie.store.store import Record, Store
from reverie.store.tables import script_capture, script_watch

HEAD: Final = tuple(column for column in script_capture.c if column.name != "content")
"""All of a capture but what is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A script, or an event, whose events are kept.

    Attributes:
        keep: how many, the newest.
        hours: how long each is kept.
        expires_at: Unix seconds after which nothing more is kept.
    """

    script: str
    name: str
    keep: int
    hours: float
    expires_at: float


def about_capture(key: str) -> str:
    """What the seal of an event kept of a script is bound to; fixtures are bound to the same."""
    return f"capture:{key}"


async def watches(store: Store) -> dict[str, Watch]:
    """By the key of the script; also those that have expired."""
    columns = [script_watch.c[name] for name in ("script", "name", "keep", "hours", "expires_at")]
    return {str(row["script"]): Watch(**cast("dict[str, Any]", row)) for row in await store.fetch(select(*columns))}


async def put_watch(store: Store, watch: Watch, *, user_id: int | None) -> None:
    """Watch a script, or otherwise than so far; what was kept stays."""
    values: dict[str, Value] = {
        "script": watch.script,
        "name": watch.name,
        "keep": watch.keep,
        "hours": watch.hours,
        "expires_at": watch.expires_at,
        "created_date": store.now_text(),
        "created_by_id": user_id,
    }

    async def work(connection: Connection) -> None:
        await store.execute(delete(script_watch).where(script_watch.c.script == watch.script), connection)
        await store.execute(insert(script_watch).values(**values), connection)

    await store.write(work)


async def drop_watch(store: Store, key: str) -> None:
    """Watch it no longer, and forget what was kept."""

    async def work(connection: Connection) -> None:
        await store.execute(delete(script_watch).where(script_watch.c.script == key), connection)
        await store.execute(delete(script_capture).where(script_capture.c.script == key), connection)

    await store.write(work)


async def add_captures(store: Store, found: list[tuple[Mapping[str, Value], int]]) -> None:
    """Keep events, each with how many of its script may be there; the oldest make room.

    Raises:
        StoreUnavailable: none was kept.
    """

    async def work(connection: Connection) -> None:
        for values, _ in found:
            await store.execute(insert(script_capture).values(**values), connection)
        for key, keep in {str(values["script"]): keep for values, keep in found}.items():
            newest = select(script_capture.c.id).where(script_capture.c.script == key)
            kept = newest.order_by(desc(script_capture.c.id)).limit(keep)
            old = (script_capture.c.script == key, script_capture.c.id.not_in(kept.scalar_subquery()))
            await store.execute(delete(script_capture).where(*old), connection)

    await store.write(work, settings=False)


async def captures_of(store: Store, key: str) -> list[Record]:
    """What is known of the events kept for a script, without what is sealed; the newest first."""
    alive = (script_capture.c.script == key, script_capture.c.expires_at > store.clock.now())
    return await store.fetch(select(*HEAD).where(*alive).order_by(desc(script_capture.c.id)))


async def capture_by_id(store: Store, capture_id: int) -> Record | None:
    alive = (script_capture.c.id == capture_id, script_capture.c.expires_at > store.clock.now())
    return await store.fetch_one(select(script_capture).where(*alive))


async def capture_of_job(store: Store, job_id: str) -> Record | None:
    """The first run of a job that was kept."""
    alive = (script_capture.c.job_id == job_id, script_capture.c.expires_at > store.clock.now())
    return await store.fetch_one(select(script_capture).where(*alive).order_by(script_capture.c.id).limit(1))


async def drop_capture(store: Store, capture_id: int) -> None:
    async def work(connection: Connection) -> None:
        await store.execute(delete(script_capture).where(script_capture.c.id == capture_id), connection)

    await store.write(work, settings=False)


async def purge_captures(store: Store) -> None:
    """Forget what has outlived its time."""
    now = store.clock.now()
    old = script_capture.c.expires_at <= now
    over = script_watch.c.expires_at <= now

    async def work(connection: Connection) -> None:
        await store.execute(delete(script_capture).where(old), connection)
        await store.execute(delete(script_watch).where(over), connection)

    watched = await store.scalar(select(script_watch.c.script).where(over).limit(1)) is not None
    if watched or await store.scalar(select(script_capture.c.id).where(old).limit(1)) is not None:
        await store.write(work, settings=watched)
