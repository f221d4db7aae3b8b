"""Scripts that a python3 child has compiled, and its parent keeps."""

from __future__ import annotations

import contextlib
import os
import runpy
from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest

from reverie.scripting.program import RUNNERS


def compile_script(text: str) -> CodeType:
    return compile(text, "<script>", "exec")


def never(text: str) -> CodeType:
    raise AssertionError(f"{text!r} is compiled already")


@pytest.fixture
def known() -> Any:
    return runpy.run_path(str(RUNNERS / "known.py"))["Known"]()


def in_a_child(act: Callable[[], object]) -> None:
    """Do it in a fork, which must come to its end."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_next_child_has_what_the_last_one_has_compiled(known: Any) -> None:
    in_a_child(lambda: known.compiled("a = 1", compile_script))
    known.learn()

    in_a_child(lambda: known.compiled("a = 1", never))
    known.learn()

    names: dict[str, int] = {}
    exec(known.codes["a = 1"], names)
    assert names["a"] == 1


def test_a_script_finds_the_way_to_the_parent_closed(known: Any) -> None:
    def act() -> None:
        known.compiled("a = 1", compile_script)
        for descriptor in (known.reads, known.writes):
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(descriptor)

    in_a_child(act)


def test_it_is_closed_also_when_the_script_cannot_be_compiled(known: Any) -> None:
    def act() -> None:
        with pytest.raises(SyntaxError):
            known.compiled("a =", compile_script)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(known.writes)

    in_a_child(act)
    known.learn()

    assert known.codes == {}


def test_what_a_killed_child_has_handed_on_in_part_is_thrown_away(known: Any) -> None:
    os.write(known.writes, b"\0\0\0\x09half")
    known.learn()
    in_a_child(lambda: known.compiled("b = 2", compile_script))
    known.learn()

    assert list(known.codes) == ["b = 2"]


def test_a_script_runs_although_there_is_no_room_to_hand_it_on(known: Any) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(known.writes, b"full" * 1024)

    in_a_child(lambda: known.compiled("a = 1", compile_script))


def test_long_scripts_are_compiled_each_time_and_the_oldest_of_many_again(known: Any) -> None:
    in_a_child(lambda: known.compiled(f"a = '{'long ' * 20_000}'", compile_script))
    known.learn()
    assert known.codes == {}

    for number in range(65):
        in_a_child(lambda text=f"a = {number}": known.compiled(text, compile_script))  # type: ignore[misc]
        known.learn()

    assert len(known.codes) == 64
    assert "a = 0" not in known.codes


def test_what_the_compiler_warns_of_is_said_in_each_run(known: Any) -> None:
    with pytest.warns(SyntaxWarning, match="literal"):
        known.compile("a = 1 is 1", lambda text: compile(text, "<script>", "exec"))
    known.learn()

    assert known.codes == {}
