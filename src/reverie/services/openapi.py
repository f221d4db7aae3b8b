"""What services say of themselves, and the OpenAPI documents made of it.

A service tells its `Operation`s; here they are cut to what the caller may do, and become paths. What no path refers to
is left out of the components, so a document never speaks of a table that the caller cannot reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reverie.model import JSON
from reverie.services.openapi_parts import COMPONENTS, LATEST, PLAIN, SECURITY, VERSION, ref

Objects = dict[str, JSON]

WORDS: Final[Mapping[str, str]] = {
    "get": "get",
    "post": "create",
    "put": "replace",
    "patch": "update",
    "delete": "delete",
}
"""How an operation's id begins, by verb."""
_TEMPLATE: Final = re.compile(r"\{([^{}/]+)\}")
_ERRORS: Final = ("400", "401", "403", "404", "429", "500")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much a document shall say, and to whom.

    Attributes:
        may: whether the caller may use a verb (lower case) on a component; templates in it stand for any name.
        names: real names instead of ``{table_name}``.
        columns: the columns too, as schemas of OpenAPI 3.1; goes with `names`.
        only: of all tables just this one; ``""`` for all.
        refresh: look anew at what is described.
    """

    may: Callable[[str, str], bool]
    names: bool = False
    columns: bool = False
    only: str = ""
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One verb on one path.

    Attributes:
        path: below the service, ``/_table/{table_name}``; templates are path parameters.
        verb: lower case.
        id: unique in the service, begins with a word of `WORDS`: ``getDbTableRecords``.
        component: what a role must allow; the path without outer slashes unless given.
        parameters: names among the shared parameters, for the query.
        body: schema of the body, a reference; None without one.
        answer: name of a shared response, or the schema of what a 200 holds.
        status: of the answer that is no error.
        choices: values of path parameters where there is a fixed list of them.
    """

    path: str
    verb: str
    id: str
    summary: str
    component: str | None = None
    parameters: Sequence[str] = ()
    body: JSON = None
    answer: JSON = "Success"
    status: str = "200"

    @property
    def place(self) -> str:
        return self.path.strip("/") if self.component is None else self.component


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a service can do.

    Attributes:
        schemas: those that its operations refer to, beside the shared ones.
        tables: with columns, those that the caller can see with their keys and columns.
        paths: ready path items, of a stored document; access is decided by their path.
        components: further components of a stored document, by kind.
        resources: what it serves, for a reader: ``{"type", "tables", "count", ...}``.
        relationships: by table, those of which the caller may read both sides.
        version: of OpenAPI, in which its paths are written; ``""`` for whichever the document has.
    """

    operations: Sequence[Operation] = ()
    schemas: Mapping[str, JSON] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    paths: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    resources: Mapping[str, JSON] = field(default_factory=dict)
    relationships: Mapping[str, JSON] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A service as documents name it."""

    name: str
    label: str
    description: str
    group: str


def document_of(about: About, described: Description, detail: Detail) -> Objects:
    """The document of one service, cut to what the caller may do."""
    info: Objects = {"title": about.label or about.name, "description": about.description, "version": "2.0"}
    paths = paths_of(about.name, described, detail, prefix="")
    version = described.version or (LATEST if detail.columns else VERSION)
    return document(f"/api/v2/{about.name}", info, [about], paths, components_of([described]), version=version)


def document(
    address: str,
    info: Objects,
    tags: Sequence[About],
    paths: Objects,
    components: Mapping[str, Mapping[str, JSON]],
    *,
    version: str = VERSION,
) -> Objects:
    """A whole document; components that nothing refers to are left out."""
    made: Objects = {
        "openapi": version,
        "servers": [{"url": address}],
        "components": {},
        "security": [{name: []} for name in SECURITY],
        "tags": [{"name": one.name, "description": one.description or one.label} for one in tags],
        "info": info,
        "paths": paths,
    }
    made["components"] = {"securitySchemes": dict(SECURITY), **reached(paths, components)}
    return made


