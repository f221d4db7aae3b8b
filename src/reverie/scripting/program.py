"""What to start for a language, and how it is started: through runners/launch.py, which locks it in."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from reverie.scripting.folder import Folder
from reverie.scripting.seccomp import column, first_filter, last_filter
from reverie.scripting.walls import Tier, walls_here

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
        limits: resource limits by name, see launch.py.
        reads: folders that it may read, beside the system's and its own; they follow the arguments, each by a name
            that it can reach.
        walled: arguments to put in front where such a folder has to be reached by a descriptor.
        tier: what holds the scripts.
        forks: each run is a process of its own, forked by the runner, which closes the last wall around it itself: the
            filter for that is its last argument.
    """

    path: str | None
    arguments: Callable[[int, str], list[str]] = lambda memory, runner: []
    runner: str
    place: Literal["stdio", "third"]
    prints: bool
    overhead: int
    limits: Mapping[str, int] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    walled: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    tier: Tier = "process"
    forks: bool = False


class Launched(NamedTuple):
    """A process, the folder it lives in, and what leads to it.

    Attributes:
        pipe: our end of it; neither this nor *logs* blocks.
        logs: where what it writes on stdout and stderr may be read; a descriptor.
    """

    process: subprocess.Popen[bytes]
    folder: Folder
    pipe: socket.socket
    logs: int


def launch(program: Program, *, memory: int, sockets: bool = False) -> Launched:
    """Start the program through the launcher, with nothing but its end of the pipe, stdout and stderr.

    It runs as `nobody` if we are root. Its runner is copied to its folder, as it may not be able to read ours.

    Args:
        memory: MiB.
        sockets: it may open its own.

    Raises:
        OSError: there is no such process, and nothing is left of the attempt.
    """
    path = Folder.make()
    ours, theirs = socket.socketpair()
    logs, logs_end = os.pipe()
    try:
        process = _launch(program, memory=memory, folder=path, pipe=theirs, logs=logs_end, sockets=sockets)
    except OSError:
        ours.close()
        os.close(logs)
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        theirs.close()
        os.close(logs_end)
    os.set_blocking(logs, False)
    ours.setblocking(False)
    return Launched(process, Folder(path), ours, logs)


def _launch(
    program: Program, *, memory: int, folder: Path, pipe: socket.socket, logs: int, sockets: bool
) -> subprocess.Popen[bytes]:
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
    first, last = _filters(sockets=sockets)
    arguments = [*(program.walled if opened else ()), *program.arguments(memory, runner), *names]
    spec = {
        "parent": os.getpid(),
        "user": user,
        "folder": str(folder),
        "wire": pipe.fileno(),
        "place": program.place,
        "program": program.path,
        "arguments": [*arguments, *([last] if program.forks else ())],
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
        "filters": [first] if program.forks else [first, last],
        "last_filter": last,
        "sockets": sockets or not first,
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


def _filters(*, sockets: bool) -> tuple[str, str]:
    """The filters of system calls from the start, and around a run; in hexadecimal, empty where there are none."""
    walls, machine = walls_here(), column()
    if not walls.seccomp or machine is None:
        return "", ""
    first = first_filter(sockets=sockets, machine=machine)
    return first.hex(), last_filter(signals=walls.signals_stay_within, machine=machine).hex()


class Use(NamedTuple):
    """What processes hold: MiB of memory, seconds of a processor, how many they are."""

    memory: float
    processor: float
    processes: int


def use_of(pid: int) -> Use:
    """Of a process and all below it; those that have ended no longer count."""
    memory = processor = 0.0
    count = 0
    for one in _family(pid):
        memory += resident(one)
        processor += processor_time(one)
        count += 1
    return Use(memory, processor, count)


def _family(pid: int) -> Iterator[int]:
    left = [pid]
    while left:
        one = left.pop()
        yield one
        left += children_of(one)


def children_of(pid: int, *, threads: bool = True) -> list[int]:
    """What a process has started and not yet let go; orphans of those come to the child, which is told to take them.

    Args:
        threads: also what its other threads started.
    """
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task") if threads else (pid,):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except (OSError, ValueError):  # gone meanwhile, or a kernel that does not tell
        pass
    return found


def processor_time(pid: int) -> float:
    """Seconds of a processor that a process has used; 0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # how Linux names another process's clock, clock_getcpuclockid(3)
    except OSError:
        return 0


def resident(pid: int) -> float:
    """MiB of memory that a process holds; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE / 1048576
    except (OSError, IndexError, ValueError):
        return 0
