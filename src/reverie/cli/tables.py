"""Tables, times and JSON as the queue commands print them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import click

from reverie.clock import text_of
from reverie.model import JSON, Job, JobStatus

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 4000
_REASON = 80
"""Characters of an error in a list; `queue show` has all of it."""
STYLES = {
    JobStatus.DONE: "green",
    JobStatus.FAILED: "red",
    JobStatus.RUNNING: "cyan",
    JobStatus.CANCELLED: "yellow",
    JobStatus.SKIPPED: "yellow",
}


def console(*, folds: bool = True) -> Console:
    from rich.console import Console

    # In a pipe nothing is folded: there a line is a row.
    return Console(width=None if folds and sys.stdout.isatty() else _WIDE, highlight=False)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[RenderableType]], *, folds: bool = True, header: bool = True
) -> None:
    """One line for each row. Texts are shown as they are, whatever stands in them.

    Args:
        folds: on a terminal, long texts are folded within their column; the first one never is.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=header)
    for at, name in enumerate(columns):
        table.add_column(name, no_wrap=at == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one) if isinstance(one, str) else one for one in row))
    out = console(folds=folds)
    if sys.stdout.isatty():
        out.print(table, soft_wrap=not folds)
        return
    with out.capture() as written:
        out.print(table, soft_wrap=not folds)
    for line in written.get().splitlines():  # rich fills the last column up to the longest text in it
        click.echo(line.rstrip())


@contextmanager
def progress(title: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, and nothing in a pipe; tell it how many more are done."""
    from rich.progress import BarColumn, Progress, TextColumn

    counter = TextColumn("{task.completed:.0f}")
    with Progress(TextColumn(title), BarColumn(), counter, transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda more: bar.advance(task, more)


class Step(Protocol):
    """Does up to *limit*, and says how many it did."""

    async def __call__(self, *, limit: int) -> int: ...


async def in_batches(title: str, step: Step, *, batch: int = 1000) -> int:
    """Repeat *step* until there is nothing left; how many it did in all."""
    total = 0
    with progress(title) as advance:
        while True:
            done = await step(limit=batch)
            total += done
            advance(done)
            if done < batch:
                return total


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


def print_jobs(jobs: Sequence[Job], now: float, *, as_json: bool) -> None:
    """A table of jobs as they are *now*, or a JSON list."""
    if as_json:
        print_json([entry(job) for job in jobs])
    elif not jobs:
        click.echo("No jobs found.")
    else:
        columns = ("ID", "Status", "Queue", "Name", "Tries", "When", "Error")
        print_table(columns, (_cells(job, now) for job in jobs), folds=False)


def _cells(job: Job, now: float) -> list[RenderableType]:
    error = job.error.get("message") if isinstance(job.error, dict) else job.error
    where = f"{job.connection}:{job.queue}"
    reason = one_line(error)
    shown = reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."
    return [job.id, status(job), where, job.name, str(job.attempts), _when_of(job, now), shown]


def _when_of(job: Job, now: float) -> str:
    if job.finished_at is not None:
        return f"ended {lasted(now - job.finished_at)} ago"
    if job.due_at > now:
        return f"due in {lasted(job.due_at - now)}"
    return f"queued {lasted(now - job.created_at)} ago"


def status(job: Job) -> RenderableType:
    from rich.text import Text

    return Text(job.status.value, style=STYLES.get(job.status, ""))
