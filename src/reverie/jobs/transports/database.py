"""Wake-ups between the processes of one host that share a data folder.

    wake/<worker>.sock   a UNIX datagram socket the worker reads; one byte in it says *look*
    wake/<worker>.lock   locked by the worker as long as its process lives; the kernel lets go when it dies

A sender writes to every socket in the folder and waits for none. Whatever gets lost is found by looking at the
database's change counter every quarter of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Final

from reverie.database import Database, DatabaseError
from reverie.jobs.finding import Finding

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the database while nobody wakes us."""
LONGEST_ADDRESS: Final = 100
"""Bytes of a path that fit into a socket's address on every system."""
FRESH: Final = 100_000_000
"""Nanoseconds in which a folder can change twice and show the same time."""


class DatabaseTransport:
    """`Transport` through sockets in *folder*, with *database* as the backstop.

    Args:
        database: None where something else than a look at the database is the backstop; it calls `stir`.
    """

    def __init__(self, database: Database | None, folder: Path) -> None:
        self._database = database
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sender = _datagram_socket()
        self._addresses: list[str] = []
        self._listed_at = -1
        self._name: str | None = None
        self._lock_fd = -1
        self._receiver: socket.socket | None = None
        self._woken = asyncio.Event()
        self._seen = 0 if database is None else database.changes()
        self._closed = False

    # -- being woken

    async def join(self, worker: str) -> None:
        await self.leave()
        self._name = worker
        self._lock_fd = self._take_lock(worker)
        receiver = _datagram_socket()
        address = self._address(f"{worker}.sock")
        if address is None:
            receiver.close()
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{worker}.sock", dir_fd=self._folder_fd)
        receiver.bind(address)
        self._receiver = receiver
        asyncio.get_running_loop().add_reader(receiver.fileno(), self._read_wakes)

    async def leave(self) -> None:
        if self._receiver is not None:
            asyncio.get_running_loop().remove_reader(self._receiver.fileno())
            self._receiver.close()
            self._receiver = None
        if self._name is not None:
            self.clear(self._name)
            os.close(self._lock_fd)
            self._name = None

    def _take_lock(self, worker: str) -> int:
        """The lock appears under its name only when it is held: free means that its owner is gone."""
        draft = f".{worker}.lock"
        lock = os.open(draft, os.O_CREAT | os.O_RDWR, 0o600, dir_fd=self._folder_fd)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(draft, f"{worker}.lock", src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        return lock

    def _read_wakes(self) -> None:
        if self._receiver is not None:
            with contextlib.suppress(BlockingIOError):
                while self._receiver.recv(16):
                    pass
        self._woken.set()

    def stir(self) -> None:
        """Wake who waits here."""
        self._woken.set()

    async def wait(self) -> None:
        while self._database is None and not self._woken.is_set():
            await self._woken.wait()
        while not self._woken.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_EVERY)
            with contextlib.suppress(DatabaseError):  # away for a moment: the worker finds out when it claims
                if self._database is not None and (changes := self._database.changes()) != self._seen:
                    self._seen = changes
                    self._woken.set()
        self._woken.clear()

    # -- waking

    async def announce(self, connection: str, queue: str) -> None:
        if self._closed:
            return
        for address in self._everybody():
            try:
                self._sender.sendto(b"\n", address)
            except BlockingIOError:
                pass  # it has wake-ups it has not read: one more says nothing new
            except OSError:
                self._forget_stale(address)

    def _everybody(self) -> list[str]:
        changed_at = os.fstat(self._folder_fd).st_mtime_ns
        if changed_at != self._listed_at:
            sockets = [name for name in os.listdir(self._folder_fd) if name.endswith(".sock")]
            self._addresses = [address for name in sockets if (address := self._address(name)) is not None]
            settled = changed_at + FRESH < _now_ns()
            self._listed_at = changed_at if settled else -1
        return self._addresses

    def _forget_stale(self, address: str) -> None:
        """Remove the socket of a dead worker; its lock stays until somebody has taken back its jobs."""
        name = os.path.basename(address).removesuffix(".sock")
        self._listed_at = -1
        if self.gone(name):
            with contextlib.suppress(OSError):
                os.unlink(f"{name}.sock", dir_fd=self._folder_fd)

    def _address(self, name: str) -> str | None:
        """Where to reach a socket of the folder; None where its path is too long for this system."""
        path = str(self._folder / name)
        if len(os.fsencode(path)) <= LONGEST_ADDRESS:
            return path
        through = f"/proc/self/fd/{self._folder_fd}/{name}"
        return through if os.path.isdir("/proc/self/fd") and len(os.fsencode(through)) <= LONGEST_ADDRESS else None

    def gone(self, worker: str) -> bool:
        try:
            lock = os.open(f"{worker}.lock", os.O_RDWR, dir_fd=self._folder_fd)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def clear(self, worker: str) -> None:
        for name in (f"{worker}.sock", f"{worker}.lock"):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder_fd)

    async def examine(self) -> list[Finding]:
        return []

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.leave()
        self._sender.close()
        os.close(self._folder_fd)


def _datagram_socket() -> socket.socket:
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    endpoint.setblocking(False)
    return endpoint


def _now_ns() -> int:
    # The file system's own clock, whatever clock the rest of the program is given.
    return time.time_ns()
