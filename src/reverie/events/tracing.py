"""Runs of scripts, told to whoever listens at that moment. Without a listener a run costs one look into a folder.

    trace/<process>-<number>.sock   a UNIX datagram socket that one listener reads; a message is one run, as JSON

Every process that shares the data folder tells every socket in the folder: the API's processes and the workers of one
machine hear one another. Processes on other machines are heard by who listens there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from reverie.clock import Clock
from reverie.errors import ScriptError
from reverie.events.difference import differences
from reverie.model import JSON, Context, Script
from reverie.scripting.engine import NOTHING, Engine, Outcome, Run
from reverie.scripting.outcome import marked

LONGEST_OUTPUT: Final = 16_384
"""Characters told of what a script printed: the last ones."""
MOST_PATHS: Final = 50
"""Changed paths told of a run."""
LARGEST: Final = 64 * 1024
"""Bytes of a message."""
MOST_WAITING: Final = 200
"""Runs kept for a listener that is slow; what comes on top is counted."""
_AGAIN: Final = 0.01
"""Seconds until a listener that had no room is tried again."""
_FRESH: Final = 100_000_000
"""Nanoseconds in which a folder can change twice and show the same time."""
_LONGEST_ADDRESS: Final = 100
"""Bytes of a path that fit into a socket's address on every system."""


