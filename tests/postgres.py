"""A real PostgreSQL for tests: started from the installed binaries, on a free port, in a folder of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import getpass
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from reverie.demo import sample_sql
from reverie.model import JSON
from reverie.store.migrate import migrate

USER: Final = "reverie"
_TEMPLATE: Final = "reverie_template"
_numbers = itertools.count(1)


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return None if named is None else Path(named).resolve().parent


def _servant() -> str | None:
    """PostgreSQL refuses to be root: who runs it then."""
    return "nobody" if os.geteuid() == 0 else None


class PostgresServer:
    """One server; `start` and `stop` as often as a test likes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        found = binaries()
        assert found is not None
        self._bin = found
        self.folder = folder
        self.servant = _servant() or getpass.getuser()
        self.port = _free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        if (servant := _servant()) is not None:
            shutil.chown(folder, servant)
        options = ["--auth=trust", "--username", USER, "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "-D", str(folder / "data"), *options)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(command, user=_servant(), cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def url(self, database: str = "postgres", **parameters: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"sslmode": "disable", **parameters}.items())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}?{query}"

    def start(self) -> None:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "100",
            **self._settings,
        }
        named = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *named],
                user=_servant(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        return subprocess.run(command).returncode == 0

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: as a restart of the service does it; SIGQUIT: as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def freeze(self, *, on: bool) -> None:
        """Stop answering without closing anything, as behind a cut cable: every process of the server is stopped."""
        assert self._process is not None
        import psutil

        server = psutil.Process(self._process.pid)
        for one in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend() if on else one.resume()

    def ask(self, sql: str, *values: object, database: str = "postgres") -> list[Any]:
        async def asked() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                rows: list[Any] = await connection.fetch(sql, *values)
                return rows
            finally:
                await connection.close()

        answer: list[Any] = _apart(asked)
        return answer

    def kill_backends(self, database: str) -> int:
        """End every connection to *database*, as an administrator does."""
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
        return len(self.ask(sql, database))

    def new_database(self, *, migrated: bool = True) -> str:
        """The name of a database that nobody has used."""
        name = f"t{next(_numbers)}_{os.getpid()}"
        template = self._template() if migrated else "template0"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @functools.cache  # noqa: B019 - one server for each session
    def _template(self) -> str:
        self.ask(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        migrate(self.url(_TEMPLATE))
        return _TEMPLATE

    def drop(self, database: str) -> None:
        self.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def _apart(work: Any) -> Any:
    """Run a coroutine on a thread of its own: tests may have a loop already."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def require_postgres() -> None:
    """Skip where PostgreSQL is not installed; in CI that is a failure."""
    if binaries() is None:
        reason = "PostgreSQL is not installed (initdb was not found)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@contextlib.contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """A server of one's own, to be stopped and frozen at will."""
    require_postgres()
    folder = Path(tempfile.mkdtemp(prefix="reverie-pg-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(how=signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def shared_server() -> PostgresServer:
    """The server of this test session; started when the first test wants it, ended with the process."""
    require_postgres()
    stack = contextlib.ExitStack()
    server = stack.enter_context(postgres_server())
    atexit.register(stack.close)
    return server


@contextlib.contextmanager
def database_url(*, migrated: bool = True, **parameters: str) -> Iterator[str]:
    """A database of the shared server, gone afterwards; empty unless *migrated*."""
    server = shared_server()
    name = server.new_database(migrated=migrated)
    try:
        yield server.url(name, **parameters)
    finally:
        server.drop(name)


ROUTINES: Final = """
CREATE FUNCTION add_tax(amount numeric, pct numeric) RETURNS numeric
  LANGUAGE sql AS $$ SELECT amount + amount * pct / 100 $$;
CREATE FUNCTION cheap_products(top numeric) RETURNS TABLE(id integer, name varchar)
  LANGUAGE sql AS $$ SELECT p.id, p.name FROM product p WHERE p.unit_price <= top ORDER BY p.id $$;
CREATE PROCEDURE bump_stock(INOUT pid integer, IN qty integer)
  LANGUAGE plpgsql AS $$ BEGIN UPDATE product SET in_stock = in_stock + qty WHERE id = pid
    RETURNING in_stock INTO pid; END $$;
"""


def sample_for_postgresql() -> str:
    """The sample's tables and rows as the note at its top says, and routines beside them."""
    text = "\n".join(line for line in sample_sql().splitlines() if not line.startswith("PRAGMA"))
    for theirs, ours in (("INTEGER PRIMARY KEY", "SERIAL PRIMARY KEY"), ("DATETIME", "TIMESTAMP"), ("BLOB", "BYTEA")):
        text = text.replace(theirs, ours)
    return text + ROUTINES


@functools.cache
def _sample_template() -> str:
    server = shared_server()
    name = f"sample_{os.getpid()}"
    server.ask(f"CREATE DATABASE {name} TEMPLATE template0")

    async def fill() -> None:
        connection = await asyncpg.connect(server.url(name))
        try:
            await connection.execute(sample_for_postgresql())
        finally:
            await connection.close()

    _apart(fill)
    return name


class SamplePlace:
    """A database of the shared server that holds the sample; `config` is what a service on it is set to."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self.name = name
        self.config: dict[str, JSON] = {
            "host": "127.0.0.1", "port": server.port, "database": name, "username": USER,
            "options": {"sslmode": "disable"},
        }  # fmt: skip

    def drop(self) -> None:
        self._server.drop(self.name)


def sample_place() -> SamplePlace:
    """A fresh one, to be dropped by who asked for it."""
    server = shared_server()
    name = f"s{next(_numbers)}_{os.getpid()}"
    server.ask(f"CREATE DATABASE {name} TEMPLATE {_sample_template()}")
    return SamplePlace(server, name)


def names_of(rows: Sequence[Any]) -> list[str]:
    return [str(row[0]) for row in rows]
