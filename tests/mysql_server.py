"""A real MariaDB for tests: started from the installed binaries, on a free port, in a folder of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from reverie.demo import sample_sql
from reverie.model import JSON

USER: Final = "reverie"
PASSWORD: Final = "Smörgås & 50%"
_numbers = itertools.count(1)

# What is written need not outlive the machine, and a table need not be a file.
_FAST: Final = (
    "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0",
    "--innodb-file-per-table=0", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--sync-frm=0",
    "--skip-log-bin",
)  # fmt: skip


def binaries() -> tuple[str, str] | None:
    """The server, and what makes its folder."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    server = shutil.which("mariadbd", path=path)
    install = shutil.which("mariadb-install-db", path=path)
    return (server, install) if server and install else None


def _servant() -> str | None:
    """MariaDB refuses to be root: who runs it then."""
    return "nobody" if os.geteuid() == 0 else None


class MysqlServer:
    """One server; `start` and `stop` as often as a test likes."""

    def __init__(self, folder: Path, *settings: str) -> None:
        found = binaries()
        assert found is not None
        self._server, install = found
        self.folder = folder
        self.port = _free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        servant = _servant()
        if servant is not None:
            shutil.chown(folder, servant)
        command = [
            install, "--no-defaults", f"--datadir={folder / 'data'}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync",
        ]  # fmt: skip
        done = subprocess.run(command, user=servant, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        self._new = True

    def start(self) -> None:
        command = [
            self._server, "--no-defaults", f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 's'}",
            f"--port={self.port}", "--bind-address=127.0.0.1", "--character-set-server=utf8mb4",
            # A server that starts takes away what it finds of others in a shared folder of temporary tables.
            f"--pid-file={self.folder / 'pid'}", f"--tmpdir={self.folder}",
            "--max-connections=200", *_FAST, *self._settings,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=_servant(), cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)
        if self._new:
            self._new = False
            made = f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"
            self.ask(f"{made}; GRANT ALL ON `s%`.* TO {USER}@'127.0.0.1'", user="root", password="", database="mysql")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as found:
                return bool(found.recv(1))
        except OSError:
            return False

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: as a restart of the service does it; SIGKILL: as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def ask(
        self, sql: str, *, database: str = "mysql", user: str = "root", password: str = ""
    ) -> list[tuple[Any, ...]]:
        """The rows of the last of the statements in *sql*."""
        import asyncmy

        async def asked() -> list[tuple[Any, ...]]:
            connection = await asyncmy.connect(
                host="127.0.0.1", port=self.port, user=user, password=password, database=database, autocommit=True,
                charset="utf8mb4",
            )  # fmt: skip
            try:
                cursor = connection.cursor()
                await cursor.execute(sql)
                rows = list(await cursor.fetchall())
                while await cursor.nextset():
                    rows = list(await cursor.fetchall())
                return rows
            finally:
                await connection.ensure_closed()

        with ThreadPoolExecutor(1) as thread:  # tests may have a loop already
            return thread.submit(lambda: asyncio.run(asked())).result()

    def kill_connections(self, database: str) -> int:
        """End every connection to *database*, as an administrator does."""
        rows = self.ask(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'")
        for (number,) in rows:
            with contextlib.suppress(Exception):  # it may be gone already
                self.ask(f"KILL {number}")
        return len(rows)

    def new_database(self) -> str:
        name = f"s{next(_numbers)}_{os.getpid()}"
        self.ask(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def require_mysql() -> None:
    """Skip where MariaDB is not installed; in CI that is a failure."""
    if binaries() is None:
        reason = "MariaDB is not installed (mariadbd or mariadb-install-db was not found)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@contextlib.contextmanager
def mysql_server(*settings: str) -> Iterator[MysqlServer]:
    """A server of one's own, to be stopped at will."""
    require_mysql()
    folder = Path(tempfile.mkdtemp(prefix="reverie-my-"))
    folder.chmod(0o755)
    try:
        server = MysqlServer(folder, *settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(how=signal.SIGKILL)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def shared_mysql() -> MysqlServer:
    """The server of this test session; started when the first test wants it, ended with the process."""
    require_mysql()
    stack = contextlib.ExitStack()
    server = stack.enter_context(mysql_server())
    atexit.register(stack.close)
    return server


ROUTINES: Final = """
CREATE FUNCTION add_tax(amount DECIMAL(10,2), pct DECIMAL(5,2)) RETURNS DECIMAL(10,2)
  DETERMINISTIC RETURN amount + amount * pct / 100;
CREATE PROCEDURE cheap_products(IN top DECIMAL(10,2))
  SELECT id, name FROM product WHERE unit_price <= top ORDER BY id;
CREATE PROCEDURE bump_stock(IN pid INT, IN qty INT, OUT now_in_stock INT)
  BEGIN UPDATE product SET in_stock = in_stock + qty WHERE id = pid;
        SELECT in_stock INTO now_in_stock FROM product WHERE id = pid; END;
"""


@functools.cache
def sample_for_mysql() -> str:
    """The sample's tables and rows as the note at its top says, and routines beside them."""
    lines = [line for line in sample_sql().splitlines() if not line.startswith(("PRAGMA", "--"))]
    return "\n".join(lines).replace("INTEGER PRIMARY KEY", "INTEGER AUTO_INCREMENT PRIMARY KEY") + ROUTINES


class MysqlPlace:
    """A database of the shared server that holds the sample; `config` is what a service on it is set to."""

    def __init__(self, server: MysqlServer, name: str) -> None:
        self.server = server
        self.name = name
        self.config: dict[str, JSON] = {
            "host": "127.0.0.1", "port": server.port, "database": name, "username": USER, "password": PASSWORD,
        }  # fmt: skip

    def run(self, *statements: str) -> None:
        """Change the database as another program does."""
        for statement in statements:
            self.server.ask(statement, database=self.name)

    def drop(self) -> None:
        """Only its connections: to drop the rest takes longer than all else, and the folder goes with the session."""
        self.server.kill_connections(self.name)


def mysql_place() -> MysqlPlace:
    """A fresh one."""
    server = shared_mysql()
    name = server.new_database()
    server.ask(sample_for_mysql(), database=name)
    return MysqlPlace(server, name)
