"""``system/script_check``: what is wrong with a script's text before anybody saves it; for administrators."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from reverie.errors import BadRequest
from reverie.model import JSON, Context, Request, Response
from reverie.scripting.checking import check
from reverie.scripting.engine import Engine
from reverie.services.system.resource import administrators_only, unsupported_verb
from reverie.services.system.scripting import refuse_disabled

WANTED: Final = 'Send {"type": "v8js", "content": "the text of the script"}; the types are '


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCheck:
    """Args:
    disabled: languages that are switched off, or ``all``; checking then answers 503.
    """

    engines: Mapping[str, Engine]
    disabled: Collection[str] = ()

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "what is wrong with a script")
        if request.method != "POST" or path:
            raise unsupported_verb(request, "script_check", path)
        sent = request.payload if isinstance(request.payload, dict) else {}
        language, text = sent.get("type"), sent.get("content")
        engine = self.engines.get(language) if isinstance(language, str) else None
        if not isinstance(text, str) or not isinstance(language, str):
            raise BadRequest(f"{WANTED}{', '.join(self.engines)}.")
        refuse_disabled(self.disabled, language)
        if engine is None:
            known = ", ".join(self.engines)
            raise BadRequest(f"There is no script type {language!r} on this machine; there are {known}.")
        began = time.perf_counter()
        found = await check(engine, language, text)
        diagnostics: list[JSON] = [asdict(one) for one in found]
        passed = all(one.severity != "error" for one in found)
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        return Response(content={"ok": passed, "diagnostics": diagnostics, "milliseconds": milliseconds})
