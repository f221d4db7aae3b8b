"""What is sealed under which key, and how it comes under the one in use.

Sealed are secrets in the settings of services, private lookups, captured events and fixtures of scripts, and what jobs
hold and answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, cast

from sqlalchemy import ColumnElement, Table, func, literal_column, select, update

from reverie.database import Connection
from reverie.sealing import Unsealable, key_id_of, key_id_of_text
from reverie.store import lookups, services
from reverie.store.captures import about_capture
from reverie.store.key_mark import renew_mark
from reverie.store.store import Store
from reverie.store.tables import job, job_payload, job_result, lookup, script_capture, script_fixture, service

LIVE: Final = ("waiting", "running")
EVENTS: Final = (script_capture, script_fixture)


@dataclass(slots=True)
class Uses:
    """How many things need each key, by its id."""

    settings: Counter[str] = field(default_factory=Counter)
    lookups: Counter[str] = field(default_factory=Counter)
    live_jobs: Counter[str] = field(default_factory=Counter)
    ended_jobs: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def key_ids(self) -> set[str]:
        return {*self.settings, *self.lookups, *self.live_jobs, *self.ended_jobs, *self.results, *self.events}


async def uses_of_keys(store: Store) -> Uses:
    """Reads the beginning of everything that is sealed: not for a busy path.

    Raises:
        StoreUnavailable
    """
    uses = Uses()
    for row in await store.fetch(select(service.c.config)):
        uses.settings.update(key_id_of_text(text) for text in services.sealed_in(cast("str | None", row["config"])))
    private = select(lookup.c.value).where(lookup.c.private, lookup.c.value.is_not(None), lookup.c.value != "")
    uses.lookups.update(key_id_of_text(str(row["value"])) for row in await store.fetch(private))
    head = _key_id(job_payload.c.payload)
    of_jobs = (
        select(job.c.status, head, func.count().label("jobs"))
        .join(job_payload, job_payload.c.job_id == job.c.id)
        .group_by(job.c.status, head)
    )
    for row in await store.fetch(of_jobs):
        kind = uses.live_jobs if row["status"] in LIVE else uses.ended_jobs
        kind[_hex(row["key_id"])] += cast("int", row["jobs"])
    head = _key_id(job_result.c.result)
    for row in await store.fetch(select(head, func.count().label("jobs")).group_by(head)):
        uses.results[_hex(row["key_id"])] += cast("int", row["jobs"])
    for table in EVENTS:
        head = _key_id(table.c.content)
        for row in await store.fetch(select(head, func.count().label("events")).group_by(head)):
            uses.events[_hex(row["key_id"])] += cast("int", row["events"])
    return uses


def _key_id(column: ColumnElement[bytes]) -> ColumnElement[bytes]:
    """The key's id in an envelope (`sealing`): four bytes after the first."""
    # Written out: PostgreSQL takes two bound numbers for two expressions, and groups by neither.
    place: ColumnElement[int] = literal_column("2")
    length: ColumnElement[int] = literal_column("4")
    return cast("ColumnElement[bytes]", func.substr(column, place, length).label("key_id"))


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ""


async def reseal(store: Store) -> tuple[int, int]:
    """Bring all but jobs under the key in use; how many, and how many cannot be opened.

    Jobs stay as they are: they are read with the key that sealed them, and go by themselves. The key in use here is
    from then on the one that every host must know.
    """

    async def work(connection: Connection) -> tuple[int, int]:
        done = lost = 0
        for row in await store.fetch(select(service.c.id, service.c.config), connection):
            text, changed, unread = services.resealed(store.sealer, cast("str | None", row["config"]))
            if changed:
                await store.execute(update(service).where(service.c.id == row["id"]).values(config=text), connection)
            done, lost = done + changed, lost + unread
        private = select(lookup.c.id, lookup.c.value).where(lookup.c.private, lookup.c.value.is_not(None))
        for row in await store.fetch(private, connection):
            sealed = str(row["value"])
            if not sealed or key_id_of_text(sealed) == store.sealer.key_id:
                continue
            try:
                value = lookups.seal_value(store.sealer, lookups.open_value(store.sealer, sealed))
            except Unsealable:
                lost += 1
                continue
            await store.execute(update(lookup).where(lookup.c.id == row["id"]).values(value=value), connection)
            done += 1
        for table in EVENTS:
            changed, unread = await _reseal_events(store, connection, table)
            done, lost = done + changed, lost + unread
        return done, lost

    counts = await store.write(work)
    await renew_mark(store)
    return counts


async def _reseal_events(store: Store, connection: Connection, table: Table) -> tuple[int, int]:
    done = lost = 0
    for row in await store.fetch(select(table.c.id, table.c.script, table.c.content), connection):
        sealed, about = cast("bytes", row["content"]), about_capture(str(row["script"]))
        if key_id_of(sealed) == store.sealer.key_id:
            continue
        try:
            content = store.sealer.seal(store.sealer.open(sealed, about=about), about=about)
        except Unsealable:
            lost += 1
            continue
        await store.execute(update(table).where(table.c.id == row["id"]).values(content=content), connection)
        done += 1
    return done, lost
