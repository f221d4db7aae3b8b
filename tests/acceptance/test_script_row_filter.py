"""Calls that a script makes are judged by the rows of a role that are for scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.server import Server
from tests.acceptance.test_openapi import asked, key_with, service_id

RELAY = "return platform.api.get('db/_table/tag?fields=id&order=id').content;"
FIRST = {"filters": [{"name": "id", "operator": "=", "value": 1}], "filter_op": "AND"}
TAGS = {"component": "_table/tag/*", "verb_mask": 1}


@pytest.fixture(scope="module")
def relay(server: Server) -> Iterator[int]:
    record = {"name": "relay", "type": "v8js", "is_active": True, "config": {"content": RELAY}}
    made = server.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
    assert made.status == 201, made.body
    number = int(made.json["resource"][0]["id"])
    yield number
    server.as_admin("DELETE", f"/api/v2/system/service/{number}")


def ids(server: Server, key: str, path: str) -> list[int]:
    answer = asked(server, key, f"/api/v2/{path}")
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json["resource"]]


@pytest.mark.parametrize("filtered", [1, 2], ids=["clients", "scripts"])
def test_a_script_sees_what_its_row_of_the_role_lets_through(server: Server, relay: int, filtered: int) -> None:
    db = service_id(server, "db")
    rows: list[dict[str, object]] = [
        {"service_id": db, **TAGS, "requestor_mask": filtered, **FIRST},
        {"service_id": db, **TAGS, "requestor_mask": 3 - filtered},
        {"service_id": relay, "component": "", "verb_mask": 1},
    ]

    with key_with(server, *rows) as key:
        direct = ids(server, key, "db/_table/tag?fields=id&order=id")
        through = ids(server, key, "relay")

    assert (direct, through) == (([1], [1, 2, 3]) if filtered == 1 else ([1, 2, 3], [1]))
