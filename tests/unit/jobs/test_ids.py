"""Ids of jobs."""

from __future__ import annotations

import uuid

from tests.unit.jobs.scene import NOON, MovingClock

from reverie.jobs.ids import JobIds


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    made = uuid.UUID(JobIds(MovingClock()).make())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOON * 1000)


def test_ids_grow_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    clock = MovingClock()
    ids = JobIds(clock)

    made = [ids.make() for _ in range(10_000)]
    clock.move(-3600)
    made += [ids.make() for _ in range(100)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
