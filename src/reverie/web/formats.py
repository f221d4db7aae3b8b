"""A structure → JSON, XML or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias
from xml.sax.saxutils import escape

import msgspec

from reverie.model import JSON

Records: TypeAlias = "Sequence[Mapping[str, JSON]]"

ROOT: Final = "dfapi"
WRAPPER: Final = "resource"
_encode: Final = msgspec.json.Encoder().encode
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]")


def as_json(content: JSON) -> bytes:
    """Slashes stay as they are; a half surrogate, which UTF-8 cannot say, is escaped."""
    try:
        return _encode(content)
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def as_xml(content: JSON) -> bytes:
    """A list repeats its key, null is an empty element, tabs indent."""
    opening = f'<?xml version="1.0" ?><{ROOT}>'
    if isinstance(content, dict | list):
        fields = content if isinstance(content, dict) else {WRAPPER: content}
        return f"{opening}\n{''.join(_elements(fields, 1))}</{ROOT}>\n".encode()
    return f"{opening}{_xml_text(content)}</{ROOT}>".encode()


def _elements(fields: Mapping[str, JSON], level: int) -> Iterator[str]:
    indent = "\t" * level
    for key, value in fields.items():
        name = _xml_name(key)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, list):
                item = {"item": item}
            if isinstance(item, dict):
                yield f"{indent}<{name}>\n"
                yield from _elements(item, level + 1)
                yield f"{indent}</{name}>\n"
            else:
                yield f"{indent}<{name}>{_xml_text(item)}</{name}>\n"


def _xml_name(key: str) -> str:
    name = _NOT_IN_NAMES.sub("_", key)
    return name if name and (name[0].isalpha() or name[0] == "_") else f"_{name}"


def _xml_text(value: JSON) -> str:
    return escape(_NOT_IN_XML.sub("", _plain(value)))


def as_csv(content: JSON) -> bytes:
    """Names from the first record; what is nested is JSON text; ``meta`` is dropped; no record, two empty lines."""
    records = list(_records(content))
    if not records:
        return b"\n\n"
    names = list(records[0])
    return _csv_lines([names]) + _csv_lines([_cell(record.get(name)) for name in names] for record in records)


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


# -- lists in parts: opening, each part, closing; together what the functions above make of the whole


class Pieces(Protocol):
    """One format of a list whose records come in parts."""

    def opening(self, first: Records) -> bytes: ...
    def part(self, records: Records, *, first: bool) -> bytes: ...
    def closing(self, meta: Mapping[str, JSON]) -> bytes: ...


class JsonPieces:
    """Args:
    wrapped: under ``resource``; a list with `meta` always is.
    """

    def __init__(self, *, wrapped: bool) -> None:
        self._wrapped = wrapped

    def opening(self, first: Records) -> bytes:
        return b'{"%s":[' % WRAPPER.encode() if self._wrapped else b"["

    def part(self, records: Records, *, first: bool) -> bytes:
        text = as_json([dict(record) for record in records])[1:-1]
        return text if first else b"," + text

    def closing(self, meta: Mapping[str, JSON]) -> bytes:
        if not self._wrapped:
            return b"]"
        return b"]}" if not meta else b'],"meta":' + as_json(dict(meta)) + b"}"


class XmlPieces:
    def opening(self, first: Records) -> bytes:
        return f'<?xml version="1.0" ?><{ROOT}>\n'.encode()

    def part(self, records: Records, *, first: bool) -> bytes:
        return "".join(_elements({WRAPPER: [dict(record) for record in records]}, 1)).encode()

    def closing(self, meta: Mapping[str, JSON]) -> bytes:
        beside = "".join(_elements({"meta": dict(meta)}, 1)) if meta else ""
        return f"{beside}</{ROOT}>\n".encode()


class CsvPieces:
    def __init__(self) -> None:
        self._names: list[str] = []

    def opening(self, first: Records) -> bytes:
        self._names = list(first[0])
        return _csv_lines([self._names])

    def part(self, records: Records, *, first: bool) -> bytes:
        return _csv_lines([_cell(record.get(name)) for name in self._names] for record in records)

    def closing(self, meta: Mapping[str, JSON]) -> bytes:
        return b""


def pieces(kind: str, *, wrapped: bool) -> Pieces:
    """The format that a content type names."""
    if kind in ("application/xml", "text/xml"):
        return XmlPieces()
    return CsvPieces() if kind == "text/csv" else JsonPieces(wrapped=wrapped)


def _records(content: JSON) -> Iterator[Mapping[str, JSON]]:
    """The rows of a table: the wrapped list, a bare list, an error, or one record."""
    if isinstance(content, dict):
        error = content.get("error")
        rows = content.get(WRAPPER)
        if isinstance(error, dict) and len(content) == 1:
            content = error
        elif isinstance(rows, list):
            content = rows
    for item in content if isinstance(content, list) else [content]:
        yield item if isinstance(item, dict) else {WRAPPER: item}


def _cell(value: JSON) -> str:
    return as_json(value).decode() if isinstance(value, dict | list) else _plain(value)


def _plain(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else as_json(value).decode()
