"""How long until the next attempt."""

from __future__ import annotations

import pytest

from reverie.jobs.retry import backoff_of, gives_up, pause_before_retry


@pytest.mark.parametrize(
    ("attempts", "tries", "expected"), [(1, 1, True), (1, 3, False), (3, 3, True), (4, 3, True), (10**9, 0, False)]
)
def test_a_job_is_given_up_when_its_tries_are_used(attempts: int, tries: int, expected: bool) -> None:
    assert gives_up(attempts=attempts, tries=tries) is expected


@pytest.mark.parametrize(
    ("attempts", "delay", "backoff", "expected"),
    [
        (1, None, (1, 5, 30), 1),
        (2, None, (1, 5, 30), 5),
        (3, None, (1, 5, 30), 30),
        (9, None, (1, 5, 30), 30),
        (1, None, (), 0),
        (1, 5.0, (60,), 5),
    ],
)
def test_the_scripts_delay_beats_the_workers_list(
    attempts: int, delay: float | None, backoff: tuple[float, ...], expected: float
) -> None:
    assert pause_before_retry(attempts=attempts, tries=20, delay=delay, backoff=backoff) == expected


@pytest.mark.parametrize(("delay", "backoff"), [(None, ()), (0.0, ()), (0.2, ()), (None, (0.0, 0.5))])
def test_a_job_tried_for_ever_pauses_at_least_a_second(delay: float | None, backoff: tuple[float, ...]) -> None:
    assert pause_before_retry(attempts=2, tries=0, delay=delay, backoff=backoff) == 1


def test_a_workers_delay_is_the_least_of_its_pauses() -> None:
    assert backoff_of((1, 5, 30), 10) == (10, 10, 30)
    assert backoff_of((), 10) == (10,)
    assert backoff_of((), 0) == ()
