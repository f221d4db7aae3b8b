"""What `system` has for who writes scripts: diagnostics, and declarations for editors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reverie.scripting.engines import deno
from tests.acceptance.script_stage import Stage, each_stage, error
from tests.acceptance.server import JSONValue, Server

stage = each_stage
CHECK = "/api/v2/system/script_check"
DECLARATIONS = "/api/v2/system/script_declaration"


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


def type_check(folder: Path, declared: str, text: str) -> tuple[int, str]:
    """What TypeScript's compiler says."""
    file = folder / "script.ts"
    file.write_text(f'/// <reference path="./{declared}" />\n{text}')
    path = deno.binary()
    assert path is not None
    command = [path, "check", "--quiet", "--no-remote", "--no-config", "--no-lock", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"NO_COLOR": "1"})
    return done.returncode, done.stderr


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
TYPESCRIPT_DOES_NOT_FIT = [
    ("db.d.ts", "const rows: Db.Product[] = []; rows[0].unit_prize;", "unit_prize"),
    ("db.d.ts", "const added: Db.ProductCreate = { sku: 'T-1' };", "name"),
    ("product.d.ts", "event.request.payload.resource[0].nmae;", "nmae"),
    ("product.d.ts", "platform.api.fetch('x');", "fetch"),
    ("node.d.ts", "platform.api.get('x').status_code;", "status_code"),
]


@pytest.mark.parametrize("declared", TYPESCRIPT_FITS)
def test_the_compiler_of_typescript_takes_a_script_that_fits(written: Path, declared: str) -> None:
    status, said = type_check(written, declared, TYPESCRIPT_FITS[declared])

    assert status == 0, said


@pytest.mark.parametrize(("declared", "text", "complaint"), TYPESCRIPT_DOES_NOT_FIT)
def test_the_compiler_of_typescript_refuses_what_does_not_fit(
    written: Path, declared: str, text: str, complaint: str
) -> None:
    status, said = type_check(written, declared, text)

    assert status != 0
    assert f"'{complaint}'" in said, said


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