class Trace:
    """Tells of runs, and listens to them.

    Args:
        folder: shared by all processes of the instance on this machine.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._folder = folder
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sender = _datagram_socket()
        self._names: list[str] = []
        self._listed_at = -1
        self._number = 0
        self._stopped = asyncio.Event()
        self._waiting: dict[str, _Backlog] = {}
        self._later: asyncio.TimerHandle | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens, in any process."""
        return bool(self._listeners())

    def _listeners(self) -> list[str]:
        if self._folder_fd < 0:
            return []
        changed_at = os.fstat(self._folder_fd).st_mtime_ns
        if changed_at != self._listed_at:
            self._names = [name for name in os.listdir(self._folder_fd) if name.endswith(".sock")]
            self._listed_at = changed_at if changed_at + _FRESH < time.time_ns() else -1
        return self._names

    # -- telling

    async def run(self, engine: Engine, run: Run, context: Context, script: Script) -> Outcome:
        """Run it in *engine*, and tell how it went; *script* is as stored, without what lookups have put in."""
        if not self.wanted:
            return await engine.run(run)
        began = self._clock.monotonic()
        try:
            outcome = await engine.run(run)
        except ScriptError as error:
            self.tell({**_about(run, context), **self._when(began), **_failed(error, script)})
            raise
        self.tell({**_about(run, context), **self._when(began), **_done(run, outcome)})
        return outcome

    def _when(self, began: float) -> dict[str, JSON]:
        return {"at": round(self._clock.now(), 3), "seconds": round(self._clock.monotonic() - began, 4)}

    def tell(self, entry: Mapping[str, JSON]) -> None:
        """Tell every listener; waits for none."""
        message = msgspec.json.encode(entry)
        if len(message) > LARGEST:
            shorter = {**entry, "output": "", "changed": [], "shortened": True}
            message = msgspec.json.encode(shorter)
        for name in self._listeners():
            self._waiting.setdefault(name, _Backlog()).add(message)
        self._send()

    def _send(self) -> None:
        """Hand over what waits; try again in a moment where there was no room."""
        self._later = None
        for name, backlog in list(self._waiting.items()):
            if self._send_to(name, backlog):
                del self._waiting[name]
        if self._waiting and not self._stopped.is_set():
            self._later = asyncio.get_running_loop().call_later(_AGAIN, self._send)

    def _send_to(self, name: str, backlog: _Backlog) -> bool:
        """True when nothing waits for it any more."""
        address = self._address(name)
        while address is not None and (message := backlog.first()) is not None:
            try:
                self._sender.sendto(message, address)
            except BlockingIOError:
                return False
            except ConnectionRefusedError:  # its process was killed
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folder_fd)
                return True
            except OSError:
                return True
            backlog.gone()
        return True

    # -- listening

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Runs as JSON, from now on, until `stop`; first an empty message, when it is certain to be heard.

        To be closed by who leaves.
        """
        self._number += 1
        name = f"{os.getpid()}-{self._number}.sock"
        address = self._address(name)
        if address is None:
            return
        receiver = _datagram_socket()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder_fd)  # of a process that had our number before
        receiver.bind(address)
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)

        def read() -> None:
            # What finds no room stays in the socket, and then with whoever tells.
            with contextlib.suppress(BlockingIOError):
                while not heard.full():
                    heard.put_nowait(receiver.recv(LARGEST + 1))
            if heard.full():
                loop.remove_reader(receiver.fileno())

        loop.add_reader(receiver.fileno(), read)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            yield b""
            while not self._stopped.is_set():
                if heard.empty():
                    loop.add_reader(receiver.fileno(), read)
                got = asyncio.ensure_future(heard.get())
                try:
                    await asyncio.wait({got, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if got.done():
                        yield got.result()
                finally:
                    got.cancel()
        finally:
            stopped.cancel()
            loop.remove_reader(receiver.fileno())
            receiver.close()
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder_fd)

    def _address(self, name: str) -> str | None:
        """Where to reach a socket of the folder; None where its path is too long for this system."""
        path = str(self._folder / name)
        if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
            return path
        through = f"/proc/self/fd/{self._folder_fd}/{name}"
        return through if os.path.isdir("/proc/self/fd") else None

    def stop(self) -> None:
        """Let everybody who listens go, now and from now on."""
        self._stopped.set()

    async def close(self) -> None:
        self.stop()
        if self._later is not None:
            self._later.cancel()
        self._sender.close()
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1


class _Backlog:
    """What waits for one listener."""

    __slots__ = ("_messages", "_missed")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._missed = 0

    def add(self, message: bytes) -> None:
        if len(self._messages) >= MOST_WAITING:
            self._missed += 1
        else:
            self._messages.append(message)

    def first(self) -> bytes | None:
        if self._messages:
            return self._messages[0]
        return msgspec.json.encode({"missed": self._missed}) if self._missed else None

    def gone(self) -> None:
        """The first one was handed over."""
        if self._messages:
            self._messages.popleft()
        else:
            self._missed = 0


def _datagram_socket() -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.setblocking(False)
    return found


# -- what is told of a run


def _about(run: Run, context: Context) -> dict[str, JSON]:
    request = run.event.get("request")
    seen = request if isinstance(request, dict) else {}
    path = "/".join(str(seen[name]) for name in ("service", "resource") if seen.get(name))
    return {
        "script": run.script.identifier,
        "type": run.script.language,
        "call": f"{seen.get('method') or ''} {path}".strip(),
        "request_id": context.request_id,
        "job_id": context.job_id,
        "depth": run.depth,
        "process": os.getpid(),
    }


def _done(run: Run, outcome: Outcome) -> dict[str, JSON]:
    changed: list[JSON] = [one["path"] for one in differences(run.event, outcome.event) if isinstance(one, dict)]
    return {
        "output": outcome.output[-LONGEST_OUTPUT:],
        "changed": changed[:MOST_PATHS],
        "returned": outcome.returned is not NOTHING,
        "error": None,
    }


def _failed(error: ScriptError, script: Script) -> dict[str, JSON]:
    lines, line = script.content.splitlines(), error.line
    told: dict[str, JSON] = {
        "kind": error.kind,
        "message": error.message,
        "status_code": error.status,
        "line": line,
        "column": error.column,
        "excerpt": marked(lines, line, error.column) if line is not None and line <= len(lines) else "",
    }
    return {"output": error.output[-LONGEST_OUTPUT:], "changed": [], "returned": False, "error": told}
