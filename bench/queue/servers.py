"""The servers that ours and the peers share, started from installed programs, gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.acceptance.server import free_port
from tests.postgres import PostgresServer, binaries


@dataclass
class Running:
    """What runs; None where it is not installed."""

    postgresql: PostgresServer | None = None
    redis: int | None = None
    _redis_process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database that nobody has used; it is dropped afterwards."""
        assert self.postgresql is not None
        name = self.postgresql.new_database(migrated=False)
        try:
            yield self.postgresql.url(name)
        finally:
            self.postgresql.drop(name)

    def cpu_seconds(self) -> float:
        """What the servers have used so far, of processes that still live."""
        used = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
        return used

    def _processes(self) -> list[psutil.Process]:
        started = [self._redis_process, self.postgresql._process if self.postgresql is not None else None]
        roots = [psutil.Process(one.pid) for one in started if one is not None]
        return [each for root in roots for each in (root, *root.children())]


@contextlib.contextmanager
def running() -> Iterator[Running]:
    """PostgreSQL with its defaults, so every commit is durable; Redis with its AOF synced every second."""
    with contextlib.ExitStack() as stack:
        servers = Running()
        if binaries() is not None:
            # PostgreSQL's user must reach it, and a socket's path may not be long.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True)))
            server = PostgresServer(folder)
            server.start()
            stack.callback(server.stop)
            servers.postgresql = server
        if program := shutil.which("redis-server"):
            servers.redis = free_port()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-")))
            command = [program, "--port", str(servers.redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
            command += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
            servers._redis_process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(_end, servers._redis_process)
            time.sleep(0.5)
        yield servers


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)
