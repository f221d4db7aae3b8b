"""Everything, built and wired: what `web`, the command line and a start talk to. ``app.py`` builds it."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reverie.auth.gate import Auth
from reverie.clock import Clock
from reverie.config import Settings
from reverie.database import DatabaseError
from reverie.dispatcher import Dispatcher
from reverie.errors import BadRequest, Conflict, Forbidden, StoreUnavailable, Unauthorized
from reverie.events.queued import Queued
from reverie.events.runs import ScriptRuns
from reverie.events.tracing import Trace
from reverie.events.trials import Trials
from reverie.jobs.measuring import Gauge
from reverie.jobs.metrics import Measures
from reverie.jobs.queue import Queue
from reverie.jobs.waits import Waits
from reverie.jobs.watching import JobWatch
from reverie.model import ANONYMOUS, JSON, Caller, Request, Requestor, Response
from reverie.sealing import Sealer
from reverie.services.registry import Registry
from reverie.services.system.index import index
from reverie.services.system.service_type import ServiceType
from reverie.sqlite import engine_is_safe, engine_version
from reverie.store.facts import get_fact, put_fact
from reverie.store.memory import Memory
from reverie.store.migrate import trouble_with_open
from reverie.store.store import Store
from reverie.store.users import count_administrators, create_first_administrator

WHO_MAY_SCRAPE: Final = (
    "The metrics are for administrators, for roles with access to system/metrics, and for who sends the token of"
    " REVERIE_METRICS_TOKEN as Authorization: Bearer. REVERIE_METRICS=open opens them to programs of this machine."
)
SHORTEST_PASSWORD: Final = 16
"""Characters of an administrator's password."""
SET_UP: Final = "set_up_token"
"""The fact that holds the token of the set-up link."""


@dataclass(kw_only=True)
class Platform:
    """The parts, and what concerns the whole: readiness and the first administrator."""

    settings: Settings
    clock: Clock
    store: Store
    memory: Memory
    auth: Auth
    runs: ScriptRuns
    queue: Queue
    queued: Queued
    watch: JobWatch
    trace: Trace
    waits: Waits
    registry: Registry
    dispatcher: Dispatcher
    types: Mapping[str, ServiceType]
    trials: Trials
    gauge: Gauge
    initialised: bool = False
    _token: str | None = field(default=None, repr=False)

    async def answer(self, request: Request, request_id: str) -> Response:
        return await self.dispatcher.answer(request, request_id)

    async def index(self, request: Request, request_id: str) -> Response:
        try:
            caller = await self.auth.identify(request)
        except Unauthorized:
            caller = ANONYMOUS
        context = self.dispatcher.context(caller, request_id=request_id)
        return await index(request, context, memory=self.memory, types=self.types)

    async def show_job(self, job_id: str) -> Response:
        """A job as an administrator sees it, for who holds a link to it; no script hangs on this look.

        Raises:
            NotFound, QueueUnavailable
        """
        service = await self.registry.find("system")
        request = Request(method="GET", service="system", resource=f"job/{job_id}")
        return await service.handle(request, self.dispatcher.context(Caller(is_admin=True)))

    def stop_telling(self) -> None:
        """Let everybody go who waits for a job or listens to runs."""
        self.watch.stop()
        self.trace.stop()

    @property
    def sealer(self) -> Sealer:
        return self.store.sealer

    async def ready(self) -> Mapping[str, JSON]:
        """`ready` and what it rests on; without the engine that is safe for WAL files it is ready all the same."""
        problem = await self._trouble_with_store()
        engine = ".".join(map(str, engine_version()))
        facts: dict[str, JSON] = {
            "store": self.store.database.dialect,
            "migrations": problem or "current",
            "administrator": "present" if self.initialised else "missing: open the set-up link that the start printed",
            "sqlite": engine if engine_is_safe() else f"{engine}, which may corrupt a file under many writers",
        }
        return {"ready": problem is None and (self.initialised or self._token is not None), **facts}

    async def _trouble_with_store(self) -> str | None:
        try:
            return await trouble_with_open(self.store)
        except (StoreUnavailable, DatabaseError):
            return "unknown: the platform's database cannot be reached"

    # -- metrics

    def has_service(self, name: str) -> bool:
        """Whether a service of that name has answered in this process."""
        return self.registry.has(name)

    async def may_scrape(self, request: Request, *, peer: str | None) -> None:
        """Return if who asks may read /metrics: by its token, from this machine where it is open, or under a role.

        Args:
            request: as if for ``system/metrics``.
            peer: the client's address; None when it is not known for certain.

        Raises:
            Unauthorized, Forbidden
        """
        settings = self.settings
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if settings.metrics_token and secrets.compare_digest(given.encode(), settings.metrics_token.encode()):
            return
        if settings.metrics == "open" and peer is not None and is_loopback(peer):
            return
        try:
            self.auth.check(await self.auth.identify(request), request, Requestor.API)
        except BadRequest as error:
            raise Unauthorized(WHO_MAY_SCRAPE, headers={"WWW-Authenticate": "Bearer"}) from error

    async def measure(self) -> Measures | None:
        return await self.gauge.measure()

    # -- first run

    async def look_for_administrator(self) -> None:
        """Know whether there is one, and the set-up link if there is none."""
        self.initialised = await count_administrators(self.store) > 0
        self._token = None if self.initialised else await get_fact(self.store, SET_UP)

    def set_up_open(self, token: str) -> bool:
        return self._token is not None and secrets.compare_digest(token.encode(), self._token.encode())

    async def set_up(self, token: str, email: str, password: str, name: str) -> None:
        if not self.set_up_open(token):
            raise Forbidden("This link was used already, or is not the one that the start printed.")
        await self.create_administrator(email, password, name)
        await put_fact(self.store, SET_UP, None)
        await self.look_for_administrator()

    async def create_administrator(self, email: str, password: str, name: str) -> None:
        """The first one.

        Raises:
            BadRequest: the password is too short. Conflict: there is one already.
        """
        if len(password) < SHORTEST_PASSWORD:
            raise BadRequest(f"The password must have {SHORTEST_PASSWORD} characters or more.")
        hashed = await self.auth.passwords.hash(password)
        made = await create_first_administrator(self.store, email=email, password=hashed, name=name or email)
        if made is None:
            raise Conflict("There is an administrator already.")


def is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
