"""The filters of system calls, run as the kernel runs them."""

from __future__ import annotations

import struct

import pytest

from reverie.scripting.seccomp import first_filter, last_filter

MACHINES = {"x86-64": (0, 0xC000003E), "ARM": (1, 0xC00000B7)}
ALLOW, REFUSE, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
# socket, socketpair, setsid, ptrace, clone, clone3, read, prctl, kill
CALLS = {0: (41, 53, 112, 101, 56, 435, 0, 157, 62), 1: (198, 199, 157, 117, 220, 435, 63, 167, 129)}


def verdict(program: bytes, machine: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: the instructions that are used, one after the other."""
    values = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, machine, 0, *values)
    steps = list(struct.iter_unpack("=HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x54:
                accumulator &= value
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"an instruction that is not known: {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_and_what_leads_out_are_refused_and_the_rest_goes_through(machine: str) -> None:
    column, name = MACHINES[machine]
    socket, pair, setsid, ptrace, clone, clone3, read, _, _ = CALLS[column]
    closed, opened = (first_filter(sockets=open_, machine=column) for open_ in (False, True))

    assert verdict(closed, name, socket, 2, 1) == REFUSE
    assert verdict(opened, name, socket, 2, 1) == ALLOW
    assert verdict(closed, name, pair, 1, 1 | 0o2000000) == ALLOW
    assert verdict(closed, name, pair, 1, 2 | 0o2000000) == REFUSE
    assert verdict(opened, name, pair, 1, 2) == ALLOW
    for program in (closed, opened):
        assert verdict(program, name, ptrace) == REFUSE
        assert verdict(program, name, clone, 0x10000011) == REFUSE
        assert verdict(program, name, clone, 17) == ALLOW
        assert verdict(program, name, clone3) == UNKNOWN
        assert verdict(program, name, read) == ALLOW
        assert verdict(program, name, setsid) == ALLOW
        assert verdict(program, name ^ 1, read) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_around_a_run_nobody_leaves_the_group_or_outlives_the_parent(machine: str) -> None:
    column, name = MACHINES[machine]
    _, _, setsid, _, _, _, read, prctl, kill = CALLS[column]
    program = last_filter(signals=True, machine=column)

    assert verdict(program, name, setsid) == REFUSE
    assert verdict(program, name, prctl, 1, 0) == REFUSE
    assert verdict(program, name, prctl, 15, 0) == ALLOW
    assert verdict(program, name, kill, 1, 9) == ALLOW
    assert verdict(program, name, read) == ALLOW
    assert verdict(last_filter(signals=False, machine=column), name, kill, 1, 9) == REFUSE


def test_the_second_set_of_numbers_of_x86_is_unknown() -> None:
    assert verdict(first_filter(sockets=False, machine=0), 0xC000003E, 0x40000000 + 41) == UNKNOWN
