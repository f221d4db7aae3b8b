"""Response → HTTP response: negotiation, downloads, wrapping, headers."""

from __future__ import annotations

import json

import pytest

from reverie.errors import BadRequest, NotFound, UnknownConnection
from reverie.model import JSON, Response
from reverie.web.responses import Wish, encode_response

TAGS: JSON = {"resource": [{"id": 1, "label": "organic"}, {"id": 2, "label": "gift"}]}
TAGS_XML = (
    '<?xml version="1.0" ?><dfapi>\n\t<resource>\n\t\t<id>1</id>\n\t\t<label>organic</label>\n\t</resource>\n'
    "\t<resource>\n\t\t<id>2</id>\n\t\t<label>gift</label>\n\t</resource>\n</dfapi>\n"
)
TAGS_CSV = "id,label\n1,organic\n2,gift\n"
TAGS_JSON = '{"resource":[{"id":1,"label":"organic"},{"id":2,"label":"gift"}]}'


def sent(
    response: Response,
    accept: str | None = None,
    parameters: dict[str, JSON] | None = None,
    headers: dict[str, str] | None = None,
    resource: str = "_table/tag",
) -> tuple[int, dict[str, str], str]:
    wishes = dict(headers or {}) | ({} if accept is None else {"accept": accept})
    status, head, body = encode_response(response, Wish(wishes, parameters or {}, resource))
    return status, {name.decode(): value.decode("latin-1") for name, value in head}, body.decode()


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        (None, "application/json", TAGS_JSON),
        ("", "application/json", TAGS_JSON),
        ("application/json", "application/json", TAGS_JSON),
        ("*/*", "application/json", TAGS_JSON),
        ("application/xml", "application/xml", TAGS_XML),
        ("text/xml", "text/xml; charset=UTF-8", TAGS_XML),
        ("text/csv", "text/csv; charset=UTF-8", TAGS_CSV),
        ("TEXT/CSV; header=present", "text/csv; charset=UTF-8", TAGS_CSV),
        ("text/plain", "text/plain; charset=UTF-8", TAGS_JSON),
        ("application/json, application/xml", "application/xml", TAGS_XML),
        ("application/xml, application/json", "application/json", TAGS_JSON),
        ("application/json;q=0.1, text/csv;q=0.9, image/png", "text/csv; charset=UTF-8", TAGS_CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json", TAGS_JSON),
        ("application/json, text/plain, */*", "application/json", TAGS_JSON),
    ],
)
def test_the_accept_header_decides_the_format(accept: str | None, content_type: str, body: str) -> None:
    status, headers, text = sent(Response(content=TAGS), accept)

    assert (status, headers["content-type"], text) == (200, content_type, body)
    assert headers["content-length"] == str(len(body))


def test_accept_in_the_query_wins() -> None:
    assert sent(Response(content=TAGS), "application/xml", {"accept": "text/csv"})[2] == TAGS_CSV


def test_only_unknown_types_are_a_plain_400() -> None:
    status, headers, text = sent(Response(content=TAGS), "image/png, video/*")

    assert status == 400
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert "image/png" in text
    assert not text.startswith("{")


def test_an_error_keeps_its_status_and_is_json_when_only_unknown_types_are_accepted() -> None:
    status, headers, text = sent(NotFound("no record with id 99").response(), "image/png")

    assert (status, headers["content-type"]) == (404, "application/json")
    assert text == '{"error":{"code":404,"context":null,"message":"no record with id 99","status_code":404}}'


def test_an_error_follows_the_accept_header() -> None:
    error = BadRequest('"a" < b & c', context={"name": ["too long"]}).response()

    assert sent(error, "text/csv")[2] == (
        'code,context,message,status_code\n400,"{""name"":[""too long""]}","""a"" < b & c",400\n'
    )
    assert sent(error, "application/xml")[2] == (
        '<?xml version="1.0" ?><dfapi>\n\t<error>\n\t\t<code>400</code>\n\t\t<context>\n\t\t\t<name>too long</name>\n'
        '\t\t</context>\n\t\t<message>"a" &lt; b &amp; c</message>\n\t\t<status_code>400</status_code>\n\t</error>\n'
        "</dfapi>\n"
    )


