"""A queue on a store, and the resources of `system` about it, asked without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reverie.errors import NotFound, ReverieError
from reverie.jobs.connections import STANDARD, Connections, ConnectionSettings
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.payload import Packed, about_of, pack, unpack
from reverie.jobs.queue import Draft, Queue
from reverie.jobs.settle import finished
from reverie.jobs.transports.database import DatabaseTransport
from reverie.model import JSON, Caller, Context, Job, Request, Response
from reverie.sealing import Sealer
from reverie.services.system.build import queue_resources
from reverie.services.system.system import SystemService
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate
from reverie.store.store import Store
from tests.unit.jobs.scene import MovingClock

ADMIN = Caller(user={"id": 1}, is_admin=True)
REDIS = ConnectionSettings(name="other", driver="database", queue="its_own")


def user(number: int, app_id: int | None = None) -> Caller:
    return Caller(user={"id": number}, app_id=app_id)


@dataclass
class Stage:
    store: Store
    queue: Queue
    clock: MovingClock
    system: SystemService

    async def ask(
        self,
        method: str,
        path: str,
        body: JSON = None,
        *,
        caller: Caller = ADMIN,
        query: Mapping[str, JSON] | None = None,
        **parameters: JSON,
    ) -> Response:
        """One call as the dispatcher makes it after the gate; an error comes back as its answer."""
        request = Request(
            method=method,
            service="system",
            resource=path,
            parameters={**parameters, **(query or {})},
            payload={} if body is None else body,
        )
        try:
            return await self.system.handle(request, Context(caller=caller, call=_no_nested_calls))
        except ReverieError as error:
            return error.response()

    async def push(self, **fields: object) -> Job:
        """A job, queued a moment after the one before."""
        self.clock.move(1)
        kind, script = "script.service", "service:7"
        packed = Packed(event={"request": {"payload": {"qty": 3}}}, caller=Caller())
        payload = pack(packed, self.store.sealer, about=about_of(kind, script))
        draft = replace(Draft(kind=kind, script=script, name="service:echo", payload=payload), **fields)  # type: ignore[arg-type]  # what a test says
        job = await self.queue.push(draft)
        assert job is not None
        return job

    async def take(self) -> Job:
        [job] = await self.queue.claim(worker="w1", limit=1)
        await self.queue.start(job)
        return job

    async def failed(self, **fields: object) -> Job:
        """A job that failed for good."""
        job = await self.push(**fields)
        held = await self.take()
        assert held.id == job.id
        error: JSON = {"type": "Error", "message": "out of stock", "line": 2, "excerpt": "  throw 'x'", "output": ""}
        await self.queue.fail(held, error)
        return job

    async def done(self, result: bytes | None = None, *, seconds: float = 0.0) -> Job:
        job = await self.push()
        held = await self.take()
        assert held.id == job.id
        self.clock.move(seconds)
        await self.queue.settle(finished(held, result=result))
        return job

    async def status(self, job: Job) -> str:
        return str((await self.queue.ledger.get(job.id)).status)


async def _no_nested_calls(request: Request) -> Response:
    raise NotFound(f"nothing answers {request.service} here")


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    file = folder / "store.db"
    migrate(file)
    clock = MovingClock()
    database = SqliteDatabase(file, synchronous="NORMAL")
    sealer = Sealer("s" * 32)
    store = Store(database, sealer, clock)
    transport = DatabaseTransport(database, folder / "wake")
    queue = Queue(SqliteLedger(database, clock), transport, Connections([*STANDARD, REDIS]), clock)
    resources = queue_resources(
        store, queue, lambda job: unpack(job.payload, sealer, about=about_of(job.kind, job.script)), clock
    )
    try:
        yield Stage(store, queue, clock, SystemService(resources))
    finally:
        await queue.close()
        await database.close()
