"""The service `system`: which resource answers, and the names of their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from reverie.errors import NotFound
from reverie.events.names import VERBS, EventPath, Moment
from reverie.model import JSON, Context, Request, Response
from reverie.services.openapi import Description, Detail
from reverie.services.system.openapi import describe
from reverie.services.system.records import Records
from reverie.services.system.resource import Missing, Resource, flag, listed, unsupported_verb

_READ_ONLY: Final = frozenset(
    {"constant", "environment", "event", "script_declaration", "script_trace", "script_type", "service_type", "worker"}
)
_VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(_READ_ONLY, ("get",)),
    "failed_job": ("get", "post", "patch", "delete"),
    "job": ("get", "patch", "delete"),
    "queue": ("get", "post", "patch"),
    "script_check": ("post",),
    "script_run": ("post",),
    "script_version": ("get", "patch"),
}
"""Of resources that do not have all."""
_BY_NAME: Final = frozenset(
    {
        "custom", "event_script", "queue", "script_capture", "script_declaration", "script_type", "service_type",
        "worker",
    }
)  # fmt: skip
_POST_BY_ID: Final = frozenset({"event_script", "failed_job", "queue", "script_capture"})
_ACCOUNT_PARTS: Final = ("session", "password", "profile")

LATER: Final[Mapping[str, str]] = {
    "config": "the old system/config; its settings are those of the services",
    "config_package": "packages of settings",
    "cors": "rules for calls from other origins",
    "custom": "values kept for the instance",
    "email_template": "templates of e-mails",
    "import": "the import of files",
    "limit": "limits on how often somebody may call",
    "limit_cache": "limits on how often somebody may call",
    "package": "packages of settings",
    "scheduler": "scheduled calls",
    "setting": "values kept for the instance",
}
"""Resources of the API that are not there yet, and what they would need."""


class Constants:
    """``system/constant``: always empty."""

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, "constant", path)
        return Response(content={"resource": []})


class SystemService:
    """`Service` over resources by name.

    Args:
        resources: what is there; what `LATER` names and this does not answers 501.
    """

    name = "system"

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self.present = dict(sorted({"constant": Constants(), **resources}.items()))
        self.resources: dict[str, Resource] = {
            **{name: Missing(f"system/{name}, {what}") for name, what in LATER.items()},
            **self.present,
        }

    async def handle(self, request: Request, context: Context) -> Response:
        path = segments(request)
        if not path:
            return await self.root(request)
        resource = self.resources.get(path[0])
        if resource is None:
            raise NotFound(f"Resource '{path[0]}' not found for service 'system'.")
        return await resource.handle(request, context, path[1:])

    async def root(self, request: Request) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, self.name)
        if flag(request, "as_access_list"):
            return Response(content={"resource": list(await self.access_list())})
        if request.parameters.get("fields"):
            entries: list[dict[str, JSON]] = [{"name": name, "label": _label(name)} for name in self.present]
        else:
            entries = [{"name": name} for name in self.present]
        return listed(entries, request)

    def moments(self, request: Request) -> Sequence[Moment]:
        path = segments(request)
        verb = request.method.lower()
        if not path or path[0] not in self.resources:
            return [Moment(f"system.{verb}", "/".join(path))]
        name, rest = path[0], path[1:]
        if is_account_part(name, rest):
            return [Moment(f"system.{name}.{rest[0]}.{verb}", "")]
        record = "/".join(rest)
        moments = [Moment(f"system.{name}.{verb}", record)]
        if rest:
            moments.append(Moment(f"system.{name}.{placeholder(name)}.{verb}", record))
        return moments

    async def event_paths(self) -> Sequence[EventPath]:
        paths = [EventPath(name="system", verbs=("get",))]
        for name in self.present:
            verbs = _VERBS.get(name, VERBS)
            paths.append(EventPath(name=f"system.{name}", verbs=verbs))
            if name in ("constant", "environment", "event", "script_check", "script_run", "script_trace"):
                continue
            one = placeholder(name)
            verbs = tuple(verb for verb in verbs if verb != "post" or name in _POST_BY_ID)
            paths.append(EventPath(name=f"system.{name}.{one}", verbs=verbs, parameter={one.strip("{}"): [one]}))
            if name == "admin":
                paths.append(EventPath(name="system.admin.session", verbs=("get", "post", "put", "delete")))
        return paths

    async def access_list(self) -> Sequence[str]:
        components = ["", "*"]
        for name in self.present:
            components += [f"{name}/", f"{name}/*"]
        return components

    async def describe(self, detail: Detail) -> Description:
        fields = {name: one.fields for name, one in self.present.items() if isinstance(one, Records)}
        return describe(self.name, await self.event_paths(), fields, detail)

    def flush(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is held open."""


def segments(request: Request) -> list[str]:
    return [part for part in request.resource.split("/") if part]


def is_account_part(name: str, rest: Sequence[str]) -> bool:
    """Whether this is ``admin/session`` or the like, and no record."""
    return name == "admin" and bool(rest) and rest[0] in _ACCOUNT_PARTS


def placeholder(name: str) -> str:
    """How events name a record of the resource."""
    if name == "cache":
        return "{service}"
    return "{name}" if name in _BY_NAME else "{id}"


def _label(name: str) -> str:
    return name.replace("_", " ").title()