def test_a_bare_error_has_only_code_and_message() -> None:
    assert json.loads(sent(UnknownConnection("nope").response())[2]) == {
        "error": {"code": 500, "message": "The [nope] queue connection has not been configured."}
    }


@pytest.mark.parametrize(
    ("content", "xml"),
    [
        ({"id": 3, "description": None}, "\n\t<id>3</id>\n\t<description></description>\n"),
        ({"company": "Fjord & Field <AS>"}, "\n\t<company>Fjord &amp; Field &lt;AS&gt;</company>\n"),
        ({"a": False, "b": 6.5, "c": 6.0}, "\n\t<a>false</a>\n\t<b>6.5</b>\n\t<c>6</c>\n"),
        ({"resource": []}, "\n"),
        ({"x": {"y": []}}, "\n\t<x>\n\t</x>\n"),
        ([{"a": 1}], "\n\t<resource>\n\t\t<a>1</a>\n\t</resource>\n"),
        ({"1 x": "\x00a\ufffe"}, "\n\t<_1_x>a</_1_x>\n"),
    ],
)
def test_structures_as_xml(content: JSON, xml: str) -> None:
    assert sent(Response(content=content), "application/xml")[2] == (f'<?xml version="1.0" ?><dfapi>{xml}</dfapi>\n')


def test_a_number_as_xml_stands_alone() -> None:
    assert sent(Response(content=10), "application/xml")[2] == '<?xml version="1.0" ?><dfapi>10</dfapi>'


@pytest.mark.parametrize(
    ("content", "csv"),
    [
        ({"resource": []}, "\n\n"),
        ({"id": 1, "label": "organic"}, "id,label\n1,organic\n"),
        ({"resource": [{"a": [{"id": 5}]}], "meta": {"count": 1}}, 'a\n"[{""id"":5}]"\n'),
        ({"resource": [{"a": None, "b": True}, {"b": "x,y", "c": 1}]}, 'a,b\n,true\n,"x,y"\n'),
        ({"resource": ["a", "b"]}, "resource\na\nb\n"),
    ],
)
def test_structures_as_csv(content: JSON, csv: str) -> None:
    assert sent(Response(content=content), "text/csv")[2] == csv


@pytest.mark.parametrize(
    ("file", "content_type", "name", "body"),
    [
        ("items.csv", "text/csv; charset=UTF-8", "items.csv", TAGS_CSV),
        ("items.xml", "application/xml", "items.xml", TAGS_XML),
        ("items.json", "application/json", "items.json", TAGS_JSON),
        ("items.txt", "application/json", "items.txt", TAGS_JSON),
        ("true", "application/json", "_table/tag.json", TAGS_JSON),
        ('a"\r\nX-Evil: 1;.csv', "text/csv; charset=UTF-8", "a___X-Evil: 1_.csv", TAGS_CSV),
    ],
)
def test_file_makes_a_download(file: str, content_type: str, name: str, body: str) -> None:
    _, headers, text = sent(Response(content=TAGS), "application/json", {"file": file})

    assert (headers["content-type"], text) == (content_type, body)
    assert headers["content-disposition"] == f'attachment; filename="{name}";'


def test_a_file_name_without_a_dot_is_ignored() -> None:
    assert "content-disposition" not in sent(Response(content=TAGS), None, {"file": "items"})[1]


def test_an_error_is_no_download() -> None:
    status, headers, _ = sent(NotFound("x").response(), None, {"file": "items.csv"})

    assert (status, headers["content-type"]) == (404, "application/json")
    assert "content-disposition" not in headers


@pytest.mark.parametrize(
    ("parameters", "headers", "body"),
    [
        ({"wrap": "false"}, {}, '[{"id":1,"label":"organic"},{"id":2,"label":"gift"}]'),
        ({"wrap": "No"}, {}, '[{"id":1,"label":"organic"},{"id":2,"label":"gift"}]'),
        ({}, {"wrap": "0"}, '[{"id":1,"label":"organic"},{"id":2,"label":"gift"}]'),
        ({"wrap": "true"}, {"wrap": "0"}, TAGS_JSON),
    ],
)
def test_wrap_takes_a_list_out_of_its_wrapper(parameters: dict[str, JSON], headers: dict[str, str], body: str) -> None:
    assert sent(Response(content=TAGS, encoded=TAGS_JSON.encode()), None, parameters, headers)[2] == body


