"""A checker that finds nothing proves nothing: each broken promise is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.checker import Accepted, Evidence, Row, Run, check
from tests.chaos.effects import BEGIN, END, STOPPED, Effect

ROW = Row(id="a", status="done", epoch=2, attempts=1, crashes=1)
RUNS = [Run(job_id="a", epoch=1, outcome="crashed"), Run(job_id="a", epoch=2, outcome="done")]
EFFECTS = [Effect("a", 1, BEGIN, 10.0, 1), Effect("a", 2, BEGIN, 20.0, 2), Effect("a", 2, END, 21.0, 2)]
GOOD = Evidence(
    accepted={"a": Accepted(key="a", due_at=10.0)}, effects=EFFECTS, rows=[ROW], runs=RUNS, tries=3, max_crashes=3
)


def test_a_job_that_crashed_once_and_was_done_is_well() -> None:
    verdict = check(GOOD)

    assert verdict.violations == []
    assert str(verdict) == "1 accepted · 1 done · 0 lost · 0 finished twice"
    assert verdict.ran_again == 1


@pytest.mark.parametrize(
    ("evidence", "promise"),
    [
        pytest.param(replace(GOOD, rows=[]), "I1", id="it is not in the ledger"),
        pytest.param(replace(GOOD, rows=[replace(ROW, status="waiting")]), "I1", id="it has not ended"),
        pytest.param(replace(GOOD, effects=EFFECTS[:2]), "I1", id="it is done and its script did not end"),
        pytest.param(replace(GOOD, runs=RUNS[:1]), "I1", id="it is done and no run finished it"),
        pytest.param(replace(GOOD, rows=[replace(ROW, status="cancelled")]), "I1", id="it is cancelled and done"),
        pytest.param(
            replace(GOOD, runs=[*RUNS, Run(job_id="a", epoch=2, outcome="failed")]), "I2", id="one epoch ended twice"
        ),
        pytest.param(replace(GOOD, rows=[replace(ROW, epoch=1)]), "I2", id="a run beyond the epoch of the job"),
        pytest.param(
            replace(GOOD, effects=[*EFFECTS, Effect("a", 2, BEGIN, 20.5, 3)]), "I2", id="one epoch began twice"
        ),
        pytest.param(
            replace(GOOD, effects=[*EFFECTS, Effect("a", 1, BEGIN, 22.0, 3)]), "I2", id="an old epoch began late"
        ),
        pytest.param(
            replace(GOOD, accepted={"a": Accepted(key="a", due_at=10.5)}), "I3", id="it began before it was due"
        ),
        pytest.param(
            replace(GOOD, accepted={"a": Accepted(key="a", cancelled_at=12.0)}),
            "I3",
            id="it began after it was cancelled",
        ),
        pytest.param(
            replace(
                GOOD,
                accepted={"a": Accepted(key="a", cancelled_at=20.0)},
                effects=[*EFFECTS[:2], Effect("a", 2, STOPPED, 26.0, 2)],
            ),
            "I3",
            id="it ran on after it was cancelled",
        ),
        pytest.param(
            replace(
                GOOD,
                effects=[*EFFECTS, Effect("a", 1, END, 20.5, 1)],
                runs=[Run(job_id="a", epoch=1, outcome="retried"), RUNS[1]],
            ),
            "I4",
            id="two runs at a time and neither lost its lease",
        ),
        pytest.param(replace(GOOD, rows=[replace(ROW, attempts=4)]), "I5", id="too many tries"),
        pytest.param(replace(GOOD, max_crashes=0), "I5", id="too many crashes"),
        pytest.param(replace(GOOD, rows=[replace(ROW, crashes=0)]), "I5", id="crashes that history does not know"),
        pytest.param(
            replace(GOOD, rows=[ROW, replace(ROW, id="b", status="running")]), "I6", id="somebody still holds a job"
        ),
        pytest.param(replace(GOOD, orphans=1), "I6", id="rows that belong to no job"),
    ],
)
def test_each_broken_promise_is_found(evidence: Evidence, promise: str) -> None:
    assert promise in {violation[:2] for violation in check(evidence).violations}


def test_jobs_that_are_lost_or_finished_twice_are_counted() -> None:
    twice = replace(GOOD, runs=[Run(job_id="a", epoch=1, outcome="done"), RUNS[1]])

    assert check(replace(GOOD, rows=[])).lost == 1
    assert check(twice).finished_twice == 1
