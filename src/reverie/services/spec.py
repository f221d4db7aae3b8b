"""``{service}/_spec``: what a service is, for tools and for models, as JSON or YAML."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import yaml

from reverie.errors import NotFound, ReverieError
from reverie.model import JSON, Context, Request, Requestor, Response
from reverie.services.api_docs import about_of, may
from reverie.services.openapi import (
    WORDS,
    About,
    Description,
    Detail,
    components_of,
    document_of,
    reached,
    with_errors,
)
from reverie.services.service import Service
from reverie.services.system.resource import flag
from reverie.services.system.service_type import ServiceType
from reverie.store.memory import Memory

SPEC: Final = frozenset({"_spec", "_spec/"})
"""The resource that every service has."""
SAMPLES: Final = 3
"""Records of each table that a model shows."""

Dispatch: TypeAlias = Callable[[Request, Context], Awaitable[Response]]

_USAGE: Final[JSON] = {
    "authentication": "Send X-DreamFactory-API-Key, X-DreamFactory-Session-Token, or both.",
    "filter": "?filter=(price > 5) and (name like 'A%'); with values apart: ?filter=price > :least&params[:least]=5",
    "paging": "?limit=25&offset=50&include_count=true",
    "related": "?related={relationship}; the names stand in x-dreamfactory-relationships.",
    "errors": "Every error has the body of DreamFactoryError; its message says what to do.",
    "more": "?expand_schema=true gives real columns (OpenAPI 3.1), ?resource_name=x one resource, ?compact=true a list,"
    " ?tables=true the tables, ?model=true tables with columns, counts and samples (stock=true: without samples).",
}


class Specs:
    """Args:
    types: the kinds of services by name.
    dispatch: a request whose access was checked, with the scripts that hang on it.
    """

    def __init__(self, memory: Memory, types: Mapping[str, ServiceType], dispatch: Dispatch) -> None:
        self._memory = memory
        self._types = types
        self._dispatch = dispatch

    async def answer(self, service: Service, request: Request, context: Context) -> Response:
        """The document of *service*. Access to ``_spec`` was checked before.

        Raises:
            NotFound: it has no resource of the name in ``resource_name``, or none that the caller may see.
        """
        wished = {name: flag(request, name) for name in ("expand_schema", "model", "compact", "tables", "refresh")}
        only = request.parameters.get("resource_name")
        detail = Detail(
            may=may(service.name, context),
            names=wished["expand_schema"],
            columns=wished["expand_schema"] or wished["model"],
            only=only if isinstance(only, str) else "",
            refresh=wished["refresh"],
        )
        described = await service.describe(detail)
        about = await self._about(service.name)
        made = document_of(about, described, detail)
        if detail.only and not made["paths"]:
            raise NotFound(f"No resource '{detail.only}' found in service '{service.name}'.")
        if wished["model"]:
            return await _encoded(await self._model(service.name, described, request, context), request, context)
        if wished["tables"]:
            return await _encoded({"service": service.name, **described.resources}, request, context)
        return await _encoded(_spec(made, about, described, compact=wished["compact"]), request, context)

    async def _about(self, name: str) -> About:
        record = await self._memory.service(name)
        return (
            About(name=name, label=name, description="", group="") if record is None else about_of(record, self._types)
        )

    # -- the model

    async def _model(self, service: str, described: Description, request: Request, context: Context) -> JSON:
        """Tables with their columns; counts and samples of what the caller can read, as he would read it."""
        allowed = may(service, context)
        stock = flag(request, "stock")
        tables: list[JSON] = []
        for name, table in described.tables.items():
            entry = {"name": name, **table}
            if allowed(f"_table/{name}", "get"):
                entry["row_count"] = await self._read(service, name, {"count_only": "true"}, context)
                if not stock:
                    found = await self._read(service, name, {"limit": str(SAMPLES)}, context)
                    entry["samples"] = found.get("resource") if isinstance(found, dict) else found
            tables.append(entry)
        return {
            "service": service,
            "tables": tables,
            "count": len(tables),
            "relationships": dict(described.relationships),
        }

    async def _read(self, service: str, table: str, parameters: Mapping[str, JSON], context: Context) -> JSON:
        """What a read of the table answers to this caller: the filters of his role and all scripts have their say."""
        request = Request(method="GET", service=service, resource=f"_table/{table}", parameters=parameters)
        try:
            content = (await self._dispatch(request, context)).content
        except ReverieError as error:
            return {"error": error.message}
        return None if isinstance(content, bytes) else content


def _spec(made: dict[str, JSON], about: About, described: Description, *, compact: bool) -> dict[str, JSON]:
    """The document with what `_spec` adds to it."""
    paths = made.pop("paths")
    if not isinstance(paths, dict):
        paths = {}
    info = made["info"]
    made["info"] = {**(info if isinstance(info, dict) else {}), "x-group": about.group}
    made |= {
        "x-dreamfactory-resources": {"tables": [], **described.resources},
        "x-dreamfactory-relationships": dict(described.relationships),
        "x-dreamfactory-usage": _USAGE,
    }
    if compact:
        endpoints = _endpoints(about.name, paths)
        components = made.pop("components")
        security = {"securitySchemes": components["securitySchemes"]} if isinstance(components, dict) else {}
        return {**made, "components": security, "endpoints": endpoints, "endpoint_count": len(endpoints)}
    paths = with_errors(paths)
    known = made["components"]
    made["components"] = {**(known if isinstance(known, dict) else {}), **reached(paths, components_of([described]))}
    return {**made, "paths": paths}


def _endpoints(service: str, paths: Mapping[str, JSON]) -> list[JSON]:
    return [
        {"method": verb.upper(), "path": f"/api/v2/{service}{path}", "summary": operation.get("summary")}
        for path, item in paths.items()
        for verb, operation in (item.items() if isinstance(item, dict) else ())
        if verb in WORDS and isinstance(operation, dict)
    ]


async def _encoded(content: JSON, request: Request, context: Context) -> Response:
    """YAML where it is asked for, else JSON for people's eyes; a script gets the structure."""
    headers = {"Cache-Control": "no-store"}
    wish = f"{request.parameters.get('format') or ''} {request.headers.get('accept') or ''}".lower()
    if "yaml" in wish:
        # A second for a large document: not on the event loop.
        text = await asyncio.to_thread(_as_yaml, content)
        return Response(content=text, content_type="application/yaml; charset=utf-8", headers=headers)
    if context.requestor == Requestor.SCRIPT:
        return Response(content=content, headers=headers)
    text = await asyncio.to_thread(json.dumps, content, indent=2, ensure_ascii=False)
    return Response(content=text, content_type="application/json; charset=utf-8", headers=headers)


def _as_yaml(content: JSON) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Parts that stand at several places are written at each: many readers of OpenAPI know no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True