@pytest.mark.parametrize(
    "content", [{"resource": [1], "meta": {"count": 1}}, {"success": True}, {"resource": "x"}, 7, None]
)
def test_only_a_lone_list_is_unwrapped(content: JSON) -> None:
    assert sent(Response(content=content), None, {"wrap": "false"})[2] == sent(Response(content=content))[2]


def test_encoded_bytes_are_used_for_json_and_not_for_anything_else() -> None:
    response = Response(content=TAGS, encoded=b'{"encoded":1}')

    assert sent(response)[2] == '{"encoded":1}'
    assert sent(response, "image/png, application/json")[2] == '{"encoded":1}'
    assert sent(response, "text/csv")[2] == TAGS_CSV


@pytest.mark.parametrize(
    ("content", "content_type", "sent_type", "body"),
    [
        ("hi", None, "application/json", '"hi"'),
        ("hi", "text/plain", "text/plain; charset=UTF-8", "hi"),
        ("a,b", "text/csv", "text/csv; charset=UTF-8", "a,b"),
        ("<b>", "text/html; charset=utf-8", "text/html; charset=utf-8", "<b>"),
        ('{"a": 1}', "application/json", "application/json", '{"a": 1}'),
        ("hi", "application/json", "application/json", '"hi"'),
        (b"\x01raw", "image/png", "image/png", "\x01raw"),
        (b"raw", None, "application/octet-stream", "raw"),
        ({"a": 1}, "text/csv", "text/csv; charset=UTF-8", "a\n1\n"),
        ({"a": 1}, "application/vnd.x+json", "application/vnd.x+json", '{"a":1}'),
        ({"a": 1}, "text/\nx", "application/octet-stream", '{"a":1}'),
        (None, None, "application/json", ""),
        (None, "text/plain", "text/plain; charset=UTF-8", ""),
        (0, None, "application/json", "0"),
        (False, None, "application/json", "false"),
        ([], None, "application/json", "[]"),
        ("", None, "application/json", '""'),
    ],
)
def test_a_content_type_of_its_own_is_kept(
    content: JSON | bytes, content_type: str | None, sent_type: str, body: str
) -> None:
    status, headers, text = sent(Response(content=content, content_type=content_type))

    assert (status, headers["content-type"], text) == (200, sent_type, body)


def test_json_leaves_slashes_alone_and_survives_half_a_surrogate() -> None:
    assert sent(Response(content={"a": "/x/\u00e9"}))[2] == '{"a":"/x/\u00e9"}'
    assert json.loads(sent(Response(content=["\ud800"]))[2]) == ["\ud800"]


@pytest.mark.parametrize(
    ("status", "answered"),
    [(200, 200), (201, 201), (418, 418), (508, 508), (0, 500), (100, 500), (299, 500), (999, 500)],
)
def test_a_status_that_http_does_not_know_is_500(status: int, answered: int) -> None:
    assert sent(Response(status=status, content={}))[0] == answered


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    answered, headers, text = sent(Response(status=status, content={"a": 1}))

    assert (answered, text) == (status, "")
    assert "content-length" not in headers


def test_headers_of_a_script_are_sent_unless_they_cannot_be() -> None:
    response = Response(
        content={},
        headers={
            "X-A": "1",
            "Location": "/x",
            "Content-Length": "99",
            "Transfer-Encoding": "chunked",
            "X-Evil": "a\r\nSet-Cookie: b",
            "X Y": "1",
            "X-Star": "\u2605",
        },
    )

    _, headers, _ = sent(response)

    assert headers == {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-a": "1",
        "location": "/x",
        "x-star": "?",
        "content-length": "2",
    }


def test_a_content_type_among_the_headers_takes_the_place_of_ours() -> None:
    status, head, _ = encode_response(Response(content={}, headers={"Content-Type": "application/x"}), Wish({}, {}))

    assert status == 200
    assert [value for name, value in head if name == b"content-type"] == [b"application/x"]
