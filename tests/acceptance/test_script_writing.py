"""What `system` has for who writes scripts: diagnostics, declarations for editors, and runs as they end."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reverie.scripting.engines import deno
from tests.acceptance.script_stage import TABLE, Stage, each_stage, error
from tests.acceptance.server import JSONValue, Server, wait_for

stage = each_stage
CHECK = "/api/v2/system/script_check"
DECLARATIONS = "/api/v2/system/script_declaration"
TRACE = "/api/v2/system/script_trace"


# -- diagnostics


def test_a_mistake_is_told_before_anything_is_saved(server: Server) -> None:
    answer = server.as_admin("POST", CHECK, {"type": "v8js", "content": "var a = 1;\nlet b = ;"})

    assert answer.status == 200
    [found] = answer.json["diagnostics"]
    assert found == {"line": 2, "column": 9, "message": "Unexpected token ';'", "severity": "error"}
    assert answer.json["ok"] is False


@pytest.mark.parametrize(("language", "text"), [("v8js", "return 1;"), ("python3", "return 1"), ("python", "return 1")])
def test_a_text_without_a_mistake_is_told_to_be_one(server: Server, language: str, text: str) -> None:
    answer = server.as_admin("POST", CHECK, {"type": language, "content": text})

    assert (answer.json["ok"], answer.json["diagnostics"]) == (True, [])


def test_only_administrators_may_check(server: Server) -> None:
    assert server.as_key("POST", CHECK, {"type": "v8js", "content": ""}).status in (401, 403)


@pytest.mark.parametrize("body", [{}, {"type": "v8js"}, {"content": "x"}, {"type": "cobol", "content": "x"}])
def test_a_check_of_nothing_says_what_to_send(server: Server, body: JSONValue) -> None:
    answer = server.as_admin("POST", CHECK, body)

    assert answer.status == 400
    assert "v8js" in error(answer)["message"]


# -- declarations


@pytest.fixture(scope="module")
def written(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the declarations of `db`, as an editor has them."""
    folder = tmp_path_factory.mktemp("declared")
    for name, query in {
        "db.d.ts": "",
        "product.d.ts": "?event=db._table.product.post.pre_process",
        "node.d.ts": "?event=db._table.product.get.post_process&type=nodejs",
        "db.pyi": "?event=db._table.product.get.post_process",
    }.items():
        file = "db.pyi" if name.endswith(".pyi") else "db.d.ts"
        answer = server.as_admin("GET", f"{DECLARATIONS}/{file}{query}")
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"].startswith("text/plain")
        (folder / name).write_bytes(answer.body)
    return folder


def type_check(folder: Path, declared: str, texts: list[str]) -> list[str]:
    """What TypeScript's compiler says of each script, in one run of it; empty where a script fits."""
    files = [folder / f"script{number}.ts" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(f'/// <reference path="./{declared}" />\n{text}\nexport {{}};')
    path = deno.binary()
    assert path is not None
    command = [path, "check", "--quiet", "--no-remote", "--no-config", "--no-lock", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"NO_COLOR": "1"})
    complaints = re.split(r"(?=^TS\d+ )", done.stderr, flags=re.MULTILINE)
    assert all(re.search(r"script\d\.ts:\d", one) for one in complaints if one.startswith("TS")), done.stderr
    return ["".join(one for one in complaints if f"{file.name}:" in one) for file in files]


