"""Real Redis servers on free ports with folders of their own, and the queue on one of them.

A machine without Redis skips what needs it, by name; in CI it is installed, and missing it is a failure.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from reverie.clock import Clock
from reverie.jobs.address import parse_address
from reverie.jobs.connections import STANDARD, Connections, ConnectionSettings
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.jobs.queue import Queue
from reverie.jobs.transports.database import DatabaseTransport
from reverie.jobs.transports.redis import RedisBroker
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate
from tests.acceptance.server import free_port, wait_for
from tests.unit.jobs.scene import postgresql_queue


def needs(program: str) -> str:
    """The path of a program that a test needs."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed; scripts/services installs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class RedisServer:
    """A `redis-server`; it can be killed, paused and started again on the same port.

    Attributes:
        options: of its command line, in the order given.
        sentinel: it watches others; `options` must then begin with the path of a configuration it may write to.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    sentinel: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        place = [] if self.sentinel else ["--save", "", "--appendonly", "no"]
        command = [needs("redis-server"), *self.options, "--port", str(self.port), "--bind", "127.0.0.1", *place]
        command += ["--dir", str(self.folder), *(["--sentinel"] if self.sentinel else [])]
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]  # it must not outlive tests that were killed
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_for(self._answers, 20.0, lambda: f"no answer from {command}")

    def _answers(self) -> bool:
        answer = self.cli("PING")
        return answer == "PONG" or answer.startswith("NOAUTH")

    def cli(self, *command: str) -> str:
        """What `redis-cli` prints; its errors too."""
        shown = subprocess.run(
            [needs("redis-cli"), "-p", str(self.port), *command],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return (shown.stdout or shown.stderr).strip()

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            process.wait(20)

    def pause(self) -> None:
        """It hangs: connections stay open, and new ones are even taken by the kernel; nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def listeners(self, channel: str) -> int:
        """How many listen to *channel*."""
        return int(self.cli("PUBSUB", "NUMSUB", channel).split()[-1])


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


SERVICE: Final = "mymaster"


@contextlib.contextmanager
def watched_redis(folder: Path) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its replica, and the Sentinel that watches them under the name `SERVICE`."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server(folder / "a"))
        replica = stack.enter_context(redis_server(folder / "b", "--replicaof", "127.0.0.1", str(master.port)))
        wait_for(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), 20)
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        sentinel = RedisServer(folder / "s", options=(str(settings),), sentinel=True)
        stack.callback(sentinel.kill)
        sentinel.start()
        wait_for(lambda: "slaves=1" in sentinel.cli("INFO", "sentinel"), 20)
        yield master, replica, sentinel


def url_of(*sentinels: RedisServer) -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/{SERVICE}"


@cache
def shared_redis() -> RedisServer:
    """One for all tests that do it no harm; it ends with the tests' process."""
    folder = Path(tempfile.mkdtemp(prefix="reverie-redis-"))
    server = RedisServer(folder)
    server.start()

    def end() -> None:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server


@asynccontextmanager
async def redis_queue(
    folder: Path, clock: Clock, url: str, *, host: str = "wake", ping_every: float = 10.0, longest_pause: float = 10.0
) -> AsyncIterator[Queue]:
    """The queue on a store in *folder* whose only connection is woken through the server at *url*.

    It is called ``database``, so that whatever is true of that connection must be true of this one.

    Args:
        host: two names make two hosts: then only the server can wake one from the other at once.
    """
    migrate(folder / "store.db")
    database = SqliteDatabase(folder / "store.db", synchronous="NORMAL")
    address = parse_address(url)
    connections = Connections([*STANDARD, ConnectionSettings(name="database", driver="redis", address=address)])
    broker = RedisBroker("database", address, ping_every=ping_every, longest_pause=longest_pause)
    transport = DatabaseTransport(database, folder / host)
    queue = Queue(SqliteLedger(database, clock), transport, connections, clock, {"database": broker})
    try:
        yield queue
    finally:
        await queue.close()
        await database.close()


@asynccontextmanager
async def sqlite_redis_queue(folder: Path, clock: Clock) -> AsyncIterator[Queue]:
    async with redis_queue(folder, clock, shared_redis().url) as queue:
        yield queue


@asynccontextmanager
async def postgresql_redis_queue(folder: Path, clock: Clock) -> AsyncIterator[Queue]:
    broker = ConnectionSettings(name="database", driver="redis", address=parse_address(shared_redis().url))
    async with postgresql_queue(folder, clock, broker) as queue:
        yield queue


def until_heard(server: RedisServer, channel: str, listeners: int = 1, seconds: float = 20.0) -> None:
    """Wait until so many listen to *channel*; for programs in processes of their own."""
    wait_for(lambda: server.listeners(channel) >= listeners, seconds, pause=0.1)
