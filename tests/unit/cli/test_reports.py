"""Lines of a worker in the foreground."""

from __future__ import annotations

import json

import pytest

from reverie.cli.reports import json_of, line_of
from reverie.jobs.settle import failed, finished, retried
from reverie.jobs.work import Report, Step
from reverie.model import JSON, Job

JOB = Job(
    id="0190", kind="script.service", script="service:1", name="service:math", connection="database", queue="slow"
)
NOW = 1714640943.25
ERROR: JSON = {"type": "TypeError", "message": "x is not\n a function", "line": 3}


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (Report(step=Step.RUNNING, job=JOB, seconds=0), "2024-05-02 09:09:03 service:math RUNNING"),
        (
            Report(step=Step.DONE, job=JOB, seconds=0.0412, settlement=finished(JOB)),
            "2024-05-02 09:09:03 service:math 41ms DONE",
        ),
        (
            Report(step=Step.FAILED, job=JOB, seconds=12.34, settlement=failed(JOB, ERROR)),
            "2024-05-02 09:09:03 service:math 12.3s FAIL: x is not a function",
        ),
    ],
)
def test_each_step_is_a_line(report: Report, line: str) -> None:
    assert line_of(report, NOW) == line


@pytest.mark.parametrize("step", list(Step))
def test_every_step_has_words_in_both_forms(step: Step) -> None:
    report = Report(step=step, job=JOB, seconds=1)

    assert "\n" not in line_of(report, NOW)
    assert json.loads(json_of(report, NOW))["status"]


def test_json_has_the_keys_that_programs_look_for() -> None:
    report = Report(step=Step.FAILED, job=JOB, seconds=0.5, settlement=failed(JOB, ERROR))

    assert json.loads(json_of(report, NOW)) == {
        "level": "warning",
        "id": "0190",
        "uuid": "0190",
        "connection": "database",
        "queue": "slow",
        "job": "service:math",
        "status": "failed",
        "result": "failed",
        "attempts": 1,
        "exception": "TypeError",
        "message": "x is not\n a function",
        "timestamp": "2024-05-02T09:09:03.250+00:00",
        "duration": 0.5,
    }


def test_a_run_that_will_be_tried_again_is_called_released() -> None:
    report = Report(step=Step.RETRIED, job=JOB, seconds=0.5, settlement=retried(JOB, ERROR, pause=1.0))

    assert json.loads(json_of(report, NOW))["status"] == "released_after_exception"
