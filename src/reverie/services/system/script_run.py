"""``system/script_run``: a script tried on an event, before it is saved. For administrators."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import BadRequest
from reverie.events.trials import Trials
from reverie.model import Context, Request, Response
from reverie.services.system.resource import administrators_only, unsupported_verb


@dataclass(frozen=True, slots=True)
class ScriptRun:
    trials: Trials

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "POST" or path:
            raise unsupported_verb(request, "script_run", path)
        administrators_only(context, "what scripts do")
        asked = request.payload
        if not isinstance(asked, dict) or not asked:
            raise BadRequest(request.payload_error or "Send an object with the script and what it shall run on.")
        status, content = await self.trials.answer(asked, context.caller, context)
        return Response(status=status, content=content)
