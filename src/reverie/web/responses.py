"""Response → HTTP response: the format that the client asked for, as the table in docs/reference/formats.md says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec
import structlog

from reverie.model import JSON, Response
from reverie.web.formats import WRAPPER, as_csv, as_json, as_xml

Headers: TypeAlias = list[tuple[bytes, bytes]]

_STATUSES: Final = frozenset(status.value for status in HTTPStatus if status.value >= 200)
_BODILESS: Final = frozenset({204, 304})
_JSON_TYPE: Final = (b"content-type", b"application/json")
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_SHORT_CUTS: Final = frozenset(
    {"", "*/*", "application/json", "application/json, */*", "application/json, text/plain, */*"}
)
"""Values of Accept that need no look at the table."""
_FORMATS: Final[Mapping[str, Callable[[JSON], bytes]]] = {
    "application/json": as_json,
    "application/xml": as_xml,
    "text/xml": as_xml,
    "text/csv": as_csv,
    "text/plain": as_json,
}
_EXTENSIONS: Final = {"json": "application/json", "xml": "application/xml", "csv": "text/csv"}
_OURS: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te", "x-request-id"}
)
"""Headers that belong to the connection, or that only we can know."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})

log = structlog.get_logger()


class Wish(NamedTuple):
    """What of a request decides the form of its answer."""

    headers: Mapping[str, str]
    parameters: Mapping[str, JSON]
    resource: str = ""


@dataclass(frozen=True, slots=True)
class _Body:
    status: int
    content_type: str
    content: bytes


def encode_response(response: Response, wish: Wish) -> tuple[int, Headers, bytes]:
    """Status, headers and body; length and type are among the headers."""
    headers, parameters = wish.headers, wish.parameters
    status = response.status if response.status in _STATUSES else 500
    accept = parameters.get("accept") or headers.get("accept")
    if (
        response.content_type is None
        and (accept is None or (isinstance(accept, str) and accept in _SHORT_CUTS))
        and not isinstance(response.content, bytes)
        and "file" not in parameters
        and "wrap" not in parameters
        and "wrap" not in headers
    ):
        body = b"" if response.content is None else response.encoded or as_json(response.content)
        head: Headers = [_JSON_TYPE, _NO_SNIFFING]
    else:
        made = _formed(response, status, wish, accept if isinstance(accept, str) else "")
        status, body = made.status, made.content
        head = [(b"content-type", _labelled(made.content_type)), _NO_SNIFFING]
        if status < 400 and (name := _file_name(wish)):
            head.append(_attached(name))
    if response.headers:
        add_headers(head, response.headers)
    if status in _BODILESS:
        return status, head, b""
    head.append((b"content-length", b"%d" % len(body)))
    return status, head, body


def list_format(wish: Wish) -> tuple[str | None, bool, Headers]:
    """How a list that comes in parts goes out: its content type, None for none that the client takes; whether the
    client wants it without its wrapper; and its headers."""
    accept = wish.parameters.get("accept") or wish.headers.get("accept")
    chosen = _forced(wish) or _chosen(accept if isinstance(accept, str) else "")
    head: Headers = [(b"content-type", _labelled(chosen or "text/plain")), _NO_SNIFFING]
    if name := _file_name(wish):
        head.append(_attached(name))
    return chosen, _no_wrapper(wish), head


def _formed(response: Response, status: int, wish: Wish, accept: str) -> _Body:
    content, given = response.content, response.content_type
    if content is None:
        return _Body(status, given or "application/json", b"")
    if isinstance(content, bytes):
        return _Body(status, given or "application/octet-stream", content)
    if given is not None:
        return _Body(status, given, _as_given(content, given))
    if status < 400:
        content = _unwrapped(content, wish)
    chosen = _forced(wish) if status < 400 else None
    chosen = chosen or _chosen(accept)
    if chosen is None and status < 400:
        return _none_of(accept)
    chosen = chosen or "application/json"
    if response.encoded is not None and content is response.content and _FORMATS[chosen] is as_json:
        return _Body(status, chosen, response.encoded)
    return _Body(status, chosen, _FORMATS[chosen](content))


def _none_of(accept: str) -> _Body:
    known = ", ".join(_FORMATS)
    return _Body(400, "text/plain", f"None of {accept!r} can be had here; there are {known}.".encode())


def _as_given(content: JSON, content_type: str) -> bytes:
    """A text goes out as it is, but what is called JSON is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if not isinstance(content, str):
        return _FORMATS.get(kind, as_json)(content)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            msgspec.json.decode(content)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return as_json(content)
    return content.encode("utf-8", "replace")


def _chosen(accept: str) -> str | None:
    """Of an Accept list: JSON with ``*/*`` or when it is empty, else the last known type; weights do not count."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    if not kinds or "*/*" in kinds:
        return "application/json"
    return next((kind for kind in reversed(kinds) if kind in _FORMATS), None)


def _unwrapped(content: JSON, wish: Wish) -> JSON:
    """``wrap=false`` takes a list out of its wrapper, unless ``meta`` stands beside it."""
    if _no_wrapper(wish) and isinstance(content, dict) and len(content) == 1:
        items = content.get(WRAPPER)
        return items if isinstance(items, list) else content
    return content


def _no_wrapper(wish: Wish) -> bool:
    wrap = wish.parameters.get("wrap", wish.headers.get("wrap"))
    return isinstance(wrap, str) and wrap.strip().lower() in _FALSE


def _file_name(wish: Wish) -> str:
    """Name of the download, or ``""``: ``file=items.csv``, or ``file=true`` for the path as JSON."""
    name = wish.parameters.get("file")
    if not isinstance(name, str):
        return ""
    if name.strip().lower() == "true":
        name = f"{wish.resource.strip('/')}.json"
    return re.sub(r'[\x00-\x1f\x7f"\\;]', "_", name)[:255] if "." in name else ""


def _attached(name: str) -> tuple[bytes, bytes]:
    return (b"content-disposition", f'attachment; filename="{name}";'.encode("latin-1", "replace"))


def _forced(wish: Wish) -> str | None:
    return _EXTENSIONS.get(_file_name(wish).rpartition(".")[2].lower())


def _labelled(content_type: str) -> bytes:
    """The header's value: texts say that they are UTF-8."""
    if not re.fullmatch(r"[\x20-\x7e]+", content_type):
        return b"application/octet-stream"
    if content_type.lower().startswith("text/") and "charset" not in content_type.lower():
        return f"{content_type}; charset=UTF-8".encode()
    return content_type.encode()


def add_headers(head: Headers, extra: Mapping[str, str]) -> None:
    """Put what a service or a script gave into *head*; what cannot be sent is dropped and logged."""
    for name, value in extra.items():
        lower, text = name.lower(), str(value)
        if lower in _OURS:
            continue
        if not _HEADER_NAME.fullmatch(name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
            log.warning("response.header_dropped", header=name[:80])
            continue
        pair = (lower.encode(), text.encode("latin-1", "replace"))
        if lower == "content-type":
            head[0] = pair
        else:
            head.append(pair)
