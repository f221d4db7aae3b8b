"""What scripts were at each save, and how their runs ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import Insert, and_, delete, func, insert, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from reverie.database import Connection, Value
from reverie.model import JSON, Script
from reverie.sealing import Sealer
from reverie.store.scripts import decoded
from reverie.store.services import open_config
from reverie.store.store import Record, Store
from reverie.store.tables import event_script, job, job_version, script_count, script_version, service

SERVICE: Final = "service:"
"""Before the id of a script service, in the key of its script."""
_SAME: Final = (
    "type",
    "content",
    "config",
    "is_active",
    "allow_event_modification",
    "storage_service_id",
    "storage_path",
    "scm_repository",
    "scm_reference",
)


@dataclass(slots=True)
class Count:
    """How runs of one version of a script ended; `refusals`: it said no, with a status below 500."""

    runs: int = 0
    failures: int = 0
    refusals: int = 0
    last_failed_at: float | None = None
    last_error: JSON = None


# -- versions


async def next_number(store: Store, connection: Connection, key: str) -> int:
    """The first number that no version of this script has had, also before it was deleted."""
    last = await store.scalar(
        select(func.max(script_version.c.number)).where(script_version.c.script == key), connection
    )
    return last + 1 if isinstance(last, int) else 1


async def keep_event_script(store: Store, connection: Connection, key: str, before: Mapping[str, Value] | None) -> None:
    """Keep the event script as it is now, and as it was where nobody has yet; in the transaction of its save."""
    now = await store.fetch_one(select(event_script).where(event_script.c.lower_name == key), connection)
    for row in (before, now):
        if row is not None:
            values = {name: row[name] for name in _SAME}
            await _keep(store, connection, {**values, "script": key, "name": row["name"], **_stamp(row)})


async def keep_service(
    store: Store, connection: Connection, service_id: int, before: Mapping[str, Value] | None
) -> None:
    """As `keep_event_script`, of a script service."""
    now = await store.fetch_one(select(service).where(service.c.id == service_id), connection)
    for row in (before, now):
        if row is not None:
            values = {name: row[name] for name in ("type", "config", "is_active")}
            names = {"script": f"{SERVICE}{service_id}", "name": "service." + str(row["name"])}
            await _keep(store, connection, {**values, **names, **_stamp(row)})


def _stamp(row: Mapping[str, Value]) -> dict[str, Value]:
    by = row["last_modified_by_id"] if row["last_modified_by_id"] is not None else row["created_by_id"]
    return {"number": row["version"], "created_date": row["last_modified_date"], "created_by_id": by}


async def _keep(store: Store, connection: Connection, values: Mapping[str, Value]) -> None:
    same = and_(script_version.c.script == values["script"], script_version.c.number == values["number"])
    if await store.fetch_one(select(script_version.c.id).where(same), connection) is None:
        await store.execute(insert(script_version).values(**values), connection)


async def script_at(store: Store, key: str, number: int) -> Script | None:
    """A script as it was at that version; None when it is not kept."""
    same = and_(script_version.c.script == key, script_version.c.number == number)
    row = await store.fetch_one(select(script_version).where(same))
    return None if row is None else script_of_version(store.sealer, row)


def script_of_version(sealer: Sealer, row: Record | Mapping[str, Value]) -> Script:
    text, config = text_and_config(sealer, row)
    key = str(row["script"])
    return Script(
        identifier=str(row["name"]),
        language=str(row["type"]),
        content=text,
        config=config,
        version=cast("int", row["number"]),
        may_modify=key.startswith(SERVICE) or bool(row["allow_event_modification"]),
        key=key,
    )


def text_and_config(sealer: Sealer, row: Mapping[str, Value]) -> tuple[str, dict[str, JSON]]:
    """The script's text, and its config as a map."""
    config = cast("str | None", row["config"])
    if not str(row["script"]).startswith(SERVICE):
        return str(row["content"] or ""), decoded(config)
    settings = open_config(sealer, config)
    inner = settings.get("config")
    return str(settings.get("content") or ""), inner if isinstance(inner, dict) else {}


# -- counts


async def add_counts(store: Store, counts: Mapping[tuple[str, int], Count]) -> None:
    """Add to the sums of every process.

    Raises:
        StoreUnavailable: nothing was added.
    """

    async def work(connection: Connection) -> None:
        # In one order, so that two processes on a server's database cannot wait for each other.
        for (key, number), count in sorted(counts.items(), key=lambda one: one[0]):
            await store.execute(_added(store, key, number, count), connection)

    if counts:
        await store.write(work, settings=False)


def _added(store: Store, key: str, number: int, count: Count) -> Insert:
    adding = postgresql_insert if store.database.dialect == "postgresql" else sqlite_insert
    row: dict[str, Any] = {
        "script": key,
        "number": number,
        "runs": count.runs,
        "failures": count.failures,
        "refusals": count.refusals,
        "last_failed_at": count.last_failed_at,
        "last_error": None if count.last_error is None else json.dumps(count.last_error),
    }
    statement = adding(script_count).values(**row)
    sums: dict[str, Any] = {
        name: script_count.c[name] + statement.excluded[name] for name in ("runs", "failures", "refusals")
    }
    if count.last_failed_at is not None:
        sums |= {name: statement.excluded[name] for name in ("last_failed_at", "last_error")}
    return cast(
        "Insert",
        statement.on_conflict_do_update(index_elements=[script_count.c.script, script_count.c.number], set_=sums),
    )


async def counts_of(store: Store, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Count]:
    """The sums of these versions; those without a run are not there."""
    if not places:
        return {}
    asked = [and_(script_count.c.script == key, script_count.c.number == number) for key, number in places]
    found = {}
    for row in await store.fetch(select(script_count).where(or_(*asked))):
        error = row["last_error"]
        found[str(row["script"]), cast("int", row["number"])] = Count(
            runs=cast("int", row["runs"]),
            failures=cast("int", row["failures"]),
            refusals=cast("int", row["refusals"]),
            last_failed_at=cast("float | None", row["last_failed_at"]),
            last_error=json.loads(error) if isinstance(error, str) else None,
        )
    return found


# -- jobs that are tried again as they were


async def choose_versions(store: Store, job_ids: Sequence[str], *, then: bool) -> None:
    """From now on these jobs run the script of when they were queued, or the one of the moment."""

    async def work(connection: Connection) -> None:
        for job_id in sorted(job_ids):
            await store.execute(delete(job_version).where(job_version.c.job_id == job_id), connection)
            if then:
                await store.execute(insert(job_version).values(job_id=job_id), connection)

    await store.write(work, settings=False)


async def runs_as_then(store: Store, job_id: str) -> bool:
    return await store.scalar(select(job_version.c.job_id).where(job_version.c.job_id == job_id)) is not None


async def forget_choices(store: Store) -> None:
    """Drop what was chosen for jobs that are gone."""

    async def work(connection: Connection) -> None:
        await store.execute(delete(job_version).where(job_version.c.job_id.not_in(select(job.c.id))), connection)

    if await store.scalar(select(job_version.c.job_id).limit(1)) is not None:
        await store.write(work, settings=False)
