"""A body → a structure, by its content type; without a telling one it is sniffed: JSON, XML, CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.web.parameters import read_parameters

MOST_NESTED: Final = 256
"""Levels of lists and maps in a body; far below what would exhaust the stack of whoever walks it."""
UNRECOGNISED: Final = "Unrecognized payload type"
_CHARSETS: Final = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "utf-16"}
)
_decode_json: Final = msgspec.json.Decoder().decode


class Unreadable(ValueError):
    """The body is not what its type says; the text is for the client."""


def read_body(content: bytes, content_type: str) -> tuple[JSON, str | None]:
    """The structure, and why there is none although there is a body.

    An empty body, and the JSON text ``null``, is ``{}``.

    Raises:
        BadRequest: nested deeper than `MOST_NESTED`.
    """
    if not content:
        return {}, None
    try:
        value = _reader(content_type.lower())(content, content_type.lower())
    except Unreadable as problem:
        return None, str(problem)
    return ({} if value is None else value), None


def _reader(content_type: str) -> Callable[[bytes, str], JSON]:
    kind = content_type.partition(";")[0].strip()
    if kind == "application/json" or kind.endswith("+json"):
        return _json
    for part, reader in (("x-www-form-urlencoded", _form), ("xml", _xml), ("csv", _csv), ("text/plain", _text)):
        if part in kind:
            return reader
    return _sniffed


def _text(content: bytes, content_type: str) -> str:
    found = re.search(r"charset=\"?([\w-]+)", content_type)
    charset = found[1] if found else "utf-8"
    if charset not in _CHARSETS:
        raise Unreadable(f"The character set {charset!r} of the request body is not known here; send UTF-8.")
    try:
        return content.decode("utf-8-sig" if charset in ("utf-8", "utf8") else charset)
    except UnicodeDecodeError as error:
        raise Unreadable(f"The request body is not valid {charset} (byte {error.start}).") from error


def _json(content: bytes, content_type: str) -> JSON:
    if content[:3] == b"\xef\xbb\xbf" or "charset" in content_type:
        content = _text(content, content_type).encode()
    try:
        value: JSON = _decode_json(content)
    except RecursionError:
        raise BadRequest(_too_deep()) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"The request body is not valid JSON: {error}.") from error
    if content.count(b"[") + content.count(b"{") > MOST_NESTED:
        _check_depth(value)
    return value


def _check_depth(value: JSON) -> None:
    level = [value]
    for _ in range(MOST_NESTED):
        below: list[JSON] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                below.extend(child for child in item if isinstance(child, dict | list))
        if not below:
            return
        level = below
    raise BadRequest(_too_deep())


def _too_deep() -> str:
    return f"The request body is nested deeper than {MOST_NESTED} levels."


def is_form(content: bytes, content_type: str) -> bool:
    return "x-www-form-urlencoded" in content_type.lower() and _json_within(content, content_type) is None


def _form(content: bytes, content_type: str) -> JSON:
    value = _json_within(content, content_type)
    return read_parameters(_text(content, content_type)) if value is None else value


def _json_within(content: bytes, content_type: str) -> JSON:
    """The object or array that was sent as a form, as some clients label every body; None for a real form."""
    if not _begins_like_json(content):
        return None
    try:
        return _json(content, content_type)
    except Unreadable:
        return None


def _begins_like_json(content: bytes) -> bool:
    """Whether it may be an object or an array."""
    return content.lstrip()[:1] in (b"{", b"[")


def _xml(content: bytes, content_type: str) -> JSON:
    try:
        root = SafeXml.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise Unreadable("The request body is XML with a document type, which is not accepted.") from error
    except (ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"The request body is not valid XML: {error}.") from error
    value = _element(root, MOST_NESTED)
    return {"resource": value} if _local_name(root) == "resource" else value


def _element(element: Element, levels: int) -> JSON:
    """Repeated elements become a list, an empty element null."""
    if levels == 0:
        raise BadRequest(_too_deep())
    if not len(element):
        return element.text or None
    fields: dict[str, JSON] = {}
    repeated: set[str] = set()
    for child in element:
        name, value = _local_name(child), _element(child, levels - 1)
        if name in repeated:
            several = fields[name]
            assert isinstance(several, list)  # noqa: S101 - `repeated` says so
            several.append(value)
        elif name in fields:
            fields[name] = [fields[name], value]
            repeated.add(name)
        else:
            fields[name] = value
    return fields


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _csv(content: bytes, content_type: str) -> JSON:
    text = _text(content, content_type)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise Unreadable(f"The request body is not valid CSV: {error}.") from error
    names = rows[0] if rows else []
    for at, row in enumerate(rows[1:], start=1):
        if len(row) > len(names):
            raise Unreadable(f"The request body is not valid CSV: record {at} has more values than there are names.")
    records: list[JSON] = [dict(zip(names, row, strict=False)) for row in rows[1:]]
    return {"resource": records}


def _sniffed(content: bytes, content_type: str) -> JSON:
    try:
        if _begins_like_json(content):
            return _json(content, "")
        if content.lstrip()[:1] == b"<":
            return _xml(content, "")
        first_line = content.partition(b"\n")
        if b"," in first_line[0] and first_line[2].strip():
            return _csv(content, "")
    except Unreadable as problem:
        raise Unreadable(f"{UNRECOGNISED}. {problem}") from problem
    raise Unreadable(UNRECOGNISED)
