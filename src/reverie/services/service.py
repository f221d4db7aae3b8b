"""The interface of everything that answers requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reverie.events.names import EventPath, Moment
from reverie.model import Context, Request, Response
from reverie.services.openapi import Description, Detail


class Service(Protocol):
    """Answers requests under its name. Built from one version of its stored settings; thrown away when they change.

    Attributes:
        name: as in the path, lower case.
    """

    name: str

    async def handle(self, request: Request, context: Context) -> Response:
        """Answer, or raise a ReverieError. Access to the component was checked before."""
        ...

    def moments(self, request: Request) -> Sequence[Moment]:
        """The events of a request, generic first."""
        ...

    async def event_paths(self) -> Sequence[EventPath]:
        """Everything `moments` may name, for `system/event`."""
        ...

    async def access_list(self) -> Sequence[str]:
        """Components that a role can name: ``["", "*", "_table/", "_table/*", ...]``."""
        ...

    async def describe(self, detail: Detail) -> Description:
        """What it can do, for documents; they leave out what the caller may not.

        Raises:
            ReverieError: what it serves cannot be reached.
        """
        ...

    def flush(self) -> None:
        """Forget answers that were kept."""
        ...

    async def close(self) -> None: ...
