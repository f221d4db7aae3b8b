"""The service `api_docs`: OpenAPI documents of all services, cut to what the caller's role allows. Anybody may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import structlog

from reverie.auth.access import visible_services
from reverie.auth.reach import could
from reverie.errors import Forbidden, NotFound, NotSupported, ReverieError, Unavailable
from reverie.events.names import EventPath, Moment
from reverie.model import JSON, Context, Request, Response
from reverie.services.openapi import About, Description, Detail, Operation, document, document_of, paths_of
from reverie.services.openapi_merging import merged
from reverie.services.openapi_parts import an_object
from reverie.services.service import Service
from reverie.services.system.index import reachable
from reverie.services.system.resource import flag, unsupported_verb
from reverie.services.system.service_type import ServiceType
from reverie.store.memory import Memory
from reverie.store.records import ServiceRecord

FindService: TypeAlias = Callable[[str], Awaitable[Service]]

_ALL: Final = "Everything that the caller's role allows, of all services of this instance."

log = structlog.get_logger()


class ApiDocs:
    """Args:
    find_service: the service of that name, built; raises a ReverieError when it cannot be.
    types: the kinds of services by name; a document tells the group of its service's.
    """

    def __init__(
        self, name: str, *, memory: Memory, find_service: FindService, types: Mapping[str, ServiceType]
    ) -> None:
        self.name = name
        self._memory = memory
        self._find_service = find_service
        self._types = types

    async def handle(self, request: Request, context: Context) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, self.name)
        wanted = request.resource.strip("/").lower()
        if wanted:
            return Response(content=await self._one(wanted, request, context))
        records = await reachable(self._memory, context)
        names: list[JSON] = [record.name for record in records]
        if flag(request, "as_list"):
            return Response(content={"resource": names})
        if flag(request, "as_access_list"):
            components: list[JSON] = ["", "*", *(f"{name}{end}" for name in names for end in ("/", "/*"))]
            return Response(content={"resource": components})
        return Response(content=await self._all(records, request, context))

    async def _one(self, name: str, request: Request, context: Context) -> JSON:
        record = await self._memory.service(name)
        caller = context.caller
        sees_all = caller.is_admin or (caller.role is not None and visible_services(caller.role) is None)
        if record is None and sees_all:
            raise NotFound(f"Could not find a service for {name}")
        if record is None or all(one.name != name for one in await reachable(self._memory, context)):
            raise Forbidden(f"Access Forbidden. Nothing of the service '{name}' is allowed by this user's role.")
        detail = _detail(name, request, context)
        try:
            described = await (await self._find_service(name)).describe(detail)
        except NotSupported as error:
            raise Unavailable(f"There is no description of the service '{name}': {error.message}") from error
        about = about_of(record, self._types)
        made = document_of(about, described, detail)
        info = made["info"]
        # OpenAPI knows no such name here, but clients of this service read it.
        made["info"] = {**info, "group": about.group} if isinstance(info, dict) else info
        return made

    async def _all(self, records: Sequence[ServiceRecord], request: Request, context: Context) -> JSON:
        parts: list[tuple[About, dict[str, JSON], Description]] = []
        for record in records:
            detail = _detail(record.name, request, context)
            try:
                described = await (await self._find_service(record.name)).describe(detail)
            except ReverieError as error:
                # One that cannot be asked does not hide the others.
                log.warning("service.undescribed", service=record.name, cause=error.message)
                continue
            about = about_of(record, self._types)
            parts.append((about, paths_of(record.name, described, detail, prefix=f"/{record.name}"), described))
        paths, components = merged(parts)
        info: dict[str, JSON] = {"title": "Reverie", "description": _ALL, "version": "2.0"}
        return document("/api/v2", info, [about for about, _, _ in parts], paths, components)

    # -- names

    def moments(self, request: Request) -> Sequence[Moment]:
        wanted, verb = request.resource.strip("/"), request.method.lower()
        if not wanted:
            return [Moment(f"{self.name}.{verb}")]
        return [Moment(f"{self.name}.{{service}}.{verb}", wanted), Moment(f"{self.name}.{wanted}.{verb}", "")]

    async def event_paths(self) -> Sequence[EventPath]:
        names: list[JSON] = [record.name for record in await self._memory.services() if record.is_active]
        return [
            EventPath(name=self.name, verbs=("get",)),
            EventPath(name=f"{self.name}.{{service}}", verbs=("get",), parameter={"service": names}),
        ]

    async def access_list(self) -> Sequence[str]:
        return ["", "*"]

    async def describe(self, detail: Detail) -> Description:
        answer: JSON = an_object(required=["openapi", "paths"], description="An OpenAPI document.")
        shared = ("expand_schema", "refresh", "file")
        return Description(
            operations=[
                Operation(
                    path="/", verb="get", id="getApiDocs", summary="Describe all services that the role allows.",
                    parameters=("as_list", "as_access_list", *shared), answer=answer,
                ),
                Operation(
                    path="/{service}", verb="get", id="getApiDocsByService", summary="Describe one service.",
                    parameters=shared, answer=answer,
                ),
            ],
            resources={"type": "api_docs", "tables": [], "count": 0, "note": "Documents of the other services."},
        )  # fmt: skip

    def flush(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is held open."""


def about_of(record: ServiceRecord, types: Mapping[str, ServiceType]) -> About:
    kind = types.get(record.type)
    group = kind.group if kind is not None else record.type
    return About(name=record.name, label=record.label, description=record.description or record.label, group=group)


def may(service: str, context: Context) -> Callable[[str, str], bool]:
    """What the caller may do with the components of *service*, see `Detail.may`."""
    return lambda component, verb: could(context.caller, service, component, verb, context.requestor)


def _detail(service: str, request: Request, context: Context) -> Detail:
    return Detail(may=may(service, context), names=flag(request, "expand_schema"), refresh=flag(request, "refresh"))
