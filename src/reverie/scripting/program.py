"""What to start for a language, and how it is started: through runners/launch.py, which locks it in."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

NOBODY: Final = 65534
RUNNERS: Final = Path(__file__).parent / "runners"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_FIRST_FOLDER: Final = 230
"""Descriptor of the first folder that is handed on; above all that launch.py moves about."""
_LOADER: Final = ("LD_LIBRARY_PATH",)  # without which some interpreters do not start


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start for a language.

    Attributes:
        path: the runtime; None for Python, which the launcher already is.
        arguments: of the runtime, given the memory limit in MiB and the path of the runner.
        runner: file name of the runner in `RUNNERS`.
        beside: files in `RUNNERS` that it needs beside it.
        place: where the runner has its pipe: descriptors 0 and 1, or 3.
        prints: what stands on stdout and stderr was printed by the script; else it is only kept to explain a death.
        overhead: MiB that a child may hold beyond a run's memory limit.
        writes: its scripts can write files.
        limits: resource limits by name, see launch.py.
        reads: folders that it may read, beside the system's and its own; they follow the arguments, each by a name
            that it can reach.
        walled: arguments to put in front where such a folder has to be reached by a descriptor.
    """

    path: str | None
    arguments: Callable[[int, str], list[str]] = lambda memory, runner: []
    runner: str
    place: Literal["stdio", "third"]
    prints: bool
    overhead: int
    writes: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    walled: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def launch(program: Program, *, memory: int, folder: Path, pipe: socket.socket, logs: int) -> subprocess.Popen[bytes]:
    """Start the program through the launcher, with nothing but its end of the pipe, and `logs` as stdout and stderr.

    It runs as `nobody` if we are root. Its runner is copied to its folder, as it may not be able to read ours.
    """
    copies = [shutil.copy(RUNNERS / name, folder) for name in (program.runner, *program.beside)] if program.path else []
    runner = str(copies[0] if copies else RUNNERS / program.runner)
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        folder.chmod(0o700)
        os.chown(folder, user, user)
        for copy in copies:
            os.chown(copy, user, user)
    opened = [] if user is None else [path for path in program.reads if is_walled(path)]
    numbers = dict(zip(opened, range(_FIRST_FOLDER, _FIRST_FOLDER + len(opened)), strict=True))
    names = [f"/proc/self/fd/{numbers[path]}" if path in numbers else path for path in program.reads]
    limits = {"core": 0, "nofile": 256, "fsize": 256 * 1048576, **program.limits}
    if user is not None:
        limits["nproc"] = 512  # of `nobody`; an ordinary user's count holds all that runs under that name
    spec = {
        "parent": os.getpid(),
        "user": user,
        "folder": str(folder),
        "wire": pipe.fileno(),
        "place": program.place,
        "program": program.path,
        "arguments": [*(program.walled if opened else ()), *program.arguments(memory, runner), *names],
        "runner": runner,
        "reads": list(program.reads),
        "folders": numbers,
        "environment": {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
        },
        "limits": limits,
    }
    return subprocess.Popen(  # noqa: S603 - our own launcher, with our own arguments
        [sys.executable, "-I", "-S", str(RUNNERS / "launch.py"), json.dumps(spec)],
        stdin=subprocess.DEVNULL,
        stdout=logs,
        stderr=logs,
        pass_fds=(pipe.fileno(),),
        env={name: os.environ[name] for name in _LOADER if name in os.environ},
        cwd="/",
    )


def is_walled(folder: str) -> bool:
    """True for a folder below one that only its owner may walk through; one that is not there is not."""
    path = Path(folder).resolve()
    if not path.is_dir():
        return False
    return not all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def littered(folder: Path, program: Program) -> bool:
    """Whether a child's folder holds more than its runner, or is not what it was."""
    try:
        return program.writes and any(name not in (program.runner, *program.beside) for name in os.listdir(folder))
    except OSError:
        return True


def sweep() -> None:
    """Remove the folders that children of killed processes left behind."""
    for folder in Path(tempfile.gettempdir()).glob("reverie-run-*-*"):
        owner = folder.name.split("-")[2]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


def landlocked() -> bool:
    """True where the kernel can close all files but a few to a child (Linux 5.13 and newer)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return sys.platform == "linux" and int(libc.syscall(444, None, 0, 1)) >= 1


def resident(pid: int) -> float:
    """MiB of memory that a process holds; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE / 1048576
    except (OSError, IndexError, ValueError):
        return 0
