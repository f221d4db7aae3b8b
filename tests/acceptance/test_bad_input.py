"""Bad input: each a clear refusal, nothing is lost, and the instance goes on serving."""

from __future__ import annotations

import http.client
import json
import random
import socket
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.acceptance.job_scenes import JSON, queued, script_service
from tests.acceptance.server import Answer, Server, running

PRODUCTS = "/api/v2/db/_table/product"
FILTERS = 1000
DEEP = 10_000
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reverie") / "data"
    with running(folder, REVERIE_QUEUE_TIMEOUT="1", REVERIE_QUEUE_TRIES="1") as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_is_lost(server: Server) -> Iterator[None]:
    """Every row is as it was, and the instance answers."""
    before = server.as_key("GET", PRODUCTS).json
    assert before["resource"]
    yield
    assert server.call("GET", "/ready").status == 200
    assert server.as_key("GET", PRODUCTS).json == before


def refused(answer: Answer, status: int = 400) -> str:
    """The message of a refusal; it tells nothing of our insides."""
    assert answer.status == status, answer.body[:500]
    error = answer.json["error"]
    message: str = json.dumps(error)
    assert error["message"]
    for inside in ("Traceback", "sqlite", "SELECT", 'File \\"'):
        assert inside not in message
    return message


# -- filters


class Client:
    """A key's requests on one connection that stays open."""

    def __init__(self, server: Server) -> None:
        self._headers = {"X-DreamFactory-API-Key": server.key}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(self, method: str, **query: str) -> Answer:
        self._connection.request(method, f"{PRODUCTS}?{urllib.parse.urlencode(query)}", headers=self._headers)
        response = self._connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    made = Client(server)
    yield made
    made.close()


RIGHT = [
    "id = 3",
    "unit_price > 4.5",
    "name like 'Tea%'",
    "name contains 'ea'",
    "category_id in (1, 2)",
    "sku is not null",
    "not (id >= 7)",
    "(id=1) or (id=2)",
    "(name = 'x''y') and (in_stock lt 100)",
]
WRONG = [
    "nope = 1",
    "id",
    "id = 'three'",
    "id = = 3",
    "= 3",
    "id in 1",
    "id in ()",
    "id between 1 and 3",
    "unit_price > dear",
    "category.name = 'Tea'",
    "sqlite_version() = 1",
    "1 = 1",
    "id; drop table product",
    "id = (select 1)",
    "''",
    "()",
]


def broken_filter(chance: random.Random) -> str:
    """A filter that is certainly wrong: a wrong part among right ones, or parentheses or operators that do not fit."""
    parts = [f"({part})" for part in chance.choices(RIGHT, k=chance.randint(1, 3))]
    joined = f" {chance.choice(['and', 'OR', '&&', '||'])} ".join
    match chance.randrange(5):
        case 0:
            return joined([*parts, f"({chance.choice(WRONG)})"])
        case 1:
            return joined([f"({chance.choice(WRONG)})", *parts])
        case 2:
            return joined(parts) + chance.choice([" and", " or ()", ")", " xor (id=1)", " and and (id=1)", " (id=1)"])
        case 3:
            return chance.choice(["(", "and ", "not and ", "((", ") "]) + joined(parts) + chance.choice(["", " and"])
        case _:
            return chance.choice(WRONG)


WORDS = ["id", "name", "nope", "=", "<>", ">=", "in", "like", "is null", "not", "and", "or", "(", ")", ",", "'", '"']
WORDS += ["3", "-4.5e309", "'a'", ":p", "{user.id}", "{", "%", "\\", "--", "/*", "\0", "\u202e", "\U0001f375", " ", "ß"]


def soup(chance: random.Random) -> str:
    """Words of the grammar and others in any order; now and then they make sense."""
    return chance.choice(["", " "]).join(chance.choices(WORDS, k=chance.randint(1, 20)))


