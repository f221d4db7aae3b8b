"""php: PHP's command line, with the extensions pcntl, posix and FFI."""

from __future__ import annotations

import functools
import shutil
import subprocess
from typing import Final

from reverie.scripting.pool import RULES, Pool
from reverie.scripting.program import Program
from reverie.scripting.walls import Rules

NEEDED: Final = frozenset({"pcntl", "posix", "ffi"})
"""Extensions: to fork, to know processes, and to set limits."""
_SETTINGS: Final = {
    "memory_limit": "-1",  # each run sets its own
    "display_errors": "0",  # what ends a script is its error; the runner prints warnings
    "log_errors": "0",
    "html_errors": "0",
    "error_reporting": "E_ALL & ~E_DEPRECATED",
    "ffi.enable": "1",
    "max_execution_time": "0",
}


@functools.cache
def binary() -> str | None:
    """Path of PHP; None where there is none, or it lacks what the runner needs."""
    path = shutil.which("php")
    if path is None:
        return None
    try:
        asked = subprocess.run([path, "-m"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if {line.strip().lower() for line in asked.stdout.splitlines()} >= NEEDED else None


def available() -> bool:
    return binary() is not None


class PhpEngine(Pool):
    """Every run in a process of its own, forked from a warm parent while nothing is to do."""

    def __init__(self, *, size: int = 2, recycle: int = 1000, rules: Rules = RULES) -> None:
        self.name = "php"
        self.label = "PHP"
        self.description = "Script handler using native PHP."
        self.sandboxed = False
        path = binary()
        settings = [word for name, value in _SETTINGS.items() for word in ("-d", f"{name}={value}")]
        program = Program(
            path=path,
            arguments=lambda memory, runner: [*settings, runner],
            runner="runner.php",
            place="third",
            prints=True,
            overhead=96,
            forks=True,
        )
        missing = "PHP is not installed on this machine, or lacks its extensions pcntl, posix and FFI."
        super().__init__(program if path else None, missing=missing, size=size, recycle=recycle, rules=rules)
