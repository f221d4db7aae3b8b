"""``system/queue``: how much waits where, how fast it goes, and the switch that pauses a queue; for administrators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from reverie.clock import Clock
from reverie.errors import BadRequest, NotFound, UnknownConnection
from reverie.jobs.ledger import Count
from reverie.jobs.queue import Queue
from reverie.jobs.speed import UNKNOWN, Speed, measure
from reverie.model import JSON, Context, JobStatus, Request, Response
from reverie.services.system.batch import Failed, as_record, finish, mode_of, record_of, records_of, run_all
from reverie.services.system.fields import moment
from reverie.services.system.resource import administrators_only, flag, listed, picked, unsupported_verb
from reverie.services.system.worker import is_alive, serves
from reverie.store import tables
from reverie.store.store import Store

LONGEST_NAME: Final = 128
"""Characters of a queue's name."""
WANTED: Final = 'Send {"paused": true} or {"paused": false}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A queue of a connection; written ``connection:queue``."""

    connection: str
    queue: str

    @property
    def name(self) -> str:
        return f"{self.connection}:{self.queue}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueResource:
    store: Store
    queue: Queue
    clock: Clock

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "the queues")
        name = "/".join(path)
        if request.method == "GET":
            return await (self.one(name, request) if path else self.many(request))
        if request.method in ("PATCH", "POST"):
            return await (self.switch_one(name, request) if path else self.switch_many(request))
        raise unsupported_verb(request, "queue", path)

    # -- looking

    async def many(self, request: Request) -> Response:
        return listed(list((await self.entries()).values()), request)

    async def one(self, name: str, request: Request) -> Response:
        place = self.place(name)
        entry = (await self.entries([place])).get(place)
        assert entry is not None  # noqa: S101 - it was asked for
        return Response(content=picked(entry, request))

    async def entries(self, also: Sequence[Place] = ()) -> dict[Place, dict[str, JSON]]:
        """Every queue that has a job, is paused, or is the one that a connection uses by itself, by name."""
        now, ledger = self.clock.now(), self.queue.ledger
        counts = await ledger.counts()
        speeds = await measure(ledger, now)
        workers = [one for one in await ledger.workers() if is_alive(one, self.queue, now)]
        paused = await self.paused()
        places = {*map(_place, counts), *paused, *self.standing(), *also}
        entries: dict[Place, dict[str, JSON]] = {}
        for place in sorted(places, key=lambda one: one.name):
            here = [one for one in counts if _place(one) == place]
            waiting = sum(one.jobs for one in here if one.status is JobStatus.WAITING)
            entries[place] = {
                "name": place.name,
                "connection": place.connection,
                "queue": place.queue,
                "paused": place in paused,
                "paused_at": moment(paused.get(place)),
                **_depth(here, now),
                **_speed(waiting, speeds.get((place.connection, place.queue), UNKNOWN)),
                "workers": sum(serves(one, place.connection, place.queue) for one in workers),
            }
        return entries

    def standing(self) -> list[Place]:
        found = [self.queue.connections.find(name) for name in self.queue.connections.names()]
        return [Place(connection=one.name, queue=one.queue) for one in found if one.driver not in ("sync", "null")]

    async def paused(self) -> dict[Place, float]:
        """When each of the queues that are paused was paused."""
        rows = await self.store.fetch(select(tables.queue_pause))
        return {
            Place(connection=str(row["connection"]), queue=str(row["queue"])): float(str(row["paused_at"]))
            for row in rows
        }

    def place(self, name: str) -> Place:
        """
        Raises:
            BadRequest, NotFound: not ``connection:queue``, or of a connection that there is not.
        """
        connection, colon, queue = name.partition(":")
        if not colon or not queue or len(queue) > LONGEST_NAME:
            raise BadRequest(f"A queue is named as 'connection:queue', such as 'database:default', not {name!r}.")
        try:
            self.queue.connections.find(connection)
        except UnknownConnection as error:
            known = ", ".join(self.queue.connections.names())
            raise NotFound(f"There is no queue connection {connection!r}; there are {known}.") from error
        return Place(connection=connection, queue=queue)

    # -- switching

    async def switch_one(self, name: str, request: Request) -> Response:
        return Response(content=await self.switch(name, record_of(request)))

    async def switch_many(self, request: Request) -> Response:
        if flag(request, "rollback"):
            raise BadRequest("A queue that was paused cannot be rolled back; leave out 'rollback'.")

        async def step(item: JSON) -> JSON:
            record = as_record(item)
            return await self.switch(str(record.get("name") or ""), record)

        results: list[JSON | Failed] = await run_all(records_of(request), step, mode_of(request))
        return Response(content={"resource": finish(results, "updated")})

    async def switch(self, name: str, sent: Mapping[str, JSON]) -> JSON:
        place, paused = self.place(name), sent.get("paused")
        if not isinstance(paused, bool):
            raise BadRequest(WANTED)
        if paused:
            await self.queue.pause(place.connection, place.queue)
        else:
            await self.queue.resume(place.connection, place.queue)
        return {"name": place.name, "paused": paused}


def _place(one: Count) -> Place:
    return Place(connection=one.connection, queue=one.queue)


def _depth(counts: Sequence[Count], now: float) -> dict[str, JSON]:
    """Jobs by status, and since when the one that is due first is due."""
    jobs: dict[str, JSON] = {str(status): 0 for status in JobStatus}
    for one in counts:
        jobs[str(one.status)] = one.jobs
    oldest = min((one.oldest_due for one in counts if one.status is JobStatus.WAITING), default=None)
    return {
        **jobs,
        "oldest_due_at": moment(oldest),
        "oldest_waits": None if oldest is None else round(max(now - oldest, 0.0), 3),
    }


def _speed(waiting: int, speed: Speed) -> dict[str, JSON]:
    """Runs that ended their job, each second; mean seconds of waiting and running; what a new job may expect."""
    lately = speed.present
    return {
        "ended_per_second": round(lately.per_second, 3),
        "failed_per_second": round(lately.failed_per_second, 3),
        "mean_wait": _rounded(lately.waited),
        "mean_run": _rounded(lately.ran),
        "measured_over": round(lately.seconds, 3),
        "expected_wait": round(speed.until_through(waiting), 3),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