def paths_of(name: str, described: Description, detail: Detail, *, prefix: str) -> Objects:
    """Path items under *prefix*, with the verbs that the caller may use."""
    paths: dict[str, Objects] = {}
    for one in described.operations:
        if detail.may(one.place, one.verb):
            path = prefix + one.path if one.path != "/" or not prefix else prefix
            paths.setdefault(path, {**_path_parameters(one.path)})[one.verb] = operation(one, name)
    for path, item in described.paths.items():
        kept = {key: value for key, value in item.items() if key not in WORDS or detail.may(path.strip("/"), key)}
        if any(key in WORDS for key in kept):
            paths[prefix + path if path != "/" or not prefix else prefix] = kept
    return dict(paths)


def operation(one: Operation, service: str) -> Objects:
    """An operation as the document holds it."""
    made: Objects = {"tags": [service], "summary": one.summary, "operationId": one.id}
    if one.parameters:
        made["parameters"] = [ref("parameters", name) for name in one.parameters]
    if one.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": one.body}}}
    answer = one.answer
    if isinstance(answer, str):
        answer = ref("responses", answer)
    else:
        answer = {"description": "What was asked for.", "content": {"application/json": {"schema": answer}}}
    made["responses"] = {one.status: answer, "default": ref("responses", "Error")}
    return made


def _path_parameters(path: str) -> Objects:
    found = parameters_in(path)
    return {"parameters": list(found)} if found else {}


def parameters_in(path: str) -> list[JSON]:
    """Path parameters, one for each template in *path*."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PLAIN.get(name, f"The {name.replace('_', ' ')}."),
            "schema": {"type": "string"},
        }
        for name in _TEMPLATE.findall(path)
    ]


def components_of(described: Sequence[Description]) -> dict[str, dict[str, JSON]]:
    """The shared components and those of the services."""
    found: dict[str, dict[str, JSON]] = {kind: dict(parts) for kind, parts in COMPONENTS.items()}
    for one in described:
        for kind, parts in own_components(one).items():
            found.setdefault(kind, {}).update(parts)
    return found


def own_components(described: Description) -> dict[str, dict[str, JSON]]:
    """Those of a service, without the shared ones."""
    found: dict[str, dict[str, JSON]] = {kind: dict(parts) for kind, parts in described.components.items()}
    found.setdefault("schemas", {}).update(described.schemas)
    return found


def reached(start: JSON, components: Mapping[str, Mapping[str, JSON]]) -> Objects:
    """Those *components* that *start* refers to, and what those refer to."""
    wanted: dict[str, dict[str, JSON]] = {}
    waiting: list[JSON] = [start]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            target = value.get("$ref")
            found = _REF.fullmatch(target) if isinstance(target, str) else None
            if found is None:
                continue
            kind, name = found.groups()
            part = components.get(kind, {}).get(name)
            if part is not None and name not in wanted.setdefault(kind, {}):
                wanted[kind][name] = part
                waiting.append(part)
    # In the order they were written, whatever refers to them first.
    return {
        kind: {name: part for name, part in parts.items() if name in wanted[kind]}
        for kind, parts in components.items()
        if wanted.get(kind)
    }


_REF: Final = re.compile(r"#/components/([A-Za-z]+)/([^/]+)")


def with_errors(paths: Objects) -> Objects:
    """*paths* with the answers of refused calls at every operation."""
    errors: Objects = {status: ref("responses", f"Error{status}") for status in _ERRORS}
    return {path: _item_with(item, errors) if isinstance(item, dict) else item for path, item in paths.items()}


def _item_with(item: Objects, errors: Objects) -> Objects:
    made: Objects = {}
    for verb, one in item.items():
        if verb in WORDS and isinstance(one, dict):
            own = one.get("responses")
            one = {**one, "responses": {**errors, **(own if isinstance(own, dict) else {})}}
        made[verb] = one
    return made


def camel(*names: str) -> str:
    """``my_db``, ``table`` → ``MyDbTable``: a part of an operation's id or a schema's name."""
    parts = re.split(r"[^A-Za-z0-9]+", "_".join(names))
    return "".join(part[:1].upper() + part[1:] for part in parts)
