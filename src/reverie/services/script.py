"""A service answered by a script: at once, or queued with 202."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import msgspec

from reverie.clock import Clock
from reverie.events.changes import answer_of
from reverie.events.event import BLANK, request_map
from reverie.events.names import VERBS, EventPath, Moment
from reverie.events.runs import ScriptRuns
from reverie.model import JSON, Context, Request, Response, Script, is_true
from reverie.services.openapi import Description, Detail
from reverie.services.openapi_stored import stored_description
from reverie.store.records import ServiceRecord
from reverie.store.scripts import decoded

DEFAULT_TTL = 18000
"""Seconds that a cached answer lives when the service says 0."""
UNDESCRIBED = "Nobody stored a document with this service; any path below it runs its script."
MOST_CACHED = 1000
"""Answers kept for one service."""


class Promising(Protocol):
    """Keeps a call for later."""

    async def for_service(self, record: ServiceRecord, request: Request, context: Context) -> Response:
        """The answer to a call that was queued. Raises what the connection raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Path:
    """One documented path: ``item/{id}``, its verbs, and what it matches."""

    text: str
    verbs: tuple[str, ...]
    pattern: re.Pattern[str]
    parameters: tuple[str, ...]
    choices: Mapping[str, list[JSON]]


class ScriptService:
    """Args:
    runs: how scripts are run.
    promises: where queued calls go.
    """

    def __init__(self, record: ServiceRecord, runs: ScriptRuns, promises: Promising, clock: Clock) -> None:
        self.name = record.name
        self._record = record
        self._runs = runs
        self._promises = promises
        self._clock = clock
        self._paths = _documented_paths(record)
        self._cache: dict[str, tuple[float, Response]] = {}

    async def handle(self, request: Request, context: Context) -> Response:
        config = self._record.config
        if is_true(request.parameters.get("as_access_list")) and not config.get("implements_access_list"):
            return Response(content={"resource": list(await self.access_list())})
        self._runs.check(self._record.type)
        if self.queues:
            return await self._promises.for_service(self._record, request, context)
        key = self._cache_key(request)
        if key and (kept := self._cache.get(key)) and kept[0] > self._clock.monotonic():
            return kept[1]
        response = await self._now(request, context)
        if key and 200 <= response.status < 300 and context.rehearse is None:
            if len(self._cache) >= MOST_CACHED:
                self._cache.pop(next(iter(self._cache)))
            seconds = cast("int", config.get("cache_ttl") or DEFAULT_TTL)
            self._cache[key] = (self._clock.monotonic() + seconds, response)
        return response

    @property
    def queues(self) -> bool:
        """Whether calls are kept for later."""
        return bool(self._record.config.get("queued"))

    async def _now(self, request: Request, context: Context) -> Response:
        event = service_event(request.resource.rstrip("/"), request_map(request))
        wanted = is_true(request.parameters.get("log_output", True))
        return answer_of(await self._runs.run(service_script(self._record), event, context, log_output=wanted))

    def _cache_key(self, request: Request) -> str:
        if request.method != "GET" or not self._record.config.get("cache_enabled"):
            return ""
        parameters = sorted((name, value) for name, value in request.parameters.items() if name != "_")
        return request.resource + "?" + msgspec.json.encode(parameters).decode()

    def flush(self) -> None:
        """Forget the cached answers."""
        self._cache.clear()

    # -- names

    def moments(self, request: Request) -> Sequence[Moment]:
        resource, verb = request.resource.strip("/"), request.method.lower()
        for path in self._paths:
            found = path.pattern.fullmatch(resource) if verb in path.verbs else None
            if found is None:
                continue
            name = ".".join((self.name, *path.text.split("/"), verb))
            if not path.parameters:
                return [Moment(name, None)]
            values: dict[str, JSON] = {}
            for parameter, value in zip(path.parameters, found.groups(), strict=True):
                values[f"{{{parameter}}}"] = values[parameter] = value
            return [Moment(name, values)]
        return [Moment(f"{self.name}.{verb}", resource)]

    async def event_paths(self) -> Sequence[EventPath]:
        if not self._paths:
            return [EventPath(name=self.name, verbs=VERBS)]
        access = await self.access_list()
        return [
            EventPath(
                name=".".join((self.name, *path.text.split("/"))),
                verbs=path.verbs,
                parameter=_choices(path, access) if path.parameters else None,
            )
            for path in self._paths
        ]

    async def access_list(self) -> Sequence[str]:
        components = {"", "*"}
        for path in self._paths:
            components.add(path.text)
            parts = path.text.split("/")
            components.update("/".join(parts[:at]) + "/*" for at in range(1, len(parts)))
        return sorted(components, key=_natural)

    async def describe(self, detail: Detail) -> Description:
        found = stored_description(self._record)
        if found is None or not detail.only:
            return found or Description(resources={"type": "script", "count": 0, "note": UNDESCRIBED})
        only = detail.only.strip("/")
        paths = {path: item for path, item in found.paths.items() if path.strip("/").partition("/")[0] == only}
        return replace(found, paths=paths)

    async def close(self) -> None:
        self.flush()


