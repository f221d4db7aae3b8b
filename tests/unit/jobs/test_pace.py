"""How many jobs a worker claims ahead."""

from __future__ import annotations

from reverie.jobs.pace import MOST_AHEAD, Pace


def pace(run: float, claim: float = 0.0) -> Pace:
    made = Pace(2)
    made.note(run)
    for _ in range(50):  # until the mean is there
        made.note_claim(claim)
    return made


def test_nothing_is_claimed_ahead_before_a_run_has_ended_and_little_of_what_takes_long() -> None:
    assert Pace(2).ahead() == 0
    assert pace(1.0).ahead() == 0
    assert pace(0.01).ahead() == 4
    assert pace(0.0).ahead() == MOST_AHEAD


def test_while_claims_are_slow_what_is_held_lasts_for_one_more() -> None:
    assert pace(0.01, claim=0.1).ahead() in (23, 24)
