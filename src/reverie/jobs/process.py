"""This process as other processes and the operator see it."""

from __future__ import annotations

import os
import re
import socket
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def worker_name(name: str) -> str:
    """A name that no other worker has, fit for a file: ``default-<host>-<process id>-<chance>``."""
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{socket.gethostname()}")[:40]
    return f"{readable}-{os.getpid()}-{os.urandom(4).hex()}"


def memory_in_use() -> float:
    """MiB of this process that are resident; 0 where the system does not tell. A worker asks after each job."""
    try:
        statm = os.open("/proc/self/statm", os.O_RDONLY)  # a quarter of what a `Path` and a text file cost
        try:
            pages = int(os.read(statm, 200).split()[1])
        finally:
            os.close(statm)
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * _PAGE / 2**20
