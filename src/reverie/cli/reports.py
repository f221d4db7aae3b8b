"""What a worker in the foreground prints: a line for each step of a job, or a JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import click

from reverie.clock import text_of
from reverie.jobs.work import Report, Step
from reverie.model import JSON, JobStatus

_WORDS: Final = {
    Step.RUNNING: "RUNNING",
    Step.DONE: "DONE",
    Step.FAILED: "FAIL",
    Step.RETRIED: "FAIL, will be tried again",
    Step.CRASHED: "CRASHED",
    Step.RELEASED: "GIVEN BACK",
    Step.SKIPPED: "SKIPPED",
    Step.LOST: "LOST to another worker",
}
_STATUSES: Final = {
    Step.RUNNING: "starting",
    Step.DONE: "success",
    Step.FAILED: "failed",
    Step.RETRIED: "released_after_exception",
    Step.CRASHED: "released_after_exception",
}


def printer(*, as_json: bool, now: Callable[[], float]) -> Callable[[Report], None]:
    """A function that prints a report; *now* gives Unix seconds."""

    def show(report: Report) -> None:
        click.echo(json_of(report, now()) if as_json else line_of(report, now()))

    return show


def line_of(report: Report, now: float) -> str:
    """``2024-05-02 09:15:03 service:queued_script 41ms DONE``."""
    took = "" if report.step is Step.RUNNING else f"{_duration(report.seconds)} "
    line = f"{text_of(now)} {report.job.name} {took}{_WORDS[report.step]}"
    message = _error(report).get("message")
    return f"{line}: {_one_line(message)}" if isinstance(message, str) and message else line


def json_of(report: Report, now: float) -> str:
    """One object on one line, with the keys that scripts around a worker look for."""
    job, error = report.job, _error(report)
    failed_for_good = report.settlement is not None and report.settlement.status is JobStatus.FAILED
    status = "failed" if failed_for_good else _STATUSES.get(report.step, report.step.value)
    fields: dict[str, JSON] = {
        "level": "info" if status in ("starting", "success") else "warning",
        "id": job.id,
        "uuid": job.id,
        "connection": job.connection,
        "queue": job.queue,
        "job": job.name,
        "status": status,
        "result": None if report.step is Step.RUNNING else report.step.value,
        "attempts": job.attempts + 1,
        "exception": error.get("type"),
        "message": error.get("message"),
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "duration": None if report.step is Step.RUNNING else round(report.seconds, 3),
    }
    return json.dumps(fields, ensure_ascii=False)


def _error(report: Report) -> dict[str, JSON]:
    error = report.settlement.error if report.settlement is not None else None
    return error if isinstance(error, dict) else {}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else f"{seconds:.1f}s"