def test_a_broken_filter_is_refused_and_no_row_is_deleted(client: Client) -> None:
    chance = random.Random(1)
    for _ in range(FILTERS // 2):
        text = broken_filter(chance)
        answer = client.ask(chance.choice(["GET", "DELETE"]), filter=text)
        assert answer.status == 400, (text, answer.body)
        refused(answer)


def test_any_text_as_a_filter_is_understood_or_refused(client: Client) -> None:
    chance, understood = random.Random(2), 0
    for _ in range(FILTERS // 2):
        text = soup(chance)
        answer = client.ask("GET", filter=text)
        assert answer.status in (200, 400), (text, answer.body)
        understood += answer.status == 200
        if answer.status == 400:
            refused(answer)
    assert understood < FILTERS // 10


def test_right_filters_are_understood(client: Client) -> None:
    """Else the refusals above would say nothing."""
    for text in RIGHT:
        assert client.ask("GET", filter=text).status == 200, text


def test_a_filter_of_ten_thousand_parentheses_is_refused(server: Server) -> None:
    text = "(" * DEEP + "id=1" + ")" * DEEP
    tunnelled = server.as_key("POST", PRODUCTS, {"filter": text}, X_HTTP_METHOD="GET")

    refused(tunnelled)
    refused(server.as_key("POST", PRODUCTS, {"filter": "not " * DEEP + "(id=1)"}, X_HTTP_METHOD="GET"))


# -- bodies

TARGETS = [PRODUCTS, "/api/v2/system/service", "/api/v2/system/event_script", "/api/v2/system/user"]


@pytest.mark.parametrize("path", TARGETS)
@pytest.mark.parametrize(
    "body",
    [b'{"resource": [', b"{", b"nonsense", b"\xff\xfe\x00", b'{"resource": []}}', b"[1, 2,", b'{"a": NaN}', b"'x'"],
    ids=repr,
)
def test_broken_json_is_refused(server: Server, path: str, body: bytes) -> None:
    assert "not valid JSON" in refused(server.as_admin("POST", path, body))


@pytest.mark.parametrize("path", TARGETS)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'"text"', b"17", b"true", b"[null]", b"[[]]", b'["x"]'])
def test_json_without_a_record_is_refused(server: Server, path: str, body: bytes) -> None:
    refused(server.as_admin("POST", path, body))


