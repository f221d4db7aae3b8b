"""``reverie queue clear|monitor|pause|resume|stats|doctor``: whole queues."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reverie.cli.options import Misuse, Number, as_json, at_desk, command
from reverie.cli.tables import console, in_batches, lasted, moment, print_json, print_table, when
from reverie.errors import BadRequest
from reverie.model import JSON, JobStatus

if TYPE_CHECKING:
    from rich.console import RenderableType

    from reverie.jobs.connections import Connections
    from reverie.jobs.desk import Desk
    from reverie.jobs.finding import Finding
    from reverie.jobs.ledger import WorkerRecord
    from reverie.jobs.speed import Lately
    from reverie.jobs.stats import QueueStats, Stats

_UNFINISHED: Final = (JobStatus.WAITING, JobStatus.DELAYED, JobStatus.RUNNING)
_BAR: Final = 20
_ROOMY: Final = 130
"""Characters of a line that hold every column of `queue stats`."""


@command()
@click.argument("connection", required=False)
@click.option("--queue", help="The queues, with commas between them.  [default: the connection's own]")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def clear(config: Path | None, connection: str | None, queue: str | None, force: bool) -> None:
    """Delete every job of a queue that has not ended: waiting, delayed and running ones.

    CONNECTION is the name of a queue connection; without it, the default one. Asks first when a person is there.
    """
    if not force and sys.stdin.isatty():
        click.confirm("Delete every job that waits or runs there?", abort=True)
    names = [name.strip() for name in (queue or "").split(",") if name.strip()]
    for name, count in at_desk(config, lambda desk: _clear(desk, connection, names)):
        click.echo(f"Jobs of the queue {name!r} deleted: {count}")


@command()
@click.argument("queues", metavar="[CONNECTION:]QUEUE,...")
@click.option(
    "--max", "most", type=Number("max", whole=True), default=1000, show_default=True, help="From this size on: ALERT."
)
@as_json
@click.pass_obj
def monitor(config: Path | None, queues: str, most: int, as_json: bool) -> None:
    """Show the size of queues, and which are too large."""
    sizes = at_desk(config, lambda desk: _sizes(desk, queues.split(",")))
    rows = [_size(one, most) for one in sizes]
    if as_json:
        print_json([*rows])
        return
    columns = ("Queue", "Size", "Pending", "Delayed", "Reserved", "Oldest pending", "Status")
    print_table(columns, (_monitor_cells(row) for row in rows))


@command()
@click.argument("queue", required=False, metavar="[CONNECTION:]QUEUE")
@click.option("--all", "everything", is_flag=True, help="Every queue that is known.")
@click.pass_obj
def pause(config: Path | None, queue: str | None, everything: bool) -> None:
    """Let workers take nothing from a queue; what runs goes on, and jobs are still accepted."""
    _one_or_all(queue, everything)
    for name in at_desk(config, lambda desk: _pause(desk, queue)):
        click.echo(f"{name} is paused.")


@command()
@click.argument("queue", required=False, metavar="[CONNECTION:]QUEUE")
@click.option("--all", "everything", is_flag=True, help="Every queue that is paused.")
@click.pass_obj
def resume(config: Path | None, queue: str | None, everything: bool) -> None:
    """Let workers take from a paused queue again."""
    _one_or_all(queue, everything)
    names = at_desk(config, lambda desk: _resume(desk, queue))
    for name in names:
        click.echo(f"{name} goes on.")
    if not names:
        click.echo("No queue is paused.")


@command("stats")
@as_json
@click.pass_obj
def show_stats(config: Path | None, as_json: bool) -> None:
    """Show every queue in figures: depth, oldest due job, speed, failures, workers."""
    from reverie.jobs.stats import stats

    known = at_desk(config, lambda desk: stats(desk.queue, desk.signals, desk.clock.now()))
    if as_json:
        print_json(_stats_map(known))
    else:
        _print_stats(known)


@command()
@as_json
@click.pass_obj
def doctor(config: Path | None, as_json: bool) -> None:
    """Look whether the queue is well, and say what to do where it is not; exit 1 when something does not work."""
    from reverie.jobs.doctor import examine

    findings = at_desk(config, examine)
    if as_json:
        print_json([{"level": one.level, "subject": one.subject, "message": one.message} for one in findings])
    else:
        _print_findings(findings)
    if any(one.level == "error" for one in findings):
        sys.exit(1)


# -- names


def _one_or_all(queue: str | None, everything: bool) -> None:
    if (queue is None) is not everything:
        raise Misuse("Name one queue, as in database:slow, or say --all.")


def _named(text: str, connections: Connections) -> tuple[str, str]:
    """``database:slow`` → both names; ``slow`` is a queue of the default connection. Raises UnknownConnection."""
    first, colon, second = text.strip().partition(":")
    connection, queue = (first, second) if colon else (None, first)
    return connections.find(connection).name, queue or connections.find(connection).queue


# -- what they do


async def _clear(desk: Desk, connection: str | None, queues: Sequence[str]) -> list[tuple[str, int]]:
    found = desk.queue.connections.find(connection)
    if found.driver in ("sync", "null"):
        raise BadRequest(f"The [{found.name}] queue connection keeps no jobs that could be deleted.")
    ledger = desk.queue.ledger
    cleared: list[tuple[str, int]] = []
    for queue in queues or [found.queue]:
        clear_some = partial(ledger.clear, found.name, queue)
        cleared.append((queue, await in_batches("deleting", clear_some)))
    return cleared


async def _sizes(desk: Desk, names: Iterable[str]) -> list[QueueStats]:
    from reverie.jobs.stats import QueueStats, stats

    found = await stats(desk.queue, desk.signals, desk.clock.now())
    known = {(one.connection, one.queue): one for one in found.queues}
    return [
        known.get(pair)
        or QueueStats(
            connection=pair[0],
            queue=pair[1],
            jobs={},
            oldest_due=None,
            paused=False,
            workers=0,
        )
        for pair in (_named(name, desk.queue.connections) for name in names)
    ]


def _size(one: QueueStats, most: int) -> dict[str, JSON]:
    return {
        "connection": one.connection,
        "queue": one.queue,
        "size": one.unfinished,
        "pending": one.jobs.get(JobStatus.WAITING, 0),
        "delayed": one.jobs.get(JobStatus.DELAYED, 0),
        "reserved": one.jobs.get(JobStatus.RUNNING, 0),
        "oldest_pending": moment(one.oldest_due),
        "status": "ALERT" if one.unfinished >= most else "OK",
    }


def _monitor_cells(row: dict[str, JSON]) -> list[RenderableType]:
    from rich.text import Text

    status = str(row["status"])
    figures = (str(row[name]) for name in ("size", "pending", "delayed", "reserved"))
    shown = Text(status, style="bold red" if status == "ALERT" else "green")
    return [f"{row['connection']}:{row['queue']}", *figures, str(row["oldest_pending"] or "-"), shown]


async def _pause(desk: Desk, text: str | None) -> list[str]:
    if text is not None:
        pairs = [_named(text, desk.queue.connections)]
    else:
        from reverie.jobs.stats import stats

        known = await stats(desk.queue, desk.signals, desk.clock.now())
        own = [desk.queue.connections.find(name) for name in desk.queue.connections.names()]
        pairs = [(one.name, one.queue) for one in own if one.driver not in ("sync", "null")]
        pairs = sorted({*pairs, *((one.connection, one.queue) for one in known.queues)})
    for pair in pairs:
        await desk.queue.pause(*pair)
    return [":".join(pair) for pair in pairs]


async def _resume(desk: Desk, text: str | None) -> list[str]:
    paused = await desk.queue.ledger.paused()
    pairs = paused
    if text is not None:
        # The connection of a pause may have left the settings.
        pairs = [pair for pair in paused if ":".join(pair) == text] or [_named(text, desk.queue.connections)]
    for pair in pairs:
        await desk.queue.resume(*pair)
    return [":".join(pair) for pair in pairs]


# -- how they print


def _print_stats(known: Stats) -> None:
    """Both tables; a narrow terminal gets the columns that matter most."""
    if known.maintenance:
        click.echo("Maintenance mode is on: workers take nothing.")
    if not known.queues and not known.workers:
        click.echo("No jobs and no workers.")
        return
    wide = console().width >= _ROOMY
    columns = ["Queue", "Waiting", "Delayed", "Running", "Failed", "Oldest", "Jobs/s", "Workers"]
    more = ["Done", "Jobs/s 5m", "Failed 5m", "Mean wait", "Mean run", "Not ended"] if wide else []
    largest = max((one.unfinished for one in known.queues), default=0)
    print_table([*columns, *more], (_stats_cells(one, known.at, largest, wide=wide) for one in known.queues))
    if known.workers:
        click.echo()
        columns = ["Worker", "Host", "Process", "Serves", "Seen"]
        print_table(
            [*columns, "Since"] if wide else columns, (_worker_cells(one, known.at, wide) for one in known.workers)
        )


def _stats_cells(one: QueueStats, now: float, largest: int, *, wide: bool) -> list[RenderableType]:
    from rich.bar import Bar

    lately = one.speed.five_minutes
    cells: list[RenderableType] = [
        f"{one.connection}:{one.queue}{' (paused)' if one.paused else ''}",
        *(str(one.jobs.get(status, 0)) for status in (*_UNFINISHED, JobStatus.FAILED)),
        lasted(None if one.oldest_due is None else max(now - one.oldest_due, 0.0)),
        f"{one.speed.one_minute.per_second:.2f}",
        str(one.workers),
    ]
    if wide:
        cells += [str(one.jobs.get(JobStatus.DONE, 0)), f"{lately.per_second:.2f}", str(lately.failed)]
        cells += [lasted(lately.waited), lasted(lately.ran)]
        cells.append(Bar(largest or 1, 0, one.unfinished, width=_BAR) if sys.stdout.isatty() else str(one.unfinished))
    return cells


def _worker_cells(one: WorkerRecord, now: float, wide: bool) -> list[str]:
    queues = ", ".join(one.queues) if one.queues else "every queue"
    serves = f"{one.connection}: {queues}" if one.connection else queues
    cells = [one.name, one.host, str(one.process), serves, f"{lasted(max(now - one.seen_at, 0.0))} ago"]
    return [*cells, when(one.started_at)] if wide else cells


def _stats_map(known: Stats) -> JSON:
    return {
        "at": moment(known.at),
        "maintenance": known.maintenance,
        "queues": [
            {
                "connection": one.connection,
                "queue": one.queue,
                "jobs": {status.value: count for status, count in one.jobs.items()},
                "unfinished": one.unfinished,
                "oldest_due": moment(one.oldest_due),
                "paused": one.paused,
                "workers": one.workers,
                "one_minute": _lately(one.speed.one_minute),
                "five_minutes": _lately(one.speed.five_minutes),
            }
            for one in known.queues
        ],
        "workers": [
            {
                "name": one.name,
                "host": one.host,
                "process": one.process,
                "connection": one.connection,
                "queues": None if one.queues is None else list(one.queues),
                "started_at": moment(one.started_at),
                "seen_at": moment(one.seen_at),
            }
            for one in known.workers
        ],
    }


def _lately(one: Lately) -> JSON:
    return {
        "ended": one.ended,
        "per_second": round(one.per_second, 3),
        "failed": one.failed,
        "mean_wait": one.waited,
        "mean_run": one.ran,
    }


def _print_findings(findings: Sequence[Finding]) -> None:
    from rich.text import Text

    styles = {"ok": "green", "warning": "yellow", "error": "bold red"}
    width = max(len(one.subject) for one in findings)
    shown = console()
    for one in findings:
        shown.print(
            Text.assemble((f"{one.level:<8}", styles[one.level]), f"{one.subject:<{width}}  {one.message}"),
            soft_wrap=True,
        )
