"""Failed scripts, listed and tried again."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from reverie.clock import text_of
from reverie.jobs.ledger import JobFilter
from reverie.model import JSON, Job, JobStatus

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.jobs.queue import Queue

_PAGE = 500


async def all_failed(settings: Settings) -> list[Job]:
    """Every failed job, newest first, without payload."""
    from reverie.app import open_queue

    async with open_queue(settings) as queue:
        return await _failed_in(queue, None)


async def _failed_in(queue: Queue, name: str | None) -> list[Job]:
    jobs: list[Job] = []
    while True:
        page = await queue.ledger.find(JobFilter(status=JobStatus.FAILED, queue=name), limit=_PAGE, offset=len(jobs))
        jobs += page
        if len(page) < _PAGE:
            return jobs


def show_failed(jobs: Sequence[Job], *, as_json: bool) -> None:
    """Print a table, or a JSON list with message, line and excerpt of each error."""
    if as_json:
        click.echo(json.dumps([_entry(job) for job in jobs], ensure_ascii=False))
    elif not jobs:
        click.echo("No failed jobs found.")
    else:
        _print_table(jobs)


def _entry(job: Job) -> dict[str, JSON]:
    error = job.error if isinstance(job.error, dict) else {}
    return {
        "id": job.id,
        "connection": job.connection,
        "queue": job.queue,
        "class": job.name,
        "failed_at": text_of(job.finished_at or 0.0),
        "message": error.get("message"),
        "line": error.get("line"),
        "excerpt": error.get("excerpt"),
    }


def _print_table(jobs: Sequence[Job]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("ID", "Connection", "Queue", "Class", "Failed At", "Error", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for job in jobs:
        entry = _entry(job)
        cells = (entry[name] for name in ("id", "connection", "queue", "class", "failed_at"))
        table.add_row(*(Text(str(cell)) for cell in cells), Text(_reason(entry)))
    # In a pipe nothing is folded: there a line is a job.
    Console(width=None if sys.stdout.isatty() else 4000).print(table)


def _reason(entry: dict[str, JSON]) -> str:
    parts = [" ".join(str(entry["message"] or "").split())]
    if entry["line"] is not None:
        parts.append(f"line {entry['line']}")
    if entry["excerpt"]:
        parts.append(str(entry["excerpt"]).strip())
    return " | ".join(part for part in parts if part)


def read_places(text: str) -> range | None:
    """``2-5`` → the places 2, 3, 4 and 5; None for what is no range from 1 on."""
    found = re.fullmatch(r"(\d+)-(\d+)", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        return None
    return range(int(found[1]), int(found[2]) + 1)


async def retry_failed(
    settings: Settings, ids: Sequence[str], queue_name: str | None, places: range | None
) -> list[str]:
    """Retry what was asked for; a line for each job, and for each id that is none of a failed job."""
    from reverie.app import open_queue

    async with open_queue(settings) as queue:
        wanted = dict.fromkeys(one for one in ids if one != "all")
        if "all" in ids or queue_name is not None or places is not None:
            listed = await _failed_in(queue, queue_name)
            chosen = listed if places is None else [job for at, job in enumerate(listed, 1) if at in places]
            wanted |= dict.fromkeys(job.id for job in chosen)
        retried = {job.id: job for job in await queue.retry(list(wanted))} if wanted else {}
    if not wanted:
        return ["No retryable jobs found."]
    return [
        f"{one} {retried[one].name} is due again." if one in retried else f"There is no failed job with id [{one}]."
        for one in wanted
    ]
