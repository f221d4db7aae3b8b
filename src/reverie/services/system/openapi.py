"""`system` and `user` as OpenAPI: their operations are those that fire events, their fields those of the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from reverie.events.names import EventPath
from reverie.model import JSON
from reverie.services.openapi import WORDS, Description, Detail, Operation, camel
from reverie.services.openapi_parts import an_object, in_resource, schema
from reverie.services.system.fields import Field, Kind

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "string", "integer": "integer", "number": "number", "boolean": "boolean", "time": "string",
}  # fmt: skip
_DONE: Final = {"get": "Read", "post": "Create", "put": "Replace", "patch": "Change", "delete": "Delete"}
_RECORDS: Final = ("fields", "related", "filter", "limit", "offset", "order", "ids", "include_count", "file")


def describe(
    service: str, events: Sequence[EventPath], fields: Mapping[str, Sequence[Field]], detail: Detail
) -> Description:
    """What a service of the platform's own can do.

    Args:
        events: as it lists them.
        fields: of the records of each resource that has some.
    """
    operations = list(_operations(service, events, fields if detail.columns else {}))
    if detail.only:
        operations = [one for one in operations if one.path.strip("/").partition("/")[0] == detail.only.lower()]
    shown = {name: list(_schemas(name, given)) for name, given in fields.items()} if detail.columns else {}
    names = dict.fromkeys(
        one.path.strip("/").partition("/")[0] for one in operations if detail.may(one.place, one.verb)
    )
    resources: list[JSON] = [name for name in names if name]
    return Description(
        operations=operations,
        schemas={name: made for pairs in shown.values() for name, made in pairs},
        resources={
            "type": service,
            "resources": resources,
            "tables": [],
            "count": len(resources),
            "note": "Resources that the caller's role allows anything with; each is at /{name}.",
        },
    )


def _operations(
    service: str, events: Sequence[EventPath], fields: Mapping[str, Sequence[Field]]
) -> Iterator[Operation]:
    for event in events:
        path = "/" + "/".join(event.name.split(".")[1:])
        name = path.strip("/").partition("/")[0]
        for verb in event.verbs:
            yield Operation(
                path=path,
                verb=verb,
                id=_operation_id(service, path, verb),
                summary=f"{_DONE[verb]} {_words(path)}.",
                parameters=_parameters(path, verb),
                body=_body(path, name, fields) if verb in ("post", "put", "patch") else None,
                answer=_answer(path, name, verb, fields),
                status="201" if verb == "post" and name in fields and not _is_one(path) else "200",
            )


def _operation_id(service: str, path: str, verb: str) -> str:
    """``getSystemRole``, ``getSystemRoleById``."""
    parts = [f"by_{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/") if part]
    return WORDS[verb] + camel(service, *(parts or ["resources"]))


def _words(path: str) -> str:
    parts = [part for part in path.strip("/").split("/") if part]
    if not parts:
        return "the list of resources"
    what = " ".join(part.replace("_", " ") for part in parts if not part.startswith("{"))
    return f"one {what}" if _is_one(path) else what


def _is_one(path: str) -> bool:
    return path.endswith("}")


def _parameters(path: str, verb: str) -> tuple[str, ...]:
    if path == "/":
        return ("fields", "as_list", "as_access_list")
    if path == "/event":
        return ("service", "as_list")
    if _is_one(path):
        return ("fields", "related")
    return (
        _RECORDS
        if verb == "get"
        else ("fields", "related", "ids", "filter")
        if verb != "post"
        else ("fields", "related")
    )


def _body(path: str, name: str, fields: Mapping[str, Sequence[Field]]) -> JSON:
    if path.endswith("/session"):
        return schema("Login")
    if name not in fields:
        return schema("RecordRequest" if _is_one(path) else "RecordsRequest")
    one = schema(f"system.{name}.sent")
    return one if _is_one(path) else {"anyOf": [in_resource(one), {"type": "array", "items": one}, one]}


def _answer(path: str, name: str, verb: str, fields: Mapping[str, Sequence[Field]]) -> JSON:
    if path == "/":
        return "ResourceList"
    if path.endswith("/session"):
        return "Anything"
    if name not in fields:
        return "Anything"
    one = schema(f"system.{name}.record")
    return one if _is_one(path) else {"anyOf": [in_resource(one, meta=schema("Metadata")), one]}


def _schemas(name: str, fields: Sequence[Field]) -> Iterator[tuple[str, JSON]]:
    """A record as it is read and as it is sent, for OpenAPI 3.1."""
    read = {one.name: _value(one) | ({} if one.writable else {"readOnly": True}) for one in fields if one.shown}
    sent = {one.name: _value(one) for one in fields if one.writable and not one.computed}
    yield f"system.{name}.record", an_object(read)
    yield f"system.{name}.sent", an_object(sent)


def _value(one: Field) -> dict[str, JSON]:
    kind = _TYPES.get(one.kind)
    if kind is None:
        return {}
    described: dict[str, JSON] = {"type": kind if one.required or not one.nullable else [kind, "null"]}
    return described | ({"maxLength": one.limit} if one.limit and not one.cut else {})
