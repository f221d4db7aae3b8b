"""``system/event``: the names of all events that services can fire, as far as the caller can reach them; only read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog

from reverie.errors import NotFound, ReverieError
from reverie.events.names import EventPath
from reverie.model import JSON, Context, Request, Response
from reverie.services.service import Service
from reverie.services.system.index import reachable
from reverie.services.system.resource import flag, unsupported_verb
from reverie.store.memory import Memory

FindService: TypeAlias = Callable[[str], Awaitable[Service]]

log = structlog.get_logger()


class Events:
    """Args:
    find_service: the service of that name, built; raises a ReverieError when it cannot be.
    """

    def __init__(self, memory: Memory, find_service: FindService) -> None:
        self.memory = memory
        self.find_service = find_service

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, "event", path)
        if path:
            raise NotFound(f"Resource '{path[0]}' not found for service 'event'.")
        names = [record.name for record in await reachable(self.memory, context)]
        wanted = request.parameters.get("service")
        if isinstance(wanted, str) and wanted:
            names = [name for name in names if name == wanted.lower()]
        if flag(request, "services_only"):
            ordered: list[JSON] = [*sorted(names)]
            return Response(content={"resource": ordered})
        found = {name: await self.paths(name) for name in names}
        scriptable = flag(request, "scriptable")
        if flag(request, "as_list"):
            return Response(content={"resource": endpoints(list(found.values()), scriptable=scriptable)})
        return Response(content={name: event_map(paths, scriptable=scriptable) for name, paths in found.items()})

    async def paths(self, name: str) -> Sequence[EventPath]:
        """A service's events; none of one that cannot be built or asked, so that it does not hide the others."""
        try:
            return await (await self.find_service(name)).event_paths()
        except ReverieError as error:
            log.warning("service.events_unknown", service=name, cause=error.message)
            return ()


def endpoints(found: Sequence[Sequence[EventPath]], *, scriptable: bool) -> list[JSON]:
    """Every name once."""
    names = (name for paths in found for path in paths for name in path.endpoints(scriptable=scriptable))
    return list(dict.fromkeys(names))


def event_map(paths: Sequence[EventPath], *, scriptable: bool) -> dict[str, JSON]:
    return {path.name: path.entry(scriptable=scriptable) for path in paths}
