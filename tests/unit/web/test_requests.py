"""HTTP request → Request."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest
from reverie.model import JSON, Request
from reverie.web.parameters import read_parameters
from reverie.web.requests import UnknownVerb, read_headers, read_request, split_path


def request_of(
    method: str = "GET",
    target: str = "/api/v2/db",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Request:
    path, _, query = target.partition("?")
    scope = {"method": method, "path": path, "query_string": query.encode()}
    return read_request(scope, headers or {}, body)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/api/v2/db/_table/todo/7", ("2.0", "db", "_table/todo/7")),
        ("/api/v2.0/db/_table/todo", ("2.0", "db", "_table/todo")),
        ("/api/V3.1/db", ("3.1", "db", "")),
        ("/api/db/_table/todo", ("2.0", "db", "_table/todo")),
        ("/api/v2/DB/_Table/Todo", ("2.0", "db", "_Table/Todo")),
        ("/api/v2/files/docs/", ("2.0", "files", "docs/")),
        ("/api/v2/my-db.x/a b", ("2.0", "my-db.x", "a b")),
        ("/api/video/x", ("2.0", "video", "x")),
        ("/api/v2", ("2.0", "", "")),
        ("/api/v2/", ("2.0", "", "")),
        ("/api", ("2.0", "", "")),
        ("/api/", ("2.0", "", "")),
        ("/api/v2/db/_table/../_table/category/1", ("2.0", "db", "_table/category/1")),
        ("/api/v2/files/../../etc/passwd", ("2.0", "files", "etc/passwd")),
        ("/api/v2/files/..a../b..c", ("2.0", "files", "a/bc")),
        ("/api/v2/files/a/....", ("2.0", "files", "a")),
        ("/api/v2/db//_table//todo/", ("2.0", "db", "_table/todo/")),
    ],
)
def test_a_path_is_version_service_and_resource(path: str, parts: tuple[str, str, str]) -> None:
    assert split_path(path) == parts


@pytest.mark.parametrize("path", ["/api/v2/x/" + part for part in ("../..", "a/../../..", "..//..", ".../", "..../..")])
def test_no_path_keeps_two_dots(path: str) -> None:
    assert ".." not in split_path(path)[2]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("a=1&b=&c", {"a": "1", "b": "", "c": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a%5B%5D=1", {"a": ["1"]}),
        ("a[b]=1&a[c]=2", {"a": {"b": "1", "c": "2"}}),
        ("resource[0][label]=x&resource[1][label]=y", {"resource": [{"label": "x"}, {"label": "y"}]}),
        ("a[1]=x&a[]=y", {"a": {"1": "x", "2": "y"}}),
        ("a[][b]=1&a[][b]=2", {"a": [{"b": "1"}, {"b": "2"}]}),
        ("params[:x]=1", {"params": {":x": "1"}}),
        ("product_by_category_id.fields=id,name", {"product_by_category_id.fields": "id,name"}),
        ("filter=name%20like%20%27a%25%27+and+b", {"filter": "name like 'a%' and b"}),
        ("f=a=b", {"f": "a=b"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("a[b=1&a]=2&[c]=3&a[b]x=4", {"a[b": "1", "a]": "2", "[c]": "3", "a[b]x": "4"}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=2&a=1", {"a": "1"}),
        ("a[b]=2&a[b][c]=1", {"a": {"b": {"c": "1"}}}),
        ("&&a=1&", {"a": "1"}),
        ("0=a&1=b", {"0": "a", "1": "b"}),
    ],
)
def test_a_query_becomes_a_map(query: str, parameters: dict[str, JSON]) -> None:
    assert read_parameters(query) == parameters


def test_a_query_nested_without_end_is_refused() -> None:
    with pytest.raises(BadRequest, match="nested deeper than 64"):
        read_parameters("a" + "[b]" * 10_000 + "=1")


def test_raw_bytes_in_a_query_that_are_no_utf8_do_no_harm() -> None:
    request = read_request({"method": "GET", "path": "/api/v2/db", "query_string": b"a=\xff\xfe"}, {}, b"")

    assert request.parameters == {"a": "\ufffd\ufffd"}


def test_repeated_headers_are_joined_and_names_are_lower_case() -> None:
    scope = {"headers": [(b"host", b"x"), (b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"\xe9")]}

    assert read_headers(scope) == {"host": "x", "x-a": "1,2", "x-b": "\u00e9"}


def test_a_plain_get_has_empty_maps_everywhere() -> None:
    request = request_of("GET", "/api/v2/DB/_table/todo?fields=id")

    assert request == Request(
        method="GET",
        service="db",
        resource="_table/todo",
        parameters={"fields": "id"},
        payload={},
        content=b"",
        content_type="application/json",
        uri="/api/v2/DB/_table/todo",
        api_version="2.0",
    )


@pytest.mark.parametrize("header", ["x-http-method", "x-http-method-override", "x-method-override"])
@pytest.mark.parametrize(("sent", "verb"), [("GET", "GET"), ("get", "GET"), ("Patch", "PATCH"), ("MERGE", "PATCH")])
def test_a_post_is_overridden_by_a_header(header: str, sent: str, verb: str) -> None:
    assert request_of("POST", headers={header: sent}).method == verb


@pytest.mark.parametrize("name", ["method", "_method"])
def test_a_post_is_overridden_by_the_query(name: str) -> None:
    assert request_of("POST", f"/api/v2/db?{name}=delete").method == "DELETE"


@pytest.mark.parametrize("name", ["method", "_method"])
def test_a_post_is_overridden_by_a_form_field(name: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}

    assert request_of("POST", headers=form, body=f"{name}=PUT&a=1".encode()).method == "PUT"


def test_json_that_is_sent_as_a_form_overrides_nothing() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}

    request = request_of("POST", headers=form, body=b'{"method":"DELETE"}')

    assert request.method == "POST"
    assert request.payload == {"method": "DELETE"}
    assert request_of("POST", headers=form, body=b"{a=1&_method=DELETE").method == "DELETE"


def test_a_field_of_a_json_body_overrides_nothing() -> None:
    assert request_of("POST", body=b'{"_method":"DELETE","method":"DELETE"}').method == "POST"


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_only_a_post_can_be_overridden(verb: str) -> None:
    assert request_of(verb, "/api/v2/db?method=DELETE", {"x-http-method": "DELETE"}).method == verb


@pytest.mark.parametrize("verb", ["BREW", "HEAD", "OPTIONS", "TRACE"])
def test_an_unknown_verb_cannot_be_tunnelled(verb: str) -> None:
    with pytest.raises(UnknownVerb):
        request_of("POST", headers={"x-http-method": verb})


def test_a_list_of_verbs_is_refused() -> None:
    with pytest.raises(BadRequest):
        request_of("POST", "/api/v2/db?method[]=GET&method[]=PUT")


@pytest.mark.parametrize("verb", ["BREW", "MERGE", "TRACE", "CONNECT", "get"])
def test_an_unknown_verb_is_refused(verb: str) -> None:
    with pytest.raises(UnknownVerb):
        request_of(verb)


def test_head_is_a_get() -> None:
    assert request_of("HEAD").method == "GET"