def service_script(record: ServiceRecord) -> Script:
    """The script of a script service."""
    config = record.config.get("config")
    if isinstance(config, str):
        config = decoded(config)
    return Script(
        identifier=f"service.{record.name}",
        language=record.type,
        content=str(record.config.get("content") or ""),
        linked="" if record.config.get("storage_service_id") else str(record.config.get("storage_path") or ""),
        config=config if isinstance(config, dict) else {},
        version=record.version,
        may_modify=True,
        key=f"service:{record.id}",
    )


def service_event(resource: JSON, request: JSON) -> dict[str, JSON]:
    """The event of a script service, with the blank response that it may fill."""
    return {"resource": resource, "request": request, "response": dict(BLANK)}


def _documented_paths(record: ServiceRecord) -> list[_Path]:
    paths = (record.doc or {}).get("paths")
    if not isinstance(paths, dict):
        return []
    known = []
    for key, operations in paths.items():
        # Older documents put the service's own name in front.
        text = key.removeprefix(f"/{record.name}/").strip("/") if key != f"/{record.name}" else ""
        if not isinstance(operations, dict):
            continue
        verbs = tuple(name for name in operations if name.lower() in VERBS)
        if not text:
            continue
        parts = [re.escape(part) if not _TEMPLATE.fullmatch(part) else "([^/]+)" for part in text.split("/")]
        known.append(
            _Path(
                text=text,
                verbs=tuple(verb.lower() for verb in verbs),
                pattern=re.compile("/".join(parts)),
                parameters=tuple(part[1:-1] for part in text.split("/") if _TEMPLATE.fullmatch(part)),
                choices=_enumerated(operations, verbs),
            )
        )
    return known


_TEMPLATE = re.compile(r"\{[^{}]+\}")


def _enumerated(operations: Mapping[str, JSON], verbs: Sequence[str]) -> dict[str, list[JSON]]:
    """Choices that the document itself lists for its path parameters."""
    found: dict[str, list[JSON]] = {}
    for holder in (operations, *(operations[verb] for verb in verbs)):
        described = holder.get("parameters") if isinstance(holder, dict) else None
        for one in described if isinstance(described, list) else []:
            if not isinstance(one, dict) or one.get("in") != "path":
                continue
            schema = one.get("schema")
            choices = schema.get("enum") if isinstance(schema, dict) else one.get("enum") or one.get("options")
            if isinstance(choices, list):
                found[str(one.get("name"))] = choices
    return found


def _choices(path: _Path, access: Sequence[str]) -> dict[str, JSON]:
    """For every parameter its documented choices, else what the access list has at its place."""
    result: dict[str, JSON] = {}
    parts = path.text.split("/")
    for at, part in enumerate(parts):
        if not _TEMPLATE.fullmatch(part):
            continue
        listed: list[JSON] = []
        for component in access:
            other = component.split("/")
            if len(other) > at and other[:at] == parts[:at] and other[at] != "*" and other[at] not in listed:
                listed.append(other[at])
        result[part[1:-1]] = path.choices.get(part[1:-1]) or cast("JSON", listed)
    return result


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``a2`` before ``a10``."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]
