"""Tables, times and JSON as the queue commands print them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reverie.clock import text_of
from reverie.model import JSON, Job, JobStatus

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 4000
STYLES = {
    JobStatus.DONE: "green",
    JobStatus.FAILED: "red",
    JobStatus.RUNNING: "cyan",
    JobStatus.CANCELLED: "yellow",
    JobStatus.SKIPPED: "yellow",
}


def console() -> Console:
    from rich.console import Console

    # In a pipe nothing is folded: there a line is a row.
    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[RenderableType | None]]) -> None:
    """One line for each row; the first column is never folded. Texts are shown as they are, whatever stands in them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(Text(one) if isinstance(one, str) else one for one in row))
    console().print(table)


def print_json(value: JSON) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def one_line(text: object) -> str:
    return " ".join(str(text or "").split())


def when(seconds: float | None) -> str:
    """``2024-05-02 09:15:00``, UTC; a dash for no time."""
    return "-" if seconds is None else text_of(seconds)


def moment(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, for programs."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lasted(seconds: float | None) -> str:
    """``41ms``, ``2.5s``, ``12m``, ``3h`` or ``2d``; a dash for what is not known."""
    if seconds is None:
        return "-"
    for size, unit in ((86400 * 2, "d"), (7200, "h"), (120, "m")):
        if seconds >= size:
            return f"{seconds / {'d': 86400, 'h': 3600, 'm': 60}[unit]:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"


def entry(job: Job) -> dict[str, JSON]:
    """A job for programs; times in ISO 8601."""
    return {
        "id": job.id,
        "status": job.status.value,
        "name": job.name,
        "kind": job.kind,
        "script": job.script,
        "connection": job.connection,
        "queue": job.queue,
        "priority": job.priority,
        "delay": job.delay,
        "tries": job.tries,
        "attempts": job.attempts,
        "crashes": job.crashes,
        "verb": job.verb,
        "service": job.service,
        "user_id": job.user_id,
        "role_id": job.role_id,
        "app_id": job.app_id,
        "created_at": moment(job.created_at),
        "due_at": moment(job.due_at),
        "finished_at": moment(job.finished_at),
        "error": job.error,
    }


def print_jobs(jobs: Sequence[Job], *, as_json: bool) -> None:
    """A table of jobs, or a JSON list."""
    if as_json:
        print_json([entry(job) for job in jobs])
    elif not jobs:
        click.echo("No jobs found.")
    else:
        columns = ("ID", "Status", "Connection", "Queue", "Name", "Tries", "Queued", "Due", "Ended", "Error")
        print_table(columns, (_cells(job) for job in jobs))


def _cells(job: Job) -> list[RenderableType]:
    error = job.error.get("message") if isinstance(job.error, dict) else job.error
    times = (when(job.created_at), when(job.due_at), when(job.finished_at))
    return [job.id, status(job), job.connection, job.queue, job.name, str(job.attempts), *times, one_line(error)]


def status(job: Job) -> RenderableType:
    from rich.text import Text

    return Text(job.status.value, style=STYLES.get(job.status, ""))
