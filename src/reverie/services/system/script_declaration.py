"""``system/script_declaration``: what scripts see, as a file for editors: ``db.d.ts`` and ``db.pyi``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from reverie.errors import NotFound, NotSupported, Unavailable
from reverie.model import JSON, Context, Request, Response
from reverie.services.api_docs import may
from reverie.services.declarations import Style, place_of, python, typescript
from reverie.services.openapi import Detail
from reverie.services.system.event import FindService
from reverie.services.system.index import reachable
from reverie.services.system.resource import flag, listed, unsupported_verb
from reverie.store.memory import Memory

ENDS: Final = (".d.ts", ".pyi")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptDeclarations:
    """Cut to what the caller may do, as the OpenAPI documents are."""

    memory: Memory
    find_service: FindService

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET" or len(path) > 1:
            raise unsupported_verb(request, "script_declaration", path)
        names = [record.name for record in await reachable(self.memory, context)]
        if not path:
            files: list[dict[str, JSON]] = [{"name": f"{name}{end}"} for name in sorted(names) for end in ENDS]
            return listed(files, request)
        file = path[0].lower()
        end = next((one for one in ENDS if file.endswith(one)), None)
        service = file.removesuffix(end or "")
        if end is None or service not in names:
            raise NotFound(
                f"There is no declaration '{path[0]}': it is the name of a service that the role reaches, with .d.ts or"
                " .pyi behind it. GET system/script_declaration lists them."
            )
        text = await self.text(service, end, request, context)
        return Response(content=text, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})

    async def text(self, service: str, end: str, request: Request, context: Context) -> str:
        detail = Detail(may=may(service, context), names=True, columns=True, refresh=flag(request, "refresh"))
        try:
            described = await (await self.find_service(service)).describe(detail)
        except NotSupported as error:
            raise Unavailable(f"There is no description of the service '{service}': {error.message}") from error
        place = place_of(str(request.parameters.get("event") or ""), service, described)
        # Half a second for a thousand tables: not on the event loop.
        if end == ".pyi":
            return await asyncio.to_thread(python, service, described, place)
        style: Style = "promises" if request.parameters.get("type") == "nodejs" else "direct"
        return await asyncio.to_thread(typescript, service, described, place, style)
