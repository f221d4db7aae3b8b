"""When a worker stops, in the contract's order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reverie.jobs.stopping import Tally, reason_to_stop
from reverie.jobs.work import Stop, WorkerOptions

EVERYTHING = WorkerOptions(
    memory=1, once=True, stop_when_empty=True, stop_when_empty_for=1, max_time=1, max_jobs=1, concurrency=1
)
TALLY = Tally(born=0, last_job=0, next_start=0, taken=1, performed=1, ended=1, empty=True, slept=True)


def reason(options: WorkerOptions, tally: Tally = TALLY, *, leave: Stop | None = None, now: float = 100) -> Stop | None:
    return reason_to_stop(options, tally, now, quiet=True, leave=leave, memory=lambda: 50.0)


def test_the_first_reason_that_holds_is_told() -> None:
    assert reason(EVERYTHING, leave=Stop.DRAINED) is Stop.DRAINED
    assert reason(EVERYTHING, leave=Stop.RESTART) is Stop.MEMORY
    less = replace(EVERYTHING, memory=0)
    assert reason(less, leave=Stop.RESTART) is Stop.RESTART
    assert reason(less) is Stop.ONCE
    less = replace(less, once=False)
    assert reason(less) is Stop.EMPTY
    less = replace(less, stop_when_empty=False)
    assert reason(less) is Stop.EMPTY
    less = replace(less, stop_when_empty_for=0)
    assert reason(less) is Stop.MAX_TIME
    less = replace(less, max_time=0)
    assert reason(less) is Stop.MAX_JOBS
    assert reason(replace(less, max_jobs=0)) is None


@pytest.mark.parametrize(("limit", "expected"), [(0, None), (49.9, Stop.MEMORY), (50, Stop.MEMORY), (50.1, None)])
def test_at_or_above_its_memory_limit_a_worker_stops_and_0_is_no_limit(limit: float, expected: Stop | None) -> None:
    assert reason(WorkerOptions(memory=limit)) is expected


def test_memory_is_looked_at_after_a_loop_and_by_a_listener_after_a_job() -> None:
    fresh = Tally(born=0, last_job=0, next_start=0)
    slept = Tally(born=0, last_job=0, next_start=0, slept=True)

    assert reason(WorkerOptions(memory=1), fresh) is None
    assert reason(WorkerOptions(memory=1), slept) is Stop.MEMORY
    assert reason(WorkerOptions(memory=1, listens=True), slept) is None
    assert reason(WorkerOptions(memory=1, listens=True)) is Stop.MEMORY
