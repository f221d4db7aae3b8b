"""What is expected of a queue, by what ended of late."""

from __future__ import annotations

import pytest

from reverie.jobs.speed import LONGEST, LONGEST_GUESS, UNKNOWN, Lately, Speed


def test_no_more_than_a_day_is_told() -> None:
    slow = Speed(one_minute=Lately(seconds=60, ended=1, ran=3600.0))

    assert slow.until_through(1_000_000) == LONGEST


def test_a_queue_of_which_nothing_is_known_is_guessed_at_a_job_a_second_and_a_minute_at_most() -> None:
    assert UNKNOWN.per_second is None
    assert [UNKNOWN.until_through(waiting) for waiting in (0, 7, 1_000_000)] == [0.0, 7.0, LONGEST_GUESS]


@pytest.mark.parametrize(
    ("speed", "seconds"),
    [
        (Speed(moment=Lately(seconds=6, ended=20), one_minute=Lately(seconds=60, ended=25)), 6),
        (Speed(moment=Lately(seconds=6, ended=19), one_minute=Lately(seconds=60, ended=25)), 60),
        (Speed(five_minutes=Lately(seconds=300, ended=1)), 300),
        (UNKNOWN, 60),
    ],
)
def test_the_shortest_span_that_tells_enough_is_taken(speed: Speed, seconds: float) -> None:
    assert speed.present.seconds == seconds


def test_runs_side_by_side_count_and_a_queue_with_little_to_do_is_not_slow_for_that() -> None:
    busy = Lately(seconds=60, ended=600, ran=1.0)
    quiet = Lately(seconds=60, ended=3, ran=0.5)

    assert Speed(one_minute=busy).per_second == 10
    assert Speed(one_minute=quiet).per_second == 2
