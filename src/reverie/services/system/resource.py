"""The interface of everything below ``/api/v2/system``, and what several of them say the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reverie.errors import BadRequest, Forbidden, NotSupported
from reverie.model import JSON, Context, Request, Response, is_true


class Resource(Protocol):
    """Answers ``system/<name>``; *path* holds what follows the name, without empty segments."""

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        """Answer, or raise a ReverieError. Access was checked before."""
        ...


class Missing:
    """A resource that the API has and this version does not: every call says what lacks."""

    def __init__(self, what: str) -> None:
        self.what = what

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        raise NotSupported(f"Not there yet: {self.what}.")


def flag(request: Request, name: str) -> bool:
    """A boolean parameter; anything that does not say yes is no."""
    return is_true(request.parameters.get(name))


def words(value: JSON) -> list[str]:
    """A comma list or an array as texts, without blanks around them and without empty ones."""
    if isinstance(value, list):
        return [str(item).strip() for item in value if isinstance(item, int | str) and str(item).strip()]
    return [part.strip() for part in str(value).split(",") if part.strip()] if isinstance(value, int | str) else []


def unsupported_verb(request: Request, name: str, path: Sequence[str] = ()) -> BadRequest:
    """The error for a verb that *name* does not have."""
    where = f"with the resource '{'/'.join(path)}'" if path else "without a resource"
    return BadRequest(f"{request.method} requests {where} are not currently supported by the '{name}' service.")


def administrators_only(context: Context, what: str) -> None:
    """Raise Forbidden for everybody else, whatever his role says."""
    if not context.caller.is_admin:
        raise Forbidden(f"Access Forbidden. Only administrators can see {what}.")


def listed(entries: Sequence[dict[str, JSON]], request: Request) -> Response:
    """A short list of things that have a name, cut as ``fields`` and ``as_list`` ask."""
    if flag(request, "as_list"):
        return Response(content={"resource": [entry["name"] for entry in entries]})
    return Response(content={"resource": [picked(entry, request) for entry in entries]})


def picked(entry: dict[str, JSON], request: Request) -> dict[str, JSON]:
    """The parts of *entry* that ``fields`` names; all without it."""
    names = words(request.parameters.get("fields"))
    return entry if not names or "*" in names else {name: entry[name] for name in names if name in entry}
