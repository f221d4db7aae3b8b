"""``reverie queue failed|retry|forget|flush|prune-failed``: failed scripts, listed, tried again and cleared away."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from reverie.cli.options import Misuse, Number, as_json, at_desk, command
from reverie.cli.tables import in_batches, one_line, print_json, print_table
from reverie.clock import text_of
from reverie.errors import NotFound
from reverie.jobs.ledger import JobFilter
from reverie.model import JSON, Job, JobStatus

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.jobs.desk import Desk
    from reverie.jobs.queue import Queue

Choose: TypeAlias = Callable[[list[str]], Awaitable[None]]
_PAGE = 500


@command()
@as_json
@click.pass_obj
def failed(config: Path | None, as_json: bool) -> None:
    """List the failed scripts, newest first."""
    show_failed(at_desk(config, lambda desk: _failed_in(desk.queue, None)), as_json=as_json)


@command()
@click.argument("ids", nargs=-1)
@click.option("--queue", help="Retry every failed script of this queue.")
@click.option("--range", "places", metavar="FROM-TO", help="Retry by place in the list of `queue failed`, from 1.")
@click.option(
    "--version",
    type=click.Choice(["then", "now"]),
    help="Run the script as it was when the job was queued, or as it is.  [default: as chosen last, else now]",
)
@click.pass_obj
def retry(
    config: Path | None, ids: tuple[str, ...], queue: str | None, places: str | None, version: str | None
) -> None:
    """Run failed scripts again, now: IDS as `queue failed` shows them, or `all`."""
    wanted = None if places is None else read_places(places)
    if places is not None and wanted is None:
        raise Misuse("--range takes two places with a dash between them, such as 1-5.")
    for line in at_desk(config, lambda desk: retry_in(desk.queue, ids, queue, wanted, _choosing(desk, version))):
        click.echo(line)


@command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def forget(config: Path | None, job_id: str) -> None:
    """Delete one failed script; exit 1 when there is none with that ID."""
    if not at_desk(config, lambda desk: _forget(desk, job_id)):
        click.echo("No failed job matches the given ID.", err=True)
        sys.exit(1)
    click.echo(f"{job_id} is forgotten.")


@command()
@click.option("--hours", type=Number("hours", whole=False), help="Only those that failed at least so many hours ago.")
@click.pass_obj
def flush(config: Path | None, hours: float | None) -> None:
    """Delete every failed script."""
    click.echo(f"Failed jobs deleted: {at_desk(config, lambda desk: _purge(desk, hours))}")


@command("prune-failed")
@click.option(
    "--hours",
    type=Number("hours", whole=False),
    default=24,
    show_default=True,
    help="Those that failed more than so many hours ago.",
)
@click.pass_obj
def prune_failed(config: Path | None, hours: float) -> None:
    """Delete the failed scripts that are old, and print how many."""
    click.echo(f"Failed jobs deleted: {at_desk(config, lambda desk: _purge(desk, hours))}")


async def all_failed(settings: Settings) -> list[Job]:
    """Every failed job, newest first, without payload."""
    from reverie.app import open_queue

    async with open_queue(settings) as queue:
        return await _failed_in(queue, None)


async def _failed_in(queue: Queue, name: str | None) -> list[Job]:
    """Those that a worker has failed: what failed on a ``sync`` connection was told to its caller."""
    jobs: list[Job] = []
    while True:
        page = await queue.ledger.find(JobFilter(status=JobStatus.FAILED, queue=name), limit=_PAGE, offset=len(jobs))
        jobs += page
        if len(page) < _PAGE:
            return [job for job in jobs if not queue.connections.is_sync(job.connection)]


def show_failed(jobs: Sequence[Job], *, as_json: bool) -> None:
    """Print a table, or a JSON list with message, line and excerpt of each error."""
    if as_json:
        print_json([_entry(job) for job in jobs])
    elif not jobs:
        click.echo("No failed jobs found.")
    else:
        names = ("id", "connection", "queue", "class", "failed_at")
        rows = ([*(str(entry[name]) for name in names), _reason(entry)] for entry in map(_entry, jobs))
        print_table(("ID", "Connection", "Queue", "Class", "Failed At", "Error"), rows, folds=False)


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


def _reason(entry: dict[str, JSON]) -> str:
    parts = [one_line(entry["message"])]
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
    """`retry_in` the queue of the settings."""
    from reverie.app import open_queue

    async with open_queue(settings) as queue:
        return await retry_in(queue, ids, queue_name, places)


def _choosing(desk: Desk, version: str | None) -> Choose | None:
    """What notes for jobs with which version of their script they run; None where nothing was said."""
    from reverie.store.script_versions import choose_versions

    return None if version is None else partial(choose_versions, desk.store, then=version == "then")


async def retry_in(
    queue: Queue, ids: Sequence[str], queue_name: str | None, places: range | None, choose: Choose | None = None
) -> list[str]:
    """Retry what was asked for; a line for each job, and for each id that is none of a failed job."""
    wanted = dict.fromkeys(one for one in ids if one != "all")
    if "all" in ids or queue_name is not None or places is not None:
        listed = await _failed_in(queue, queue_name)
        chosen = listed if places is None else [job for at, job in enumerate(listed, 1) if at in places]
        wanted |= dict.fromkeys(job.id for job in chosen)
    if not wanted:
        return ["No retryable jobs found."]
    if choose is not None:
        await choose(list(wanted))
    retried = {job.id: job for job in await queue.retry(list(wanted))}
    return [
        f"{one} {retried[one].name} is due again." if one in retried else f"There is no failed job with id [{one}]."
        for one in wanted
    ]


async def _forget(desk: Desk, job_id: str) -> bool:
    try:
        job = await desk.queue.ledger.get(job_id)
    except NotFound:
        return False
    return job.status is JobStatus.FAILED and bool(await desk.queue.ledger.forget([job_id]))


async def _purge(desk: Desk, hours: float | None) -> int:
    """Delete what failed more than *hours* ago, or all; how many."""
    before = math.inf if hours is None else desk.clock.now() - hours * 3600
    ledger = desk.queue.ledger
    return await in_batches("deleting", partial(ledger.purge, status=JobStatus.FAILED, ended_before=before))
