"""HTTP request → Request. On the hot path: the path is taken apart by hand, and nothing is read twice."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from reverie.errors import BadRequest, MethodNotAllowed, TooLarge
from reverie.model import JSON, Request
from reverie.web.bodies import is_form, read_body
from reverie.web.parameters import read_parameters

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

VERBS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
ALLOWED: Final = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
OVERRIDE_HEADERS: Final = ("x-http-method", "x-http-method-override", "x-method-override")
OVERRIDE_FIELDS: Final = ("method", "_method")
_VERSION: Final = re.compile(r"v(\d+(?:\.\d+)*)", re.IGNORECASE)


class UnknownVerb(MethodNotAllowed):
    """A verb that no path has, sent or tunnelled; answered before anybody asks who is calling."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"The verb {verb[:40]!r} is not one of {ALLOWED}.", headers={"Allow": ALLOWED})


class ClientGone(Exception):
    """The client went away before its body had arrived; nobody waits for an answer."""


def read_headers(scope: Scope) -> dict[str, str]:
    """Names in lower case, repeated headers joined with ``,``."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def has_no_body(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes without a body for certain."""
    return method == "GET" and "content-length" not in headers and "transfer-encoding" not in headers


async def receive_body(method: str, headers: Mapping[str, str], receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: more than *limit* bytes; the rest was not read.
        ClientGone: the connection ended first.
    """
    if has_no_body(method, headers):
        return b""
    length = headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than the {limit} bytes that this instance accepts.")


def read_request(scope: Scope, headers: dict[str, str], content: bytes) -> Request:
    """The request that the dispatcher sees; ``service`` is ``""`` for the index of all services.

    Raises:
        UnknownVerb: no such verb, or none such may be tunnelled.
        BadRequest: query or body nested too deeply.
    """
    path: str = scope["path"]
    version, service, resource = split_path(path)
    query: bytes = scope["query_string"]
    parameters = read_parameters(query.decode("utf-8", "replace")) if query else {}
    content_type = headers.get("content-type") or "application/json"
    payload: JSON = {}
    payload_error: str | None = None
    if content:
        payload, payload_error = read_body(content, headers.get("content-type", ""))
    method: str = scope["method"]
    if method == "POST":
        method = _tunnelled(headers, parameters, payload if is_form(content, content_type) else None)
    elif method == "HEAD":
        method = "GET"
    if method not in VERBS:
        raise UnknownVerb(method)
    return Request(
        method=method,
        service=service,
        resource=resource,
        parameters=parameters,
        headers=headers,
        payload=payload,
        content=content,
        content_type=content_type,
        uri=path,
        api_version=version,
        payload_error=payload_error,
    )


def _tunnelled(headers: Mapping[str, str], parameters: Mapping[str, JSON], form: JSON) -> str:
    """The verb that a POST stands for."""
    wanted: JSON = None
    for name in OVERRIDE_HEADERS:
        wanted = wanted or headers.get(name)
    for name in OVERRIDE_FIELDS:
        wanted = wanted or parameters.get(name)
    if isinstance(form, dict):
        wanted = wanted or form.get("_method") or form.get("method")
    if not wanted:
        return "POST"
    if not isinstance(wanted, str):
        raise BadRequest("The verb of the request must be one text.")
    verb = wanted.strip().upper()
    return "PATCH" if verb == "MERGE" else verb


def split_path(path: str) -> tuple[str, str, str]:
    """``/api/v2/DB/_table/todo`` → version ``2.0``, service ``db``, resource ``_table/todo``; the version may lack."""
    first, _, rest = path[5:].partition("/")
    version = "2.0"
    if first == "v2":
        first, _, rest = rest.partition("/")
    elif (found := _VERSION.fullmatch(first)) is not None:
        version = found[1] if "." in found[1] else found[1] + ".0"
        first, _, rest = rest.partition("/")
    if ".." in rest or "//" in rest or rest.startswith("/"):
        rest = _straight(rest)
    return version, first.lower(), rest


def _straight(resource: str) -> str:
    """One way to write a path, so that access is checked on the very path that is used.

    A segment ``..`` leads one level up and never out of the service; inside other segments ``..`` is deleted; empty
    segments vanish, a trailing slash stays.
    """
    kept: list[str] = []
    for segment in resource.split("/"):
        if segment == "..":
            del kept[-1:]
        elif name := segment.replace("..", ""):
            kept.append(name)
    return "/".join(kept) + ("/" if kept and resource.endswith("/") else "")
