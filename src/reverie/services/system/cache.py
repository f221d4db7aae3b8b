"""``system/cache``: forget answers that services keep. Jobs are no cache; nothing here touches them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from reverie.errors import NotFound
from reverie.model import Context, Request, Response
from reverie.services.system.resource import listed, unsupported_verb
from reverie.store.memory import Memory

Flush: TypeAlias = Callable[[str | None], Awaitable[None]]
"""Forget what the service of that name keeps; None: what all keep."""

EVENTS: Final = "_event"


class Caches:
    def __init__(self, memory: Memory, flush: Flush) -> None:
        self.memory = memory
        self.flush = flush

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method == "GET" and not path:
            records = [record for record in await self.memory.services() if record.is_active]
            return listed([{"name": one.name, "label": one.label, "type": one.type} for one in records], request)
        if request.method != "DELETE":
            raise unsupported_verb(request, "cache", path)
        # Event scripts are read anew with every change of settings, so for them there is nothing to forget.
        if not path or path[0] != EVENTS:
            await self.flush(await self.named(path[0]) if path else None)
        return Response(content={"success": True})

    async def named(self, name: str) -> str:
        """Raises NotFound."""
        record = await self.memory.service(name.lower())
        if record is None:
            raise NotFound(f"Could not find a service for {name}")
        return record.name
