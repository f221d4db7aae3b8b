"""The scenarios as tests: those that are quick in short form, all of them on every pair in the full profile."""

from __future__ import annotations

import os

import pytest

from tests.chaos.scenarios import Outcome, Scenario, load, run
from tests.chaos.stage import MissingProgram

KNOWN = load()
FULL = ("sqlite+database", "postgresql+redis")
"""The pairs on which the full profile plays the whole scenario; on the others it plays the short form."""


def played(scenario: Scenario, pair: str, *, full: bool) -> Outcome:
    try:
        outcome = run(scenario, pair, full=full)
    except MissingProgram as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    print(f"{scenario.name} {pair} {outcome.form}: {outcome.verdict}")
    print("\n".join(f"    {one}" for one in [*outcome.figures, *outcome.notes]))
    return outcome


@pytest.mark.parametrize("name", [one.name for one in KNOWN.values() if one.quick])
def test_no_promise_is_broken_in_short(name: str) -> None:
    outcome = played(KNOWN[name], "sqlite+database", full=False)

    assert outcome.problems == []
    assert (outcome.verdict.lost, outcome.verdict.finished_twice) == (0, 0)


@pytest.mark.long
@pytest.mark.skipif(
    os.environ.get("REVERIE_TEST_PROFILE") != "full", reason="REVERIE_TEST_PROFILE=full plays hours of it"
)
@pytest.mark.parametrize(("name", "pair"), [(one.name, pair) for one in KNOWN.values() for pair in one.pairs])
def test_no_promise_is_broken(name: str, pair: str) -> None:
    outcome = played(KNOWN[name], pair, full=pair in FULL)

    assert outcome.problems == []
    assert (outcome.verdict.lost, outcome.verdict.finished_twice) == (0, 0)


def test_the_scenarios_that_every_change_must_pass_are_quick() -> None:
    quick = {one.name for one in KNOWN.values() if one.quick}

    assert quick == {"D1", "D2", "D4", "D9", "D11", "D13", "D14", "D25"}
