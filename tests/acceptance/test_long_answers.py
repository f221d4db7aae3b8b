"""A hundred thousand rows, as a client gets them: whole, in little memory, or visibly not at all."""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.server import Server, running

ROWS = 100_000
CEILING = 12 * 1024 * 1024
"""Bytes that the server may grow by; the answer alone has 6 MB, its records as Python objects some 40."""
LINES = f"/api/v2/lines/_table/line?order=id&limit={ROWS}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("long")
    file = folder / "lines.sqlite"
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
        rows = ((number, f"line number {number}", number / 4) for number in range(1, ROWS + 1))
        made.executemany("INSERT INTO line VALUES (?, ?, ?)", rows)
    made.close()
    with running(folder / "data", REVERIE_WORKERS="0") as started:
        config = {"database": str(file), "max_records": ROWS}
        record = {"name": "lines", "type": "sqlite", "is_active": True, "config": config}
        answer = started.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
        assert answer.status == 201, answer.body
        started.as_admin("GET", "/api/v2/lines/_table/line?limit=2000")
        yield started


def memory(server: Server) -> int:
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    return max(int(one.memory_info().rss) for one in (parent, *parent.children(recursive=True)))


def read_slowly(server: Server, path: str, accept: str = "application/json") -> tuple[bytes, int]:
    """The body, and the most memory that a process of the server had meanwhile."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"X-DreamFactory-Session-Token": server.admin, "Accept": accept}
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("transfer-encoding") == "chunked"
    body, most = b"", 0
    while chunk := response.read(1024 * 1024):
        body += chunk
        most = max(most, memory(server))
    connection.close()
    return body, most


def test_a_long_list_comes_whole_as_json_and_as_csv_in_little_memory(server: Server) -> None:
    before = memory(server)

    body, most = read_slowly(server, LINES)
    sheet, most_for_csv = read_slowly(server, LINES + "&file=lines.csv")

    records = json.loads(body)["resource"]
    assert (len(records), records[-1]) == (ROWS, {"id": ROWS, "name": f"line number {ROWS}", "price": ROWS / 4})
    rows = list(csv.reader(io.StringIO(sheet.decode())))
    assert (rows[0], len(rows)) == (["id", "name", "price"], ROWS + 1)
    assert max(most, most_for_csv) - before < CEILING


def test_who_reads_slowly_or_goes_away_holds_nothing(server: Server) -> None:
    before = memory(server)
    gone = []
    for _ in range(4):
        plain = socket.create_connection(("127.0.0.1", server.port))
        plain.sendall(
            f"GET {LINES} HTTP/1.1\r\nHost: x\r\nX-DreamFactory-Session-Token: {server.admin}\r\n\r\n".encode()
        )
        assert plain.recv(1000).startswith(b"HTTP/1.1 200")
        gone.append(plain)

    refused = server.as_admin("GET", LINES)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert memory(server) - before < CEILING
    for plain in gone:
        plain.close()

    deadline = time.monotonic() + 10
    while server.as_admin("GET", LINES + "&fields=id").status != 200:
        assert time.monotonic() < deadline


def test_an_answer_that_cannot_be_finished_ends_its_connection(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "torn.sqlite"
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, name TEXT)")
        made.executemany("INSERT INTO line VALUES (?, ?)", ((number, "x" * 200) for number in range(20_000)))
        # The first half of the rows can be read, one behind it cannot.
        overflow = "abs(-9223372036854775807 - 1)"
        made.execute(
            f"CREATE VIEW torn AS SELECT id, CASE WHEN id = 15000 THEN {overflow} ELSE name END AS name FROM line"
        )
    made.close()
    record = {
        "name": "torn",
        "type": "sqlite",
        "is_active": True,
        "config": {"database": str(file), "max_records": ROWS},
    }
    assert server.as_admin("POST", "/api/v2/system/service", {"resource": [record]}).status == 201

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(
        "GET", "/api/v2/torn/_table/torn?limit=20000", headers={"X-DreamFactory-Session-Token": server.admin}
    )
    response = connection.getresponse()

    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def test_a_script_that_sees_the_answer_gets_it_whole(server: Server) -> None:
    name = "lines._table.line.get.post_process"
    script = {
        "name": name, "type": "python3", "is_active": True, "allow_event_modification": True,
        "content": "event['response']['content'] = {'seen': len(event['response']['content']['resource'])}",
    }  # fmt: skip
    path = f"/api/v2/system/event_script/{name}"
    assert server.as_admin("POST", path, script).status < 300
    try:
        answer = server.as_admin("GET", "/api/v2/lines/_table/line?limit=3000&fields=id")
    finally:
        server.as_admin("DELETE", path)
    assert answer.json == {"seen": 3000}


def test_an_answer_says_how_long_its_parts_took_to_administrators_alone(server: Server) -> None:
    for path in ("/api/v2/db/_table/tag?limit=3", "/api/v2/db/_table/tag/1", "/api/v2/db/_table/tag?filter=id>0"):
        parts = server.as_admin("GET", path).headers["server-timing"]
        assert [part.split(";")[0] for part in parts.split(", ")] == ["gate", "database", "total"]
        assert "server-timing" not in server.as_key("GET", path).headers


def test_an_administrator_learns_what_a_role_adds_to_a_read(server: Server) -> None:
    made = server.as_admin("GET", "/api/v2/system/service?filter=name='db'").json["resource"][0]["id"]
    access = {
        "service_id": made, "component": "_table/tag/*", "verb_mask": 1, "requestor_mask": 1,
        "filters": [{"name": "id", "operator": ">", "value": 1}], "filter_op": "AND",
    }  # fmt: skip
    record = {"name": "Guests", "is_active": True, "role_service_access_by_role_id": [access]}
    role = server.as_admin("POST", "/api/v2/system/role", {"resource": [record]}).json["resource"][0]["id"]
    path = "/api/v2/db/_table/tag?limit=3"

    answer = server.as_admin("GET", path, X_Reverie_Explain=f"role={role}")

    explained = answer.json["explain"]
    assert explained["role"]["name"] == "Guests"
    assert explained["role"]["conditions"] == [{"filters": access["filters"], "filter_op": "AND"}]
    [statement] = explained["statements"]
    assert statement["values"][0] == 1
    assert server.as_admin("GET", path, X_Reverie_Explain="role=999").status == 404
    assert server.as_key("GET", path, X_Reverie_Explain="true").status == 403


def test_a_list_that_the_client_has_is_not_sent_again(server: Server) -> None:
    path = "/api/v2/db/_table/tag?order=id"
    first = server.as_key("GET", path)

    assert server.as_key("GET", path, If_None_Match=first.headers["etag"]).status == 304
    made = server.as_key("POST", "/api/v2/db/_table/tag?fields=*", {"resource": [{"label": "another"}]})
    assert made.status == 200, made.body
    assert server.as_key("GET", path, If_None_Match=first.headers["etag"]).status == 200


def test_a_long_answer_is_compressed_on_its_way(server: Server) -> None:
    plain = server.as_admin("GET", LINES + "&fields=id")
    packed = server.as_admin("GET", LINES + "&fields=id", Accept_Encoding="gzip")

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 3
