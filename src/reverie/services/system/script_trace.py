"""``system/script_trace``: runs of scripts, for administrators; `web/script_trace.py` makes a stream of it."""

from __future__ import annotations

from typing import Final

from reverie.model import Context, Request, Response
from reverie.services.system.resource import administrators_only, unsupported_verb

HOW: Final = (
    "Send Accept: text/event-stream to hear of every run as it ends: of the API's processes and workers that share"
    " this machine's data folder. Nothing is kept for later."
)


class ScriptTrace:
    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "what scripts do")
        if request.method != "GET" or path:
            raise unsupported_verb(request, "script_trace", path)
        return Response(content={"resource": [], "message": HOW})
