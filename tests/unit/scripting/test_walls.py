"""What a machine lacks for what is promised."""

from __future__ import annotations

import pytest

from reverie.scripting.walls import Rules, Walls, described, missing_for

FULL = Walls(landlock=7, seccomp=True, root=True)


@pytest.mark.parametrize(
    ("walls", "apart", "rules", "why"),
    [
        (FULL, True, Rules(), ""),
        (Walls(landlock=1, seccomp=True, root=False), True, Rules(), ""),
        (Walls(landlock=0, seccomp=True, root=True), False, Rules(), ""),
        (Walls(landlock=0, seccomp=True, root=True), True, Rules(), "of other scripts"),
        (Walls(landlock=0, seccomp=True, root=False), False, Rules(), "of this instance"),
        (Walls(landlock=7, seccomp=False, root=True), False, Rules(), "REVERIE_SCRIPT_EGRESS"),
        (Walls(landlock=7, seccomp=False, root=True), False, Rules(sockets=True), ""),
        (Walls(landlock=0, seccomp=False, root=False), True, Rules(required=False), ""),
    ],
)
def test_what_cannot_be_held_is_told(walls: Walls, apart: bool, rules: Rules, why: str) -> None:
    found = missing_for("process", apart=apart, rules=rules, walls=walls)

    assert bool(found) is bool(why)
    assert why in found


def test_a_runtime_that_denies_everything_needs_nothing_of_the_kernel() -> None:
    nothing = Walls(landlock=0, seccomp=False, root=False)

    assert missing_for("permissions", apart=True, rules=Rules(), walls=nothing) == ""
    assert described("permissions", Rules(), nothing)["sockets"] == "none"


def test_signals_need_a_newer_kernel_than_files() -> None:
    assert [Walls(landlock=n, seccomp=True, root=True).signals_stay_within for n in (5, 6)] == [False, True]


def test_administrators_see_what_holds() -> None:
    seen = described("process", Rules(), Walls(landlock=3, seccomp=True, root=False))

    assert (seen["tier"], seen["user"], seen["landlock"], seen["sockets"]) == ("process", "same", 3, "none")
    assert seen["missing"] == seen["missing_apart"] == ""
