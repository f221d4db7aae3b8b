"""``reverie queue list|find|show|logs|explain|cancel``: single jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reverie.cli.group import read
from reverie.cli.options import as_json, at_desk, command, limit
from reverie.cli.tables import entry, lasted, moment, one_line, print_jobs, print_json, print_table, when
from reverie.jobs.ledger import ENDED
from reverie.model import JSON, Attempt, Job, JobStatus

if TYPE_CHECKING:
    from reverie.jobs.desk import Desk
    from reverie.jobs.explain import Explanation

LOOK_EVERY: Final = 0.5
"""Seconds between two looks of ``queue logs --follow``."""


@command("list")
@click.option("--status", help="Only these states, with commas between them.")
@click.option("--connection", help="Only jobs of this connection.")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--script", help="Only jobs of this event script or script service.")
@limit(25)
@as_json
@click.pass_obj
def list_jobs(config: Path | None, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List jobs, newest first."""
    words = " ".join(f'{name}:"{value}"' for name, value in filters.items() if value)
    print_jobs(*at_desk(config, lambda desk: _found(desk, words, limit)), as_json=as_json)


@command()
@click.argument("words", nargs=-1, required=True, metavar="KEY:VALUE...")
@limit(100)
@as_json
@click.pass_obj
def find(config: Path | None, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find jobs by the call they keep, newest first.

    \b
    service:orders verb:POST script:db._table.todo.post.queued
    user:me@example.test role:partner app:shop
    status:failed,cancelled queue:slow connection:database
    since:2h until:2024-05-02 error:"out of tea"
    """
    query = words[0] if len(words) == 1 else " ".join(_quoted(word) for word in words)
    print_jobs(*at_desk(config, lambda desk: _found(desk, query, limit)), as_json=as_json)


@command()
@click.argument("job_id", metavar="ID")
@as_json
@click.pass_obj
def show(config: Path | None, job_id: str, as_json: bool) -> None:
    """Show everything about a job but its secrets."""
    from reverie.web.links import job_link

    job, attempts, held, answers_at = at_desk(config, lambda desk: _whole(desk, job_id))
    address = job_link(read(config), job_id, answers_at)
    if as_json:
        runs: list[JSON] = [_attempt(one) for one in attempts]
        print_json({**entry(job), "runs": runs, **held, "address": address})
        return
    print_table(("", ""), _lines(job, held, address), header=False)
    if attempts:
        click.echo()
        print_table(("Attempt", "Outcome", "Worker", "Began", "Took", "Error"), (_cells(one) for one in attempts))
    for line in _error_lines(job.error):
        click.echo(line)
    if job.status is JobStatus.FAILED and job.kind != "call":
        click.echo(f"\nTry a corrected script on it: reverie queue replay {job.id} --script FILE")


@command()
@click.argument("job_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.pass_obj
def logs(config: Path | None, job_id: str, follow: bool) -> None:
    """Print what the script of a job has printed, run after run."""
    at_desk(config, lambda desk: _print_logs(desk, job_id, follow=follow))


@command()
@click.argument("job_id", metavar="ID")
@as_json
@click.pass_obj
def explain(config: Path | None, job_id: str, as_json: bool) -> None:
    """Say in one sentence why a job is not running, and when it is expected to."""
    found = at_desk(config, lambda desk: _explained(desk, job_id))
    if as_json:
        print_json({"id": job_id, "sentence": found.sentence, "expected_at": moment(found.expected_at)})
        return
    click.echo(found.sentence)
    if found.expected_at is not None:
        click.echo(f"Expected to begin: {when(found.expected_at)} UTC")


@command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def cancel(config: Path | None, ids: tuple[str, ...]) -> None:
    """End jobs that wait or run; exit 1 when one of them could not be."""
    cancelled, lines = at_desk(config, lambda desk: _cancelled(desk, ids))
    for line in lines:
        click.echo(line)
    if cancelled < len(set(ids)):
        sys.exit(1)


# -- what they do


def _quoted(word: str) -> str:
    """A word of the shell as a word of a search: what had been quoted there is quoted here."""
    key, colon, value = word.partition(":")
    return f'{key}{colon}"{value}"' if colon and " " in value and '"' not in value else word


async def _found(desk: Desk, query: str, limit: int) -> tuple[list[Job], float]:
    """The jobs, and the time."""
    from reverie.jobs.search import parse_search, resolved

    now = desk.clock.now()
    where = await resolved(parse_search(query, now), desk.store)
    return await desk.queue.ledger.find(where, limit=limit), now


async def _whole(desk: Desk, job_id: str) -> tuple[Job, list[Attempt], dict[str, JSON], str | None]:
    """The job, its runs, the call, and where the API is."""
    from reverie.store.facts import ANSWERS_AT, get_fact

    job = await desk.queue.ledger.get(job_id)
    attempts = await desk.queue.ledger.attempts(job_id)
    return job, attempts, _held(desk, job), await get_fact(desk.store, ANSWERS_AT)


def _held(desk: Desk, job: Job) -> dict[str, JSON]:
    """What the API tells of the call, under the same masks."""
    from reverie.jobs.payload import about_of, unpack
    from reverie.services.system.job import held

    return held(job, lambda one: unpack(one.payload, desk.store.sealer, about=about_of(one.kind, one.script)))


def _lines(job: Job, held: Mapping[str, JSON], address: str) -> Iterator[Sequence[str]]:
    yield "Job", job.id
    yield "Name", job.name
    yield "Status", job.status.value
    yield "Queue", f"{job.queue} of the connection {job.connection}, priority {job.priority}"
    yield "Queued", when(job.created_at)
    yield "Due", when(job.due_at)
    if job.finished_at is not None:
        yield "Ended", when(job.finished_at)
    allowed = {None: "as the worker says", 0: "for ever"}.get(job.tries, str(job.tries))
    yield "Tries", f"{job.attempts} used, allowed: {allowed}; {job.crashes} crashes"
    request = held.get("request")
    if isinstance(request, dict):
        yield "Call", f"{request.get('method') or job.verb} {request.get('uri') or job.service}"
    who = {"user": job.user_id, "role": job.role_id, "app": job.app_id}
    yield "Caller", ", ".join(f"{kind} {number}" for kind, number in who.items() if number is not None) or "-"
    for name in ("request", "response", "environment", "note"):
        if held.get(name):
            yield name.capitalize(), _json(held[name])
    yield "Address", address


def _json(value: JSON) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _attempt(one: Attempt) -> JSON:
    return {
        "number": one.number,
        "outcome": one.outcome,
        "worker": one.worker,
        "started_at": moment(one.started_at),
        "ended_at": moment(one.ended_at),
        "error": one.error,
        "output": one.output,
    }


def _cells(one: Attempt) -> list[str]:
    error = one.error.get("message") if isinstance(one.error, dict) else one.error
    took = lasted(None if one.ended_at is None else one.ended_at - one.started_at)
    return [str(one.number), one.outcome, one.worker or "-", when(one.started_at), took, one_line(error)]


def _error_lines(error: JSON) -> Iterator[str]:
    """The error, and the line of the script where it was raised."""
    if not isinstance(error, dict):
        return
    yield ""
    yield f"{error.get('type')}: {error.get('message')}"
    if error.get("source"):
        yield str(error["source"])
    elif error.get("line") is not None:
        yield f"> {error['line']} | {str(error.get('excerpt') or '').rstrip()}"


async def _print_logs(desk: Desk, job_id: str, *, follow: bool) -> None:
    printed = 0
    while True:
        job = await desk.queue.ledger.get(job_id)
        attempts = await desk.queue.ledger.attempts(job_id)
        for one in attempts[printed:]:
            click.echo(f"-- attempt {one.number}, {one.outcome}, {when(one.started_at)} UTC")
            if one.output:
                click.echo(one.output, nl=not one.output.endswith("\n"))
        printed = len(attempts)
        if not follow or job.status in ENDED:
            return
        await desk.clock.sleep(LOOK_EVERY)


async def _explained(desk: Desk, job_id: str) -> Explanation:
    from reverie.jobs.explain import explain, language_of

    job = await desk.queue.ledger.get(job_id)
    language = await language_of(desk.store, job)
    return await explain(desk.queue, job, desk.signals, desk.clock, language=language)


async def _cancelled(desk: Desk, ids: Sequence[str]) -> tuple[int, list[str]]:
    """How many were, and a line for each."""
    from reverie.errors import NotFound

    done = {job.id: job for job in await desk.queue.cancel(list(dict.fromkeys(ids)))}
    lines: list[str] = []
    for one in dict.fromkeys(ids):
        if one in done:
            lines.append(f"{one} {done[one].name} is cancelled.")
            continue
        try:
            job = await desk.queue.ledger.get(one)
        except NotFound as error:
            lines.append(error.message)
        else:
            lines.append(f"{one} {job.name} has ended: it is {job.status.value}.")
    return len(done), lines
