"""What a script sees, told to editors: ``event``, ``platform`` and the tables of a service, for TypeScript and Python.

Made of the same description as the OpenAPI document, so it never speaks of a table that the caller cannot reach.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from reverie.model import JSON
from reverie.services.declarations_shared import (
    PYTHON,
    PYTHON_EVENT,
    TYPESCRIPT,
    TYPESCRIPT_DIRECT,
    TYPESCRIPT_PROMISES,
)
from reverie.services.openapi import Description, camel

Style = Literal["direct", "promises"]
"""How ``platform.api`` answers: at once, or as nodejs does."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPELLED: Final = re.compile(r"\.([0-9a-f]+)\.")
_KINDS: Final = {"record": "", "create": "Create", "change": "Change"}
"""Ends of the names of the description's schemas, and of ours."""
_OURS: Final = frozenset(
    {"Any", "Api", "BaseRequest", "BaseResponse", "Body", "Event", "Map", "Platform", "Request", "Response", "Result"}
    | {"Session", "Store"}
)
_OF_MAPS: Final = frozenset(dir(dict))
"""Names that a Python map has itself: a column of such a name is only reached by ``record["name"]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A column.

    Attributes:
        kind: its JSON type; ``""`` for any.
        required: a new record must have it.
    """

    name: str
    kind: str
    nullable: bool
    required: bool
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Records of a table as they are read, created or changed (`spelling` ends with nothing, Create, Change)."""

    table: str
    spelling: str
    kind: str
    members: Sequence[Member]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The event that a script hangs on, as far as it says what the script sees.

    Attributes:
        verb: lower case.
    """

    table: str
    verb: str


def shapes_of(described: Description) -> list[Shape]:
    """The tables' records, three shapes for each."""
    names: dict[str, str] = {}
    shapes: list[Shape] = []
    for name, schema in described.schemas.items():
        spelled, _, end = name.rpartition(".")
        if end not in _KINDS or not isinstance(schema, dict):
            continue
        table = _SPELLED.sub(lambda found: chr(int(found[1], 16)), spelled)
        if table not in names:
            names[table] = _unlike(_class_name(table), names.values())
        shapes.append(Shape(table=table, spelling=names[table] + _KINDS[end], kind=end, members=_members(schema)))
    return shapes


def _members(schema: Mapping[str, JSON]) -> list[Member]:
    properties, required = schema.get("properties"), schema.get("required")
    wanted = required if isinstance(required, list) else []
    members = []
    for name, one in properties.items() if isinstance(properties, dict) else ():
        kind = one.get("type") if isinstance(one, dict) else None
        kinds = kind if isinstance(kind, list) else [kind]
        known = [str(word) for word in kinds if word not in (None, "null")]
        about = one.get("description") if isinstance(one, dict) else ""
        members.append(
            Member(
                name=name,
                kind=known[0] if len(known) == 1 else "",
                nullable="null" in kinds and not (isinstance(one, dict) and one.get("readOnly")),
                required=name in wanted,
                about=" ".join(str(about or "").split()),
            )
        )
    return members


def _class_name(table: str) -> str:
    """``todo_item`` → ``TodoItem``; something that is a name for tables without Latin letters, too."""
    name = camel(table)
    if not _IDENTIFIER.fullmatch(name):
        name = f"Table{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _unlike(name: str, others: Iterable[str]) -> str:
    """*name*, or with a number behind it where another table has it, with or without an end of ours."""
    taken = {f"{other}{end}" for other in others for end in _KINDS.values()} | _OURS
    found, number = name, 1
    while any(f"{found}{end}" in taken for end in _KINDS.values()):
        number += 1
        found = f"{name}{number}"
    return found


def place_of(event: str, service: str, described: Description) -> Place | None:
    """What the name of an event script says: ``db._table.todo.post.pre_process``; None if it names no table."""
    found = re.fullmatch(
        rf"{re.escape(service)}\._table\.(.+?)(?:\.\{{id\}})?\.(get|post|put|patch|delete)"
        r"(?:\.(?:pre_process|post_process|queued))?",
        event,
        re.IGNORECASE,
    )
    if found is None:
        return None
    for table in described.tables:
        if table.lower() == found[1].lower():
            return Place(table=table, verb=found[2].lower())
    return None


def _sent(place: Place | None, shapes: Sequence[Shape]) -> str | None:
    """The spelling of what a call on the table holds."""
    if place is None or place.verb in ("get", "delete"):
        return None
    kind = "create" if place.verb == "post" else "change"
    return _spelling(place, kind, shapes)


