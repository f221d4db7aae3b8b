"""Texts that no format likes, in requests and in answers of every format: refused or answered, and always readable."""

from __future__ import annotations

import csv
import io
import itertools
import json
import xml.etree.ElementTree as ET

import pytest

from tests.acceptance.server import Answer, Server

TAGS = "/api/v2/db/_table/tag"
ODD = ["\0", "\ud800", "\ufffe", "\x1b[31m", "\u202e", "]]>", "<b>&amp;", "\r\n", '","', "=1+1", "\U0001f375"]
KINDS = ["application/json", "application/xml", "text/csv", "text/plain"]
NUMBERS = itertools.count(1)


def read(answer: Answer) -> None:
    """The body is what its type says."""
    kind = answer.headers["content-type"].partition(";")[0]
    text = answer.body.decode()
    if kind == "application/xml":
        ET.fromstring(text)
    elif kind == "text/csv":
        assert list(csv.reader(io.StringIO(text)))
    else:
        json.loads(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_an_odd_text_is_answered_or_refused_in_every_format(server: Server, odd: str, kind: str) -> None:
    label = f"{odd} {next(NUMBERS)}"
    tunnel = {"X_HTTP_Method": "GET", "Accept": kind}
    refused = [
        server.as_key("POST", TAGS, {"fields": f"x{odd}"}, **tunnel),
        server.as_key("POST", TAGS, {"order": f"x{odd}"}, **tunnel),
        server.as_key("POST", TAGS, {"filter": f"x{odd} = 1"}, **tunnel),
        server.as_key("POST", TAGS, {"ids": [f"x{odd}"]}, **tunnel),
    ]
    made = server.as_key("POST", f"{TAGS}?fields=id,label", {"resource": [{"label": label, f"x{odd}": 1}]}, Accept=kind)
    seen = server.as_key("POST", TAGS, {"filter": "label = :l", "params": {":l": label}}, **tunnel)
    removed = server.as_key("DELETE", f"{TAGS}?filter=id%20%3E%203", Accept=kind)

    # A body that is no JSON, as with half a character in it, counts as empty.
    assert {answer.status for answer in refused} == ({200} if odd == "\ud800" else {400})
    assert made.status in (200, 400)
    assert seen.status in (200, 400)
    assert removed.status == 200
    for answer in (*refused, made, seen, removed):
        if answer.body.strip():
            read(answer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", ["%ED%A0%80", "%FF", "%00", "%EF%BF%BE", "%0D%0A"])
def test_odd_bytes_in_an_address_are_refused_in_every_format(server: Server, odd: str, kind: str) -> None:
    refused = [
        server.as_key("GET", f"{TAGS}?fields=x{odd}", Accept=kind),
        server.as_key("GET", f"{TAGS}?filter=x{odd}%20=%201", Accept=kind),
        server.as_key("GET", f"{TAGS}/x{odd}", Accept=kind),
        server.as_key("GET", f"/api/v2/db/_table/x{odd}", Accept=kind),
    ]

    assert [answer.status for answer in refused] == [400, 400, 400, 404]
    for answer in refused:
        read(answer)
