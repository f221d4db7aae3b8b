"""``system/script_type``: the languages that this host can run; only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reverie.errors import NotFound
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.resource import listed, picked, unsupported_verb


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptType:
    """A language, as clients choose it."""

    name: str
    label: str
    description: str
    sandboxed: bool


class ScriptTypes:
    def __init__(self, types: Sequence[ScriptType]) -> None:
        self.entries = {one.name: entry(one) for one in sorted(types, key=lambda one: one.name)}

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, "script_type", path)
        if not path:
            return listed(list(self.entries.values()), request)
        found = self.entries.get(path[0])
        if found is None:
            raise NotFound(f"Script engine type '{path[0]}' not found.")
        return Response(content=picked(found, request))


def entry(one: ScriptType) -> dict[str, JSON]:
    return {
        "name": one.name,
        "label": one.label,
        "description": one.description,
        "sandboxed": one.sandboxed,
        "supports_inline_execution": False,
    }
