"""What this machine can close around the processes of scripts, and what is missing for what was asked.

Each level promises something (docs/reference/sandbox.md). A promise that cannot be kept here is told in plain words,
and the script does not run; `required` set to False runs it all the same.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from reverie.scripting.seccomp import column

Tier = Literal["permissions", "process"]
"""What holds a language: its runtime denies everything, or only the process does."""

_LANDLOCK_CREATE: Final = 444
_SIGNALS_SCOPED: Final = 6
"""The version of Landlock from which on signals stay within."""
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_ACTION_AVAILABLE: Final = 2
_REFUSE: Final = 0x00050000


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What the kernel and our rights offer.

    Attributes:
        landlock: its version; 0 where there is none. It closes files, and processes outside of the child.
        seccomp: calls of the system can be refused.
        root: children run as another user than we do.
    """

    landlock: int
    seccomp: bool
    root: bool

    @property
    def signals_stay_within(self) -> bool:
        return self.landlock >= _SIGNALS_SCOPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an instance wants of its children, and of those who wait for them.

    Attributes:
        memory: MiB for which children are started before anybody asked for more or less.
        sockets: scripts may open their own, past the guarded client.
        required: refuse to run where a promise cannot be kept.
        patience: seconds that a run may wait for a place before it is refused.
        most_waiting: runs that may wait at one time, at each depth of nesting.
        growth: MiB that a child may hold more than at its start, between runs, before it is replaced.
    """

    memory: int = 256
    sockets: bool = False
    required: bool = True
    patience: float = 10.0
    most_waiting: int = 1000
    growth: int = 128


@functools.cache
def walls_here() -> Walls:
    if sys.platform != "linux":
        return Walls(landlock=0, seccomp=False, root=False)
    libc = ctypes.CDLL(None, use_errno=True)
    action = ctypes.c_uint32(_REFUSE)
    number = _SECCOMP.get(platform.machine())
    seccomp = number is not None and column() is not None
    seccomp = seccomp and libc.syscall(number, _ACTION_AVAILABLE, 0, ctypes.byref(action)) == 0
    landlock = max(int(libc.syscall(_LANDLOCK_CREATE, None, 0, 1)), 0)
    return Walls(landlock=landlock, seccomp=seccomp, root=os.geteuid() == 0)


def missing_for(tier: Tier, *, apart: bool, rules: Rules, walls: Walls) -> str:
    """Why scripts cannot be held as they should be; empty where they can.

    Args:
        apart: scripts are to be kept from one another, and not only from us.
    """
    if tier == "permissions" or not rules.required:
        return ""
    if not walls.landlock and (apart or not walls.root):
        reach = "of other scripts" if apart else "of this instance"
        return (
            f"its kernel has no Landlock (Linux 5.13 and newer have), so scripts could reach files and memory {reach}"
        )
    if not rules.sockets and not walls.seccomp:
        return "its kernel or processor has no filter of system calls, so scripts could get past REVERIE_SCRIPT_EGRESS"
    return ""


def described(tier: Tier, rules: Rules, walls: Walls) -> Mapping[str, Any]:
    """What holds the children of a language, for `system/environment`."""
    return {
        "tier": tier,
        "user": "nobody" if walls.root else "same",
        "files": "landlock" if walls.landlock else "owner",
        "landlock": walls.landlock,
        "seccomp": walls.seccomp,
        "no_new_privs": True,
        "namespaces": [],
        "sockets": "none" if tier == "permissions" else "open" if rules.sockets or not walls.seccomp else "none",
        "missing": missing_for(tier, apart=False, rules=rules, walls=walls),
        "missing_apart": missing_for(tier, apart=True, rules=rules, walls=walls),
    }
