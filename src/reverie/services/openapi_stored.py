"""A service's own document, as it was stored with it: made whole, so that it can stand beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reverie.model import JSON
from reverie.services.openapi import WORDS, Description, parameters_in
from reverie.services.openapi_parts import LATEST, VERSION, ref
from reverie.store.records import ServiceRecord

_KINDS: Final = ("schemas", "responses", "parameters", "requestBodies", "examples", "headers", "links")
_BESIDE: Final = ("summary", "description", "parameters", "servers")
"""What a path item may hold beside its operations."""


def stored_description(record: ServiceRecord) -> Description | None:
    """What the stored document of a service says; None when there is none.

    What a document must have and this one lacks is put in: path parameters and answers. Older documents put the
    service's own name in front of their paths.
    """
    if not record.doc:
        return None
    found = record.doc.get("paths")
    paths: dict[str, Mapping[str, JSON]] = {}
    for key, item in found.items() if isinstance(found, dict) else ():
        if isinstance(item, dict):
            path = f"/{_below(record.name, key)}"
            paths[path] = _whole(path, item, record.name)
    return Description(
        paths=paths,
        components=_components(record.doc.get("components")),
        version=LATEST if str(record.doc.get("openapi")).startswith("3.1") else VERSION,
        resources={"type": "script", "count": len(paths), "note": "Described by whoever wrote the service."},
    )


def _below(service: str, path: str) -> str:
    return "" if path.strip("/") == service else path.removeprefix(f"/{service}/").strip("/")


def _components(sent: JSON) -> dict[str, dict[str, JSON]]:
    if not isinstance(sent, dict):
        return {}
    return {kind: dict(parts) for kind in _KINDS if isinstance(parts := sent.get(kind), dict)}


def _whole(path: str, item: Mapping[str, JSON], service: str) -> dict[str, JSON]:
    made: dict[str, JSON] = {key: item[key] for key in _BESIDE if key in item}
    made |= {key: value for key, value in item.items() if key.startswith("x-")}
    listed = made.get("parameters")
    known = list(listed) if isinstance(listed, list) else []
    for key, operation in item.items():
        if key.lower() in WORDS and isinstance(operation, dict):
            made[key.lower()] = _answered(operation, service)
    named = {str(one.get("name")) for one in known if isinstance(one, dict)}
    # A parameter that is a reference may be the one: what it is called stands elsewhere.
    hidden = any(isinstance(one, dict) and "$ref" in one for one in known)
    missing = [one for one in parameters_in(path) if isinstance(one, dict) and str(one["name"]) not in named]
    if missing and not hidden:
        made["parameters"] = [*known, *missing]
    return made


def _answered(operation: Mapping[str, JSON], service: str) -> dict[str, JSON]:
    made = dict(operation)
    tags = made.get("tags")
    made["tags"] = [*dict.fromkeys([*(str(tag) for tag in (tags if isinstance(tags, list) else [])), service])]
    answers = made.get("responses")
    responses: dict[str, JSON] = {"default": ref("responses", "Error")}
    if isinstance(answers, dict) and answers:
        responses |= {str(key): value for key, value in answers.items()}
    else:
        responses["200"] = ref("responses", "Anything")
    return {**made, "responses": responses}