TYPESCRIPT_FITS = {
    "db.d.ts": """
        const rows: Db.Product[] = event.request.payload.resource;
        const price: number = rows[0].unit_price;
        const found = platform.api.get('db/_table/product', null, { parameters: { limit: 1 } });
        if (found.status_code >= 400) throw new Error(found.content.error.message);
        event.response = { content: { price }, status_code: 202 };
        platform.store.set('seen', platform.session.user?.email ?? platform.session.lookup.region);
        print(platform.config.api_version); var_dump(event.resource);
        const added: Db.ProductCreate = { name: 'Tea' };
    """,
    "product.d.ts": """
        for (const row of event.request.payload.resource) {
          if (row.unit_price !== undefined && row.unit_price < 0) row.unit_price = 0;
          const name: string = row.name;
          print(name);
        }
    """,
    "node.d.ts": """
        async function all() {
          const found = await platform.api.get('db/_table/product', { parameters: { limit: 1 } });
          event.setResponse(found.content, 200);
          for (const row of event.response.content.resource) print_name(row.name);
        }
        function print_name(name: string) { all(); }
    """,
}
TYPESCRIPT_DOES_NOT_FIT = {  # with the name that the compiler complains of
    "db.d.ts": {
        "const rows: Db.Product[] = []; rows[0].unit_prize;": "unit_prize",
        "const added: Db.ProductCreate = { sku: 'T-1' };": "name",
    },
    "product.d.ts": {"event.request.payload.resource[0].nmae;": "nmae", "platform.api.fetch('x');": "fetch"},
    "node.d.ts": {"platform.api.get('x').status_code;": "status_code"},
}


@pytest.mark.parametrize("declared", TYPESCRIPT_FITS)
def test_the_compiler_of_typescript_takes_a_script_that_fits_and_refuses_what_does_not(
    written: Path, declared: str
) -> None:
    wrong = TYPESCRIPT_DOES_NOT_FIT[declared]

    fits, *refused = type_check(written, declared, [TYPESCRIPT_FITS[declared], *wrong])

    assert fits == ""
    for said, name in zip(refused, wrong.values(), strict=True):
        assert f"'{name}'" in said, said


PYTHON_USE = """
from db import Product, event, platform

for row in event.response.content.resource:
    name: str = row.name
    row["name"] = name.upper()
found: list[Product] = platform.api.get("db/_table/product", {"parameters": {"limit": 1}}).content.resource
print(found, platform.session.app.id, event.request.parameters, platform.store.get("x"))
"""


