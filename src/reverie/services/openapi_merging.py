"""The documents of several services as one: paths side by side, and names that two of them use kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reverie.model import JSON
from reverie.services.openapi import WORDS, About, Description, components_of, own_components

Components = dict[str, dict[str, JSON]]


def merged(parts: Sequence[tuple[About, dict[str, JSON], Description]]) -> tuple[dict[str, JSON], Components]:
    """All paths and all components.

    A component that says something else under a name that is taken gets its service's name in front; so does the id
    of an operation that is taken.
    """
    paths: dict[str, JSON] = {}
    components = components_of([])
    ids: set[str] = set()
    for about, own, described in parts:
        parts_of = own_components(described)
        renamed = {
            f"#/components/{kind}/{name}": f"#/components/{kind}/{about.name}.{name}"
            for kind, group in parts_of.items()
            for name, part in group.items()
            if components.get(kind, {}).get(name, part) != part
        }
        for kind, group in parts_of.items():
            for name, part in group.items():
                target = renamed.get(f"#/components/{kind}/{name}", name).rpartition("/")[2]
                components.setdefault(kind, {})[target] = _with(part, renamed)
        for path, item in own.items():
            paths[path] = _apart(_with(item, renamed), about.name, ids)
    return paths, components


def _with(value: JSON, renamed: Mapping[str, str]) -> JSON:
    """*value* with its references renamed."""
    if not renamed:
        return value
    if isinstance(value, list):
        return [_with(one, renamed) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: renamed[one] if key == "$ref" and isinstance(one, str) and one in renamed else _with(one, renamed)
        for key, one in value.items()
    }


def _apart(item: JSON, service: str, ids: set[str]) -> JSON:
    if not isinstance(item, dict):
        return item
    made: dict[str, JSON] = {}
    for key, operation in item.items():
        if key in WORDS and isinstance(operation, dict) and isinstance(name := operation.get("operationId"), str):
            name = name if name not in ids else f"{service}.{name}"
            ids.add(name)
            operation = {**operation, "operationId": name}
        made[key] = {**operation, "tags": [service]} if key in WORDS and isinstance(operation, dict) else operation
    return made
