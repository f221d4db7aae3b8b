"""A body → a structure."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.web.bodies import UNRECOGNISED, read_body

JSON_TYPE = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "content", "payload"),
    [
        (JSON_TYPE, b'{"a":[1,2.5,null,true,"x"]}', {"a": [1, 2.5, None, True, "x"]}),
        (JSON_TYPE, b"[1]", [1]),
        (JSON_TYPE, b'"x"', "x"),
        (JSON_TYPE, b"null", {}),
        (JSON_TYPE, b"", {}),
        (JSON_TYPE, b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (JSON_TYPE, b'{"a":""}', {"a": ""}),
        (JSON_TYPE, b"[123456789012345678901234567890]", [123456789012345678901234567890]),
        ("Application/JSON; Charset=UTF-8", b'{"a":"\xc3\xa9"}', {"a": "\u00e9"}),
        ("application/json; charset=iso-8859-1", b'{"a":"\xe9"}', {"a": "\u00e9"}),
        ("application/vnd.x+json", b'{"a":1}', {"a": 1}),
        (FORM, b"resource[0][label]=x+y&b=%C3%A9", {"resource": [{"label": "x y"}], "b": "\u00e9"}),
        (FORM, b'{"a":"x=1&b=2"}', {"a": "x=1&b=2"}),
        (FORM, b' [{"a":1}]\n', [{"a": 1}]),
        (FORM + "; charset=utf-8", b'{"a":"\xc3\xa9"}', {"a": "\u00e9"}),
        (FORM, b"{a=1&[b=2", {"{a": "1", "[b": "2"}),
        (FORM, b"%7B%22a%22%3A1%7D", {'{"a":1}': ""}),
        (FORM, b'"a"', {'"a"': ""}),
        (FORM, b"5", {"5": ""}),
        ("application/xml", b"<dfapi><resource><a>1</a></resource></dfapi>", {"resource": {"a": "1"}}),
        (
            "text/xml",
            b"<r><resource><a>1</a></resource><resource><a/></resource></r>",
            {"resource": [{"a": "1"}, {"a": None}]},
        ),
        ("application/xml", b"<resource><a>1</a></resource>", {"resource": {"a": "1"}}),
        ("application/xml", b"<r><x>1</x><x>2</x><x>3</x></r>", {"x": ["1", "2", "3"]}),
        ("application/xml", b"<r>&lt;b&gt; &amp; c</r>", "<b> & c"),
        ("application/xml", b'<r xmlns="urn:x"><a>1</a></r>', {"a": "1"}),
        ("text/csv", b'a,b\n1,"x,\n""y"""\n2,\n', {"resource": [{"a": "1", "b": 'x,\n"y"'}, {"a": "2", "b": ""}]}),
        ("text/csv", b"label\r\nc1\r\n", {"resource": [{"label": "c1"}]}),
        ("text/csv", b"label\n", {"resource": []}),
        ("text/plain", b'{"a":1}', '{"a":1}'),
        ("", b'{"a":1}', {"a": 1}),
        ("application/octet-stream", b' [{"a":1}]', [{"a": 1}]),
        ("", b"<r><a>1</a></r>", {"a": "1"}),
        ("", b"a,b\n1,2\n", {"resource": [{"a": "1", "b": "2"}]}),
    ],
)
def test_a_body_is_read_as_its_type_says(content_type: str, content: bytes, payload: JSON) -> None:
    assert read_body(content, content_type) == (payload, None)


@pytest.mark.parametrize(
    ("content_type", "content", "reason"),
    [
        (JSON_TYPE, b'{"a":1', "not valid JSON"),
        (JSON_TYPE, b'{"a":NaN}', "not valid JSON"),
        (JSON_TYPE, b"[1e999]", "not valid JSON"),
        (JSON_TYPE, b'{"a":"\xff"}', "not valid JSON"),
        (JSON_TYPE, b"\x00", "not valid JSON"),
        ("application/json; charset=utf-7", b"{}", "'utf-7'"),
        ("application/json; charset=punycode", b"{}", "'punycode'"),
        ("application/json; charset=ascii", b'"\xff"', "not valid ascii"),
        (FORM, b"a=\xff", "not valid utf-8"),
        ("application/xml", b"<a><b>", "not valid XML"),
        ("application/xml", b"nothing", "not valid XML"),
        ("application/xml", b'<?xml version="1.0" encoding="nope"?><a/>', "not valid XML"),
        ("application/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        ("application/xml", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        ("text/csv", b"a,b\n1,2,3\n", "record 1 has more values"),
        ("text/csv", b'a\n"x', "not valid CSV"),
        ("application/octet-stream", b"not json <<<", UNRECOGNISED),
        ("application/octet-stream", b'{"a":', UNRECOGNISED),
        ("multipart/form-data; boundary=x", b"--x\r\n", UNRECOGNISED),
        ("", b"one line, with a comma", UNRECOGNISED),
    ],
)
def test_what_cannot_be_read_is_null_with_a_reason(content_type: str, content: bytes, reason: str) -> None:
    payload, problem = read_body(content, content_type)

    assert payload is None
    assert problem is not None
    assert reason in problem


@pytest.mark.parametrize("depth", [257, 900, 10_000, 1_000_000])
@pytest.mark.parametrize("content_type", [JSON_TYPE, "", "application/xml", FORM])
def test_a_body_nested_without_end_is_refused(content_type: str, depth: int) -> None:
    content = {
        "application/xml": b"<a>" * depth + b"</a>" * depth,
        FORM: b"a" + b"[a]" * depth + b"=1",
    }.get(content_type, b"[" * depth + b"]" * depth)

    with pytest.raises(BadRequest, match="nested deeper"):
        read_body(content, content_type)


def test_a_large_flat_body_is_not_deep() -> None:
    content = b"[" + b",".join([b'{"a":[1]}'] * 10_000) + b"]"

    assert read_body(content, JSON_TYPE) == ([{"a": [1]}] * 10_000, None)


def test_256_levels_are_still_read() -> None:
    payload, problem = read_body(b"[" * 256 + b"]" * 256, JSON_TYPE)

    assert problem is None
    assert payload is not None