def test_mypy_understands_the_stub(written: Path) -> None:
    (written / "fits.py").write_text(PYTHON_USE)
    (written / "not.py").write_text("from db import event\nn: int = event.response.content.resource[0].name\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(written / "cache"), "fits.py", "not.py"]

    done = subprocess.run(command, cwd=written, capture_output=True, text=True, timeout=120, check=False)

    assert "fits.py" not in done.stdout, done.stdout
    assert "not.py:2: error: Incompatible types" in done.stdout, done.stdout


def test_a_declaration_speaks_only_of_tables_that_the_role_reaches(stage: Stage) -> None:
    rows = [stage.access("db", "_table/category/*"), stage.access("db", "_table/category"), stage.access("system", "*")]
    _, key = stage.app(stage.role(*rows))
    headers = {"X-DreamFactory-API-Key": key}

    answer = stage.server.call("GET", f"{DECLARATIONS}/db.d.ts", headers=headers)

    assert answer.status == 200, answer.body
    assert b"interface Category" in answer.body
    assert b"Product" not in answer.body
    assert stage.server.call("GET", f"{DECLARATIONS}/user.d.ts", headers=headers).status == 404


def test_every_service_has_declarations_and_others_are_refused(server: Server) -> None:
    listed = [one["name"] for one in server.as_admin("GET", DECLARATIONS).json["resource"]]

    assert {"db.d.ts", "db.pyi", "system.d.ts"} <= set(listed)
    for name in ("system.d.ts", "user.pyi", "api_docs.d.ts"):
        assert server.as_admin("GET", f"{DECLARATIONS}/{name}").status == 200
    answer = server.as_admin("GET", f"{DECLARATIONS}/nothing.d.ts")
    assert answer.status == 404
    assert ".d.ts" in error(answer)["message"]


# -- runs


class Runs:
    """Runs as an administrator hears of them."""

    def __init__(self) -> None:
        self.told: list[JSONValue] = []
        self.heard = threading.Event()

    def of(self, script: str) -> list[JSONValue]:
        return [one for one in self.told if one.get("script") == script]

    def wait(self, script: str, count: int = 1) -> list[JSONValue]:
        wait_for(lambda: len(self.of(script)) >= count, 10, lambda: f"{self.told}")
        return self.of(script)


@contextmanager
def listening(server: Server) -> Iterator[Runs]:
    runs = Runs()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Accept": "text/event-stream", "X-DreamFactory-Session-Token": server.admin}
    connection.request("GET", TRACE, headers=headers)
    response = connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")

    def read() -> None:
        name = ""
        try:
            while line := response.readline():
                if line.startswith(b"event: listening"):
                    runs.heard.set()
                name = line[7:].strip().decode() if line.startswith(b"event: ") else name
                if line.startswith(b"data: ") and name == "run":
                    runs.told.append(json.loads(line[6:]))
        except (OSError, ValueError, AttributeError):
            return  # the test has closed it

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        assert runs.heard.wait(10)
        yield runs
    finally:
        if connection.sock is not None:
            connection.sock.shutdown(2)
        thread.join(5)
        response.close()
        connection.close()


def test_a_run_is_told_with_call_time_log_and_what_it_changed(stage: Stage) -> None:
    event = stage.on_table("post.pre_process", "v8js", "print('hello'); event.request.payload.resource[0].qty = 7;")
    with listening(stage.server) as runs:
        stage.add("one")
        [told] = runs.wait(event)

    assert (told["type"], told["call"], told["output"]) == ("v8js", f"POST db/_table/{TABLE}", "hello\n")
    assert (told["changed"], told["error"]) == (["request.payload.resource[0].qty"], None)
    assert 0 < told["seconds"] < 5
    assert abs(told["at"] - time.time()) < 60


def test_a_run_that_fails_is_told_with_its_line(stage: Stage) -> None:
    event = stage.on_table("get.pre_process", "python3", "a = 1\nprint('so far')\na.b = 2")
    with listening(stage.server) as runs:
        stage.server.as_key("GET", f"/api/v2/db/_table/{TABLE}")
        [told] = runs.wait(event)

    assert (told["error"]["kind"], told["error"]["line"], told["error"]["status_code"]) == ("AttributeError", 3, 500)
    assert "a.b = 2" in told["error"]["excerpt"]
    assert told["output"] == "so far\n"


def test_the_lines_around_an_error_show_no_private_lookup(stage: Stage) -> None:
    stage.lookup("trace_secret", "swordfish", private=True)
    event = stage.on_table("get.pre_process", "v8js", "var word = '{trace_secret}'; nothing();")
    with listening(stage.server) as runs:
        stage.server.as_key("GET", f"/api/v2/db/_table/{TABLE}")
        [told] = runs.wait(event)

    assert "{trace_secret}" in told["error"]["excerpt"]
    assert "swordfish" not in json.dumps(told)


def test_runs_of_jobs_in_the_worker_are_told_too(stage: Stage) -> None:
    event = stage.on_table("post.queued", "v8js", "print('later');")
    with listening(stage.server) as runs:
        stage.add("one")
        [told] = runs.wait(event)

    assert told["output"] == "later\n"
    assert told["job_id"]


def test_who_listens_late_hears_nothing_of_before_and_two_hear_the_same(stage: Stage) -> None:
    event = stage.on_table("get.pre_process", "v8js", "print(1);")
    stage.rows()
    with listening(stage.server) as one, listening(stage.server) as other:
        stage.rows()
        assert len(one.wait(event)) == len(other.wait(event)) == 1


def test_many_runs_at_once_are_all_told(stage: Stage) -> None:
    event = stage.on_table("get.pre_process", "v8js", "")
    with listening(stage.server) as runs:
        threads = [threading.Thread(target=stage.rows) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(runs.wait(event, 40)) == 40


def test_only_administrators_may_listen(server: Server) -> None:
    for headers in ({}, {"X-DreamFactory-API-Key": server.key}):
        answer = server.call("GET", TRACE, headers={"Accept": "text/event-stream", **headers})
        assert answer.status in (400, 401, 403)


def test_without_a_listener_no_socket_stands_in_the_folder(server: Server) -> None:
    folder = server.data / "trace"

    def sockets() -> list[Path]:
        return list(folder.glob("*.sock"))

    wait_for(lambda: not sockets(), 20)
    with listening(server):
        assert len(sockets()) == 1
    gone: Callable[[], bool] = lambda: not sockets()  # noqa: E731
    wait_for(gone, 20)
