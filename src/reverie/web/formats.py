"""A structure → JSON, XML or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from reverie.model import JSON

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(record.get(name)) for name in names] for record in records)
    return text.getvalue().encode("utf-8", "replace")


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
