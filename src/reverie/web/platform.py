"""What the web needs of the platform: whoever has these can be put behind a port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from reverie.clock import Clock
from reverie.events.tracing import Trace
from reverie.jobs.metrics import Measures
from reverie.jobs.watching import JobWatch
from reverie.model import JSON, Request, Response
from reverie.sealing import Sealer


class Platform(Protocol):
    """What the web needs of the platform.

    Attributes:
        initialised: there is an administrator.
        watch: tells when jobs move.
        sealer: signs links to jobs.
        trace: tells of runs of scripts.
    """

    @property
    def initialised(self) -> bool: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def watch(self) -> JobWatch: ...
    @property
    def sealer(self) -> Sealer: ...
    @property
    def trace(self) -> Trace: ...

    def has_service(self, name: str) -> bool:
        """Whether a service of that name has answered in this process."""
        ...

    async def may_scrape(self, request: Request, *, peer: str | None) -> None:
        """Return if who asks from the address *peer* may read /metrics; raises Unauthorized or Forbidden."""
        ...

    async def measure(self) -> Measures | None:
        """The queue as it was a moment ago; None when the store cannot be reached."""
        ...

    async def answer(self, request: Request, request_id: str) -> Response:
        """Find out who asks, check, dispatch; raises ReverieError."""
        ...

    async def index(self, request: Request, request_id: str) -> Response:
        """``GET /api/v2``: the services that the caller can reach; answers without credentials too."""
        ...

    async def show_job(self, job_id: str) -> Response:
        """A job for who holds a link to it; raises NotFound."""
        ...

    async def ready(self) -> Mapping[str, JSON]:
        """``ready`` and what it rests on, each with a reason where it is not."""
        ...

    def set_up_open(self, token: str) -> bool:
        """Whether the set-up link with this token is still good."""
        ...

    async def set_up(self, token: str, email: str, password: str, name: str) -> None:
        """Make the first administrator; raises ReverieError with a reason for people."""
        ...
