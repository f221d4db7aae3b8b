"""What attempts are made on: secrets, servers and processes beside the script, all real and open to whoever gets out."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reverie.model import JSON

NOBODY = 65534


@dataclass
class Targets:
    """Attributes:
    told: what scripts know of them, their ``t``.
    heard: what came to the servers; nothing should.
    bystander: a process of the user that scripts run as.
    """

    told: dict[str, JSON]
    bystander: subprocess.Popen[bytes]
    heard: list[str] = field(default_factory=list)

    @property
    def marker(self) -> str:
        return str(self.told["marker"])

    def has_leftovers(self) -> bool:
        """Whether a process that a script started is still there."""
        wanted = f"sleep\0{self.marker}\0".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if (folder / "cmdline").read_bytes() == wanted:
                        return True
        return False


@contextlib.contextmanager
def targets(siblings: list[int]) -> Iterator[Targets]:
    """Everything, until the block ends.

    Args:
        siblings: processes of another script.
    """
    canary = "canary-" + secrets.token_hex(8)
    folder = Path(tempfile.mkdtemp(prefix="reverie-targets-"))
    folder.chmod(0o755)
    (folder / "open").write_text(canary)
    (folder / "open").chmod(0o644)
    (folder / "secret").write_text(canary)
    (folder / "secret").chmod(0o600)
    unix = str(folder / "stream")
    letters = str(folder / "letters")
    abstract = "reverie-" + secrets.token_hex(8)
    os.environ["REVERIE_ESCAPE_CANARY"] = canary
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, True)
        stack.callback(os.environ.pop, "REVERIE_ESCAPE_CANARY", None)
        heard: list[str] = []
        stream = _listen(stack, heard, "a connection", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        letter = _listen(stack, heard, "a datagram", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        _listen(stack, heard, "a connection by path", socket.AF_UNIX, socket.SOCK_STREAM, unix)
        _listen(stack, heard, "a datagram by path", socket.AF_UNIX, socket.SOCK_DGRAM, letters)
        _listen(stack, heard, "a connection by abstract name", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
        for path in (unix, letters):
            Path(path).chmod(0o777)
        with contextlib.suppress(OSError):  # a machine without IPv6
            _listen(stack, heard, "a connection over IPv6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", stream[1]))
        root = os.geteuid() == 0
        bystander = subprocess.Popen(
            ["sleep", "120"], env={"SECRET": canary}, user=NOBODY if root else None, group=NOBODY if root else None
        )
        stack.callback(bystander.wait)
        stack.callback(bystander.kill)
        told: dict[str, JSON] = {
            "host": os.getpid(),
            "bystander": bystander.pid,
            "siblings": [*siblings],
            "canary": canary,
            "open": str(folder / "open"),
            "secret": str(folder / "secret"),
            "port": stream[1],
            "udp": letter[1],
            "unix": unix,
            "letters": letters,
            "abstract": abstract,
            "marker": f"97.{secrets.randbelow(10**9)}",
            "left": False,
        }
        yield Targets(told, bystander, heard)


def _listen(
    stack: contextlib.ExitStack,
    heard: list[str],
    name: str,
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    address: str | tuple[str, int],
) -> tuple[str, int]:
    """A server that notes whoever comes; its address."""
    server = socket.socket(family, kind)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen(16)
    server.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                if kind == socket.SOCK_STREAM:
                    server.accept()[0].close()
                else:
                    server.recv(100)
            except TimeoutError:
                continue
            except OSError:
                return
            heard.append(name)

    thread = threading.Thread(target=serve)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()
        server.close()

    stack.callback(end)
    bound = server.getsockname()
    return bound if isinstance(bound, tuple) and family == socket.AF_INET else ("", 0)