@pytest.mark.parametrize("path", [*TARGETS, "/api/v2/user/session", "/api/v2/db/_schema"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"resource":', b"}"), (b'[{"name":', b"}]")])
def test_json_nested_ten_thousand_deep_is_refused(server: Server, path: str, opening: bytes, closing: bytes) -> None:
    body = opening * DEEP + b"1" + closing * DEEP

    assert "nested deeper" in refused(server.as_admin("POST", path, body))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_fifty_mebibytes_is_too_large(server: Server, chunked: bool) -> None:
    assert "larger than" in refused(upload(server, 50, chunked=chunked), 413)


def upload(server: Server, mebibytes: int, *, chunked: bool) -> Answer:
    """Send a body whether anybody listens or not, then read the answer."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {mebibytes * MEBIBYTE}"
    head = f"POST {PRODUCTS} HTTP/1.1\r\nHost: here\r\nX-DreamFactory-API-Key: {server.key}\r\n{length}\r\n\r\n"
    part = b" " * MEBIBYTE
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        try:
            for _ in range(mebibytes):
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it did not wait for the rest
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        return Answer(response.status, dict(response.getheaders()), response.read())


# -- records and parameters

WRONG_VALUES: list[dict[str, JSON]] = [
    {"unit_price": "dear"},
    {"unit_price": []},
    {"category_id": "x"},
    {"category_id": 10**30},
    {"in_stock": "perhaps"},
    {"in_stock": {"a": 1}},
    {"name": None},
    {"name": {"a": 1}},
    {"name": ["x"]},
]


@pytest.mark.parametrize("values", WRONG_VALUES, ids=str)
def test_a_value_of_the_wrong_type_is_refused(server: Server, values: dict[str, JSON]) -> None:
    [field] = values
    whole = {"name": "Bad", "sku": "BAD-001", "category_id": 1, "supplier_id": 1, "unit_price": 1, **values}

    assert field in refused(server.as_key("POST", PRODUCTS, {"resource": [whole]}))
    assert field in refused(server.as_key("PATCH", f"{PRODUCTS}/1", values))


@pytest.mark.parametrize(
    "query",
    [
        "fields=nope",
        "fields=id,name;drop table product",
        "order=nope",
        "order=name;drop table product",
        "group=nope",
        "filter=nope=1",
        "filter=(id=1) and (nope='x')",
        "ids=x",
        "ids=999999",
    ],
)
def test_an_unknown_column_or_value_in_a_query_is_refused(server: Server, query: str) -> None:
    answer = server.as_key("GET", f"{PRODUCTS}?{query}")

    refused(answer, 404 if answer.status == 404 and query == "ids=999999" else 400)


@pytest.mark.parametrize(
    "service",
    [
        {"name": ["bad"], "type": "v8js"},
        {"name": "a name", "type": "v8js"},
        {"name": "bad", "type": "lua"},
        {"name": "bad", "type": ["v8js"]},
        {"name": "bad", "type": "v8js", "is_active": "perhaps"},
        {"name": "bad", "type": "v8js", "config": "text"},
        {"name": "bad", "type": "v8js", "config": {"queued": True, "content": "", "config": {"delay": "soon"}}},
        {"name": "x" * 1000, "type": "v8js"},
    ],
    ids=lambda service: json.dumps(service)[:60],
)
def test_a_service_of_the_wrong_shape_is_refused(server: Server, service: JSON) -> None:
    refused(server.as_admin("POST", "/api/v2/system/service", service))


# -- scripts

FINE = {"v8js": "return 'fine';", "nodejs": "return 'fine';", "python3": "return 'fine'"}
PRINT_MUCH = "const line = 'x'.repeat(1000000);\nfor (let i = 0; i < 100; i += 1) console.log(line);"
ALLOCATE = "const held = [];\nfor (;;) held.push(new Array(100000).fill(held.length));"
CLOSE = "const fs = require('fs');\nfor (let fd = 0; fd < 256; fd += 1) { try { fs.closeSync(fd); } catch (e) {} }"
BAD_SCRIPTS = [
    ("v8js", PRINT_MUCH, "printed more than"),
    ("nodejs", PRINT_MUCH, "printed more than"),
    ("python3", "for _ in range(100):\n    print('x' * 1000000)", "printed more than"),
    ("v8js", ALLOCATE, "out of memory"),
    ("nodejs", ALLOCATE, "out of memory"),
    ("python3", "held = []\nwhile True:\n    held.append(bytearray(1000000))", "out of memory"),
    ("nodejs", "process.exit(3);", "error code: 3"),
    ("python3", "import os\nos._exit(3)", "error code: 3"),
    ("python3", "import sys\nsys.exit(3)", "error code: 3"),
    ("nodejs", CLOSE, "script's process"),
    ("python3", "import os\nos.closerange(0, 256)", "error code"),
    ("nodejs", "require('fs').writeSync(3, 'no message at all');", "no message"),
    ("python3", "import os\nos.write(3, b'no message at all')", "no message"),
]
KINDS = ["print", "print", "print", "allocate", "allocate", "allocate", "exit", "exit", "exit", "close", "close"]
KINDS += ["answer nonsense", "answer nonsense"]


@pytest.mark.parametrize(
    ("language", "text", "says"),
    BAD_SCRIPTS,
    ids=[f"{script[0]}-{kind}" for script, kind in zip(BAD_SCRIPTS, KINDS, strict=True)],
)
def test_a_script_that_breaks_its_process_is_a_clear_error_and_the_next_one_works(
    server: Server, language: str, text: str, says: str
) -> None:
    with (
        script_service(server, language, text, queued=False) as bad,
        script_service(server, language, FINE[language], queued=False) as fine,
    ):
        assert says in refused(server.as_admin("POST", bad.path), 500)
        assert server.as_admin("POST", fine.path).json == "fine"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("v8js", "console.log('\\0\\0\\0\\x09{\"type\":1}'); return 'fine';"),
        ("nodejs", "require('fs').writeSync(1, Buffer.from([0, 0, 0, 9, 255, 254])); return 'fine';"),
        ("python3", "import os\nos.write(1, b'\\x00\\x00\\x00\\x09\\xff\\xfe')\nreturn 'fine'"),
    ],
)
def test_nonsense_on_stdout_is_output_and_no_answer(server: Server, language: str, text: str) -> None:
    with script_service(server, language, text, queued=False) as odd:
        assert server.as_admin("POST", odd.path).json == "fine"


@pytest.mark.parametrize(
    ("language", "text"), [("v8js", "for (;;);"), ("nodejs", "for (;;);"), ("python3", "while True:\n    pass")]
)
def test_a_queued_script_that_loops_for_ever_is_stopped_and_the_next_one_runs(
    server: Server, language: str, text: str
) -> None:
    with (
        script_service(server, language, text) as endless,
        script_service(server, language, FINE[language]) as fine,
    ):
        job = queued(server.as_admin("POST", endless.path))
        next_job = queued(server.as_admin("POST", fine.path))

        failed = server.wait_for_job(job, "failed", 15)
        assert failed["error"]["type"] == "ScriptTimeout"
        assert "has timed out" in failed["error"]["message"]
        assert server.wait_for_job(next_job)["crashes"] == 0
