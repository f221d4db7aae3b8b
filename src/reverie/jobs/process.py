"""This process as other processes and the operator see it."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path


def worker_name(name: str) -> str:
    """A name that no other worker has, fit for a file: ``default-<host>-<process id>-<chance>``."""
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{socket.gethostname()}")[:40]
    return f"{readable}-{os.getpid()}-{os.urandom(4).hex()}"


def memory_in_use() -> float:
    """MiB of this process that are resident; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
