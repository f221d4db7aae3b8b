"""Where the next claim may begin, and when it must not."""

from __future__ import annotations

import pytest

from reverie.jobs.ledgers import postgresql_watermark
from reverie.jobs.ledgers.postgresql_watermark import FEWEST, LONGEST_REST, MARGIN, SLOW, Watermark
from reverie.model import Job, JobStatus


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    moved = Time()
    monkeypatch.setattr(postgresql_watermark, "time", moved)
    return moved


def jobs(number: int, *, priority: int = 0, first: float = 100.0) -> list[Job]:
    return [
        Job(
            id=f"{priority}-{at}",
            kind="script.service",
            script="service:1",
            name="x",
            connection="database",
            queue="default",
            status=JobStatus.RUNNING,
            priority=priority,
            created_at=0.0,
            due_at=first + at,
        )
        for at in range(number)
    ]


def test_a_slow_look_that_found_enough_is_not_repeated_for_twenty_times_as_long(time: Time) -> None:
    mark = Watermark()

    mark.note_look([*jobs(6, priority=3), *jobs(4)], 10, 0.05)

    assert mark.lanes(10) == (["database"] * 2, ["default"] * 2, [3, 0], [105 - MARGIN, 103 - MARGIN])
    time.now += 0.99
    assert mark.lanes(10) is not None
    time.now += 0.02
    assert mark.lanes(10) is None


def test_the_rest_has_an_end_however_slow_the_look_was(time: Time) -> None:
    mark = Watermark()
    mark.note_look(jobs(10), 10, 60.0)

    time.now += LONGEST_REST

    assert mark.lanes(10) is None


@pytest.mark.parametrize(
    ("found", "limit", "seconds"),
    [(10, 10, SLOW / 2), (9, 10, 1.0), (FEWEST - 1, FEWEST - 1, 1.0), (0, 10, 1.0)],
    ids=["quick", "found fewer", "asked for few", "found none"],
)
def test_otherwise_every_claim_looks_at_everything(time: Time, found: int, limit: int, seconds: float) -> None:
    mark = Watermark()

    mark.note_look(jobs(found), limit, seconds)

    assert mark.lanes(limit) is None


def test_marks_move_on_with_what_is_claimed_and_end_with_the_lane(time: Time) -> None:
    mark = Watermark()
    mark.note_look(jobs(10), 10, 0.1)

    mark.note_claim(jobs(10, first=200.0), 10)
    assert mark.lanes(10) == (["database"], ["default"], [0], [209 - MARGIN])

    mark.note_claim(jobs(3, first=300.0), 10)
    assert mark.lanes(10) is None


def test_looks_that_are_slow_again_and_again_rest_although_they_found_few(time: Time) -> None:
    mark = Watermark()
    mark.note_look(jobs(3), 10, 0.05)
    mark.note_look([], 10, 0.05)

    assert mark.lanes(10) == (["database"], ["default"], [0], [102 - MARGIN])
    mark.note_claim([], 10)
    assert mark.lanes(10) is not None
    assert mark.seconds_left() == pytest.approx(1.0)
    time.now += 1.0
    assert mark.lanes(10) is None


def test_a_quick_look_ends_it_and_forgets_the_lanes(time: Time) -> None:
    mark = Watermark()
    mark.note_look(jobs(3), 10, 0.05)
    mark.note_look(jobs(3), 10, 0.05)

    mark.note_look([], 10, SLOW / 2)
    mark.note_look([], 10, 0.05)
    mark.note_look([], 10, 0.05)

    assert mark.lanes(10) is None
