"""``system/worker``: the worker processes that serve the queues; only read, by administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from reverie.clock import Clock
from reverie.errors import NotFound
from reverie.jobs.ledger import WorkerRecord
from reverie.jobs.queue import Queue
from reverie.model import JSON, Context, JobStatus, Request, Response
from reverie.services.system.fields import moment
from reverie.services.system.resource import administrators_only, listed, picked, unsupported_verb
from reverie.store import tables
from reverie.store.store import Store

ALIVE: Final = 60.0
"""Seconds since a worker was last seen, beyond which it counts as gone."""
_job: Final = tables.job
_RUNNING: Final = (
    select(_job.c.worker, func.count().label("jobs"))
    .where(_job.c.status == JobStatus.RUNNING.value)
    .group_by(_job.c.worker)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResource:
    store: Store
    queue: Queue
    clock: Clock

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "the workers")
        if request.method != "GET":
            raise unsupported_verb(request, "worker", path)
        entries = await self.entries()
        if not path:
            return listed(entries, request)
        name = "/".join(path)
        for entry in entries:
            if entry["name"] == name:
                return Response(content=picked(entry, request))
        raise NotFound(f"There is no worker {name!r}; it has ended, or never was.")

    async def entries(self) -> list[dict[str, JSON]]:
        rows = await self.store.fetch(_RUNNING)
        running = {str(row["worker"]): row["jobs"] for row in rows}
        return [self.entry(one, running) for one in await self.queue.ledger.workers()]

    def entry(self, one: WorkerRecord, running: Mapping[str, object]) -> dict[str, JSON]:
        jobs = running.get(one.name)
        return {
            "name": one.name,
            "host": one.host,
            "process": one.process,
            "connection": one.connection,
            "queues": None if one.queues is None else list(one.queues),
            "running": jobs if isinstance(jobs, int) else 0,
            "started_at": moment(one.started_at),
            "last_seen_at": moment(one.seen_at),
            "alive": is_alive(one, self.queue, self.clock.now()),
        }


def is_alive(one: WorkerRecord, queue: Queue, now: float) -> bool:
    """Seen lately, and not known to have ended."""
    return now - one.seen_at < ALIVE and not queue.transport.gone(one.name)


def serves(one: WorkerRecord, connection: str, queue: str) -> bool:
    return one.connection in (None, connection) and (one.queues is None or queue in one.queues)