def _answered(place: Place | None, shapes: Sequence[Shape]) -> str | None:
    return None if place is None else _spelling(place, "record", shapes)


def _spelling(place: Place, kind: str, shapes: Sequence[Shape]) -> str | None:
    return next((one.spelling for one in shapes if one.table == place.table and one.kind == kind), None)


# -- TypeScript


def typescript(service: str, described: Description, place: Place | None = None, style: Style = "direct") -> str:
    """A ``.d.ts``. Several of them may stand side by side when they were made for no event."""
    shapes = shapes_of(described)
    space = _class_name(service)
    sent, answered = _sent(place, shapes), _answered(place, shapes)
    payload = f"{space}.Body<{space}.{sent}>" if sent else "any"
    content = f"{space}.Body<{space}.{answered}>" if answered else "any"
    lines = [
        f"// What scripts see of the service {json.dumps(service)}: `event`, `platform`, and records of its tables.",
        "// Made by Reverie; fetch it again when tables change.",
        "",
        f"declare namespace {space} {{",
        "  /** Records as a call holds them: one, or several under `resource`. */",
        "  type Body<Row> = Row & { resource: Row[] };",
    ]
    for shape in shapes:
        lines += _interface(shape)
    lines += ["}", "", (TYPESCRIPT + (TYPESCRIPT_DIRECT if style == "direct" else TYPESCRIPT_PROMISES)).strip(), ""]
    lines += [f"declare var event: ScriptEvent<{payload}, {content}>;", "declare var platform: ScriptPlatform;", ""]
    return "\n".join(lines)


def _interface(shape: Shape) -> Iterator[str]:
    what = {"record": "A record", "create": "A new record", "change": "Values to change in a record"}[shape.kind]
    yield f"  /** {what} of {_quiet(shape.table)}. */"
    yield f"  interface {shape.spelling} {{"
    for one in shape.members:
        name = one.name if _IDENTIFIER.fullmatch(one.name) else json.dumps(one.name)
        optional = "?" if shape.kind == "change" or (shape.kind == "create" and not one.required) else ""
        kind = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean"}.get(one.kind, "any")
        if one.about:
            yield f"    /** {_quiet(one.about)} */"
        yield f"    {name}{optional}: {kind}{' | null' if one.nullable and kind != 'any' else ''};"
    yield "  }"


def _quiet(text: str) -> str:
    """Nothing in it ends a comment."""
    return " ".join(text.replace("*/", "* /").split())


# -- Python


def python(service: str, described: Description, place: Place | None = None) -> str:
    """A ``.pyi``; saved as ``__builtins__.pyi`` beside scripts, pyright knows its names without an import."""
    shapes = shapes_of(described)
    sent, answered = _sent(place, shapes), _answered(place, shapes)
    lines = [
        f"# What scripts see of the service {json.dumps(service)}: `event`, `platform`, and records of its tables.",
        "# Made by Reverie; fetch it again when tables change.",
        PYTHON.strip(),
        "",
    ]
    for shape in shapes:
        lines += [f"class {shape.spelling}(Map):", *(f"    {line}" for line in _attributes(shape)), ""]
    for spelling in dict.fromkeys(name for name in (sent, answered) if name):
        lines += [f"class {spelling}Body(Map):", f"    resource: list[{spelling}]", ""]
    lines += [
        "class Request(BaseRequest):",
        f"    payload: {sent + 'Body' if sent else 'Any'}",
        "",
        "class Response(BaseResponse):",
        f"    content: {answered + 'Body' if answered else 'Any'}",
        PYTHON_EVENT.rstrip(),
        "",
    ]
    return "\n".join(lines)


def _attributes(shape: Shape) -> list[str]:
    kinds = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}
    lines = []
    for one in shape.members:
        usable = _IDENTIFIER.fullmatch(one.name) and not keyword.iskeyword(one.name) and one.name not in _OF_MAPS
        kind = kinds.get(one.kind, "Any") + (" | None" if one.nullable and one.kind in kinds else "")
        about = f"  # {one.about}" if one.about else ""
        lines.append(f"{one.name}: {kind}{about}" if usable else f"# [{json.dumps(one.name)}]: {kind}{about}")
    return lines if any(not line.startswith("#") for line in lines) else [*lines, "..."]
