"""``reverie queue listen|work|failed|retry``, also spelled ``queue:listen``.

A mistake in the use of these commands ends them with exit 1, before anything is done.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reverie.cli.group import read

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.jobs.work import WorkerOptions

F = TypeVar("F", bound=Callable[..., Any])


class Misuse(click.UsageError):
    """A mistake in the use of a queue command."""

    exit_code = 1


class _Command(click.Command):
    """A command whose usage errors end with exit 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from error


class _Group(click.Group):
    command_class = _Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from error


class _Number(click.ParamType[int | float]):
    """A number that is not negative."""

    def __init__(self, name: str, *, whole: bool) -> None:
        self.name = name
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            number: int | float = int(value) if self._whole else float(value)
        except ValueError:
            self.fail(f"{value!r} is not a {'whole ' if self._whole else ''}number.", param, ctx)
        if number < 0 or not math.isfinite(number):
            self.fail(f"{value!r} is not a number from 0 on.", param, ctx)
        return number


class _Backoff(click.ParamType[tuple[float, ...]]):
    """Seconds with commas between them."""

    name = "backoff"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        seconds = _Number("seconds", whole=False)
        return tuple(float(seconds.convert(part, param, ctx)) for part in str(value).split(","))


def _number(name: str, default: float, meaning: str, *, whole: bool = False) -> Callable[[F], F]:
    """An option whose value may be left out: ``--tries`` alone means its default."""
    given = int(default) if whole else default
    return click.option(
        f"--{name}",
        type=_Number(name, whole=whole),
        is_flag=False,
        flag_value=given,
        default=given,
        show_default=True,
        metavar=f"[{name.upper()}]",
        help=meaning,
    )


def _common(*, tries: int) -> Callable[[F], F]:
    """What `listen` and `work` share; the seven lines that DreamFactory's help has come first, in its order."""
    options: list[Callable[[F], F]] = [
        click.argument("connection", required=False),
        click.option(
            "--queue",
            is_flag=False,
            flag_value="",
            metavar="[QUEUE]",
            help="The queues to serve, with commas, the first one first.  [default: the connection's own]",
        ),
        _number("delay", 0, "Seconds to wait before a failed script may run again."),
        _number("memory", 128, "The memory limit in megabytes; 0 for none."),
        _number("timeout", 60, "Seconds a script may run before timing out; 0 for ever."),
        _number("sleep", 3, "Seconds to wait before looking for scripts again when there was none."),
        _number(
            "tries", tries, "Number of times to attempt a script before logging it failed; 0 for ever.", whole=True
        ),
        click.option(
            "--backoff",
            type=_Backoff(),
            is_flag=False,
            flag_value="0",
            default=(),
            metavar="[SECONDS,...]",
            help="Seconds to wait before each next attempt; the last one repeats.",
        ),
        _number("rest", 0, "Seconds between the starts of two scripts."),
        click.option("--name", default="default", help="Name of the worker."),
        click.option("--force", is_flag=True, help="Work in maintenance mode too."),
        click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each step."),
        click.option("--env", hidden=True),
    ]

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.group(cls=_Group)
def queue() -> None:
    """Run queued scripts, and look after those that failed."""


@queue.command()
@_common(tries=0)
@click.pass_obj
def listen(config: Path | None, /, **given: Any) -> None:
    """Listen to a queue: every script runs in a process of its own and as it is stored at that moment.

    CONNECTION is the name of a queue connection; without it, the default one.
    """
    import msgspec

    settings = msgspec.structs.replace(read(config), script_isolation="run")
    code = _run(settings, _worker_options(settings, given), as_json=given["as_json"])
    # A listener that is too large ends well and leaves its next start to a process manager.
    sys.exit(0 if code == 12 else code)


@queue.command()
@click.option("--once", is_flag=True, help="Run one script, if there is one within --sleep, and end.")
@click.option("--stop-when-empty", is_flag=True, help="End when the queue is empty.")
@_number("stop-when-empty-for", 0, "End after so many seconds without a script; 0 for never.")
@_number("max-jobs", 0, "End after so many scripts; 0 for never.", whole=True)
@_number("max-time", 0, "End after so many seconds, between scripts; 0 for never.")
@click.option("--daemon", is_flag=True, hidden=True)
@_common(tries=1)
@click.pass_obj
def work(config: Path | None, /, **given: Any) -> None:
    """Work on a queue, in a process that stays; exit 12 when it has grown to the memory limit.

    CONNECTION is the name of a queue connection; without it, the default one.
    """
    settings = read(config)
    sys.exit(_run(settings, _worker_options(settings, given), as_json=given["as_json"]))


def _worker_options(settings: Settings, given: dict[str, Any]) -> WorkerOptions:
    """Raises UnknownConnection."""
    from reverie.jobs.connections import Connections
    from reverie.jobs.work import WorkerOptions

    connection = Connections(default=settings.queue_connection).find(given["connection"])
    queues = tuple(name.strip() for name in (given["queue"] or "").split(",") if name.strip())
    return WorkerOptions(
        name=given["name"],
        connection=connection.name,
        queues=queues or (connection.queue,),
        tries=given["tries"],
        timeout=given["timeout"],
        backoff=given["backoff"],
        delay=given["delay"],
        sleep=given["sleep"],
        concurrency=1,
        memory=given["memory"],
        rest=given["rest"],
        once=given.get("once", False),
        stop_when_empty=given.get("stop_when_empty", False),
        stop_when_empty_for=given.get("stop_when_empty_for", 0.0),
        max_jobs=given.get("max_jobs", 0),
        max_time=given.get("max_time", 0.0),
        max_crashes=settings.queue_crashes,
    )


def _run(settings: Settings, options: WorkerOptions, *, as_json: bool) -> int:
    from reverie.app import run_worker
    from reverie.cli.loop import run_fast
    from reverie.cli.reports import printer
    from reverie.clock import SystemClock
    from reverie.observe import set_up

    set_up(settings.log_format, settings.log_level)
    code: int = run_fast(run_worker(settings, options, printer(as_json=as_json, now=SystemClock().now)))
    return code


@queue.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def failed(config: Path | None, as_json: bool) -> None:
    """List the failed scripts, newest first."""
    import asyncio

    from reverie.cli.failures import all_failed, show_failed

    show_failed(asyncio.run(all_failed(read(config))), as_json=as_json)


@queue.command()
@click.argument("ids", nargs=-1)
@click.option("--queue", help="Retry every failed script of this queue.")
@click.option("--range", "places", metavar="FROM-TO", help="Retry by place in the list of `queue failed`, from 1.")
@click.pass_obj
def retry(config: Path | None, ids: tuple[str, ...], queue: str | None, places: str | None) -> None:
    """Run failed scripts again, now: IDS as `queue failed` shows them, or `all`."""
    import asyncio

    from reverie.cli.failures import read_places, retry_failed

    wanted = None if places is None else read_places(places)
    if places is not None and wanted is None:
        raise Misuse("--range takes two places with a dash between them, such as 1-5.")
    for line in asyncio.run(retry_failed(read(config), ids, queue, wanted)):
        click.echo(line)
