"""What an answer means."""

from __future__ import annotations

import pytest

from reverie.errors import ScriptError, ScriptLimit
from reverie.model import JSON, Script
from reverie.scripting import wire
from reverie.scripting.engine import NOTHING, Run
from reverie.scripting.outcome import outcome_of, script_error


async def silent(op: str, args: dict[str, JSON]) -> JSON:
    return None


RUN = Run(
    script=Script(identifier="t", language="v8js", content="first\n  second\nthird"), event={}, platform={}, host=silent
)


def test_a_result_is_an_outcome() -> None:
    outcome = outcome_of(wire.Result({"a": 1}), output="x", seconds=0.5)

    assert (outcome.event, outcome.returned, outcome.output, outcome.seconds) == ({"a": 1}, NOTHING, "x", 0.5)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"error": "bad"}, "bad"),
        ({"error": {"message": "bad"}}, "bad"),
        ({"error": {"code": 5}}, '{"code":5}'),
        ({"error": 5}, "5"),
    ],
)
def test_a_returned_error_is_an_error(returned: object, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        outcome_of(wire.Result({}, returned), output="x", seconds=0)

    assert (caught.value.message, caught.value.status, caught.value.output) == (message, 500, "x")


@pytest.mark.parametrize("returned", [{"error": None}, {"error": ""}, {"error": {}}, ["error"], "error"])
def test_an_empty_error_is_a_value(returned: object) -> None:
    assert outcome_of(wire.Result({}, returned), output="", seconds=0).returned == returned


@pytest.mark.parametrize("event", [None, [], 5, "text"])
def test_an_event_that_is_no_map_is_an_error(event: object) -> None:
    with pytest.raises(ScriptError, match="no object"):
        outcome_of(wire.Result(event), output="", seconds=0)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (None, None, (500, 500)),
        (404, None, (404, 404)),
        (409, 77, (409, 77)),
        ("422", "E_QTY", (422, "E_QTY")),
        (418.0, None, (418, 418)),
        (True, True, (500, 500)),
        ("teapot", {"a": 1}, (500, 500)),
        (None, "", (500, 500)),
    ],
)
def test_status_and_code_are_taken_where_they_make_sense(
    status: object, code: object, expected: tuple[int, int | str]
) -> None:
    error = script_error(wire.Failure(message="m", status_code=status, code=code), RUN, "")

    assert (error.status, error.code) == expected


@pytest.mark.parametrize(
    ("line", "expected"), [(2, (2, "  second")), (None, (None, "")), (9, (None, "")), (0, (None, ""))]
)
def test_the_excerpt_is_the_line_of_the_text(line: int | None, expected: tuple[int | None, str]) -> None:
    error = script_error(wire.Failure(message="m", line=line), RUN, "")

    assert (error.line, error.excerpt) == expected


def test_an_error_without_words_gets_some() -> None:
    assert script_error(wire.Failure(message=""), RUN, "").message == "Unknown scripting error."


def test_memory_that_the_language_refused_is_a_limit() -> None:
    assert isinstance(script_error(wire.Failure(message="", kind="MemoryError"), RUN, ""), ScriptLimit)
