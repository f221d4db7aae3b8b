"""Filters of system calls for children, as the kernel takes them: small programs for its packet filter (seccomp).

A filter lists what is refused; everything else goes through, so runtimes need not be known call by call. What is
refused is no use to a script and of use to somebody who wants out: looking into other processes, namespaces, mounts,
kernel interfaces, memory and queues that processes of one user share, and, unless they are open, sockets. Tables are
for Linux on x86-64 and on ARM; elsewhere there is no filter, and `walls` says so.
"""

from __future__ import annotations

import platform
import struct
from typing import Final, NamedTuple

_EPERM, _ENOSYS = 1, 38
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # where they stand in what the filter sees
_X32: Final = 0x40000000  # the second set of numbers that x86-64 has
_NEW_NAMESPACE: Final = 0x7E020000  # flags of clone
_DATAGRAM: Final = 2
_PARENT_DEATH: Final = 1  # of prctl

# name: number on x86-64, number on ARM
_DANGEROUS: Final = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "syslog": (103, 116),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    # shared by all processes of a user, of whatever script
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180),
}  # fmt: skip
_UNKNOWN: Final = {
    # runtimes go on without these, and through them goes what the rest of the filter refuses
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "clone3": (435, 435),
}  # fmt: skip
_SOCKETS: Final = {"socket": (41, 198), "connect": (42, 203), "bind": (49, 200)}
_GROUP: Final = {"setsid": (112, 157), "setpgid": (109, 154)}
_SIGNALS: Final = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
_CLONE, _SOCKETPAIR, _PRCTL = (56, 220), (53, 199), (157, 167)


class _Step(NamedTuple):
    """One instruction; a jump names its target, None goes on with the next."""

    code: int
    value: int
    yes: str | None = None
    no: str | None = None
    label: str | None = None


def column() -> int | None:
    """Which of the two numbers of each call this machine uses; None where neither is right."""
    return {"x86_64": 0, "aarch64": 1}.get(platform.machine()) if struct.calcsize("P") == 8 else None


def first_filter(*, sockets: bool, machine: int) -> bytes:
    """For every process of a child, from its start.

    Args:
        sockets: scripts may open their own.
        machine: as `column` says.
    """
    steps = _head(machine) + _refusals(_DANGEROUS, machine) + _refusals(_UNKNOWN, machine, "unknown")
    steps += _unless(_CLONE[machine], 0, [_Step(_ANY_BIT, _NEW_NAMESPACE, "refuse")])
    if not sockets:
        steps += _refusals(_SOCKETS, machine)
        # A pair of these could be sent to any named socket.
        kind = [_Step(_AND, 0xF), _Step(_EQUAL, _DATAGRAM, "refuse")]
        steps += _unless(_SOCKETPAIR[machine], 1, kind)
    return _assembled(steps)


def last_filter(*, signals: bool, machine: int) -> bytes:
    """For the process that runs a script, once it leads its group: nobody leaves that group, so killing it kills all.

    Args:
        signals: they may be sent, because the kernel lets none out of the child.
        machine: as `column` says.
    """
    steps = _head(machine) + _refusals(_GROUP, machine)
    steps += _unless(_PRCTL[machine], 0, [_Step(_EQUAL, _PARENT_DEATH, "refuse")])
    if not signals:
        steps += _refusals(_SIGNALS, machine)
    return _assembled(steps)


def _head(machine: int) -> list[_Step]:
    steps = [
        _Step(_LOAD, _MACHINE),
        _Step(_EQUAL, (0xC000003E, 0xC00000B7)[machine], None, "kill"),
        _Step(_LOAD, _NUMBER),
    ]
    if machine == 0:
        steps.append(_Step(_AT_LEAST, _X32, "unknown"))
    return steps


def _refusals(calls: dict[str, tuple[int, int]], machine: int, target: str = "refuse") -> list[_Step]:
    return [_Step(_EQUAL, numbers[machine], target) for numbers in calls.values()]


def _unless(number: int, argument: int, tests: list[_Step]) -> list[_Step]:
    """Tests of an argument of one call; its lower half, which is all that these calls read of it."""
    after = f"after {number}"
    return [
        _Step(_EQUAL, number, None, after),
        _Step(_LOAD, _ARGUMENTS + 8 * argument),
        *tests,
        _Step(_LOAD, _NUMBER),
        _Step(_EQUAL, number, "allow", None, after),
    ]


def _assembled(steps: list[_Step]) -> bytes:
    endings = {"allow": _ALLOW, "refuse": _ERROR | _EPERM, "unknown": _ERROR | _ENOSYS, "kill": _KILL}
    steps = [*steps, *(_Step(_RETURN, value, label=label) for label, value in endings.items())]
    places = {step.label: at for at, step in enumerate(steps) if step.label}

    def jump(target: str | None, at: int) -> int:
        return 0 if target is None else places[target] - at - 1

    return b"".join(
        struct.pack("=HBBI", step.code, jump(step.yes, at), jump(step.no, at), step.value)
        for at, step in enumerate(steps)
    )
