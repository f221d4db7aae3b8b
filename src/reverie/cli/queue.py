"""``reverie queue``: its commands by name, and the two that work: ``listen`` and ``work``.

``queue:listen`` is another spelling of ``queue listen``. A mistake in the use of these commands ends them with exit 1,
before anything is done.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reverie.cli.group import read
from reverie.cli.options import Backoff, QueueGroup, command, number

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.jobs.work import Stop, WorkerOptions

F = TypeVar("F", bound=Callable[..., Any])


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
        number("delay", 0, "Seconds to wait before a failed script may run again."),
        number("memory", 128, "The memory limit in megabytes; 0 for none."),
        number("timeout", 60, "Seconds a script may run before timing out; 0 for ever."),
        number("sleep", 3, "Seconds to wait before looking for scripts again when there was none."),
        number("tries", tries, "Number of times to attempt a script before logging it failed; 0 for ever.", whole=True),
        click.option(
            "--backoff",
            type=Backoff(),
            is_flag=False,
            flag_value="0",
            default=(),
            metavar="[SECONDS,...]",
            help="Seconds to wait before each next attempt; the last one repeats.",
        ),
        number("rest", 0, "Seconds between the starts of two scripts."),
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


@command()
@_common(tries=0)
@click.pass_obj
def listen(config: Path | None, /, **given: Any) -> None:
    """Listen to a queue: every script runs in a process of its own and as it is stored at that moment.

    CONNECTION is the name of a queue connection; without it, the default one.
    """
    import msgspec

    while True:
        told = Told(config)
        settings = msgspec.structs.replace(told.settings, script_isolation="run")
        options = _worker_options(settings, given, listens=True)
        stop = _run(settings, options, as_json=given["as_json"], stale=told.otherwise)
        if not (told.changed and stop.value == "restart"):
            return  # one that is too large too ends well, and leaves its next start to a process manager


@command()
@click.option("--once", is_flag=True, help="Run one script, if there is one within --sleep, and end.")
@click.option("--stop-when-empty", is_flag=True, help="End when the queue is empty.")
@number("stop-when-empty-for", 0, "End after so many seconds without a script; 0 for never.")
@number("max-jobs", 0, "End after so many scripts; 0 for never.", whole=True)
@number("max-time", 0, "End after so many seconds, between scripts; 0 for never.")
@click.option("--daemon", is_flag=True, hidden=True)
@_common(tries=1)
@click.pass_obj
def work(config: Path | None, /, **given: Any) -> None:
    """Work on a queue, in a process that stays; exit 12 when it has grown to the memory limit.

    CONNECTION is the name of a queue connection; without it, the default one.
    """
    settings = read(config)
    sys.exit(_run(settings, _worker_options(settings, given), as_json=given["as_json"]).exit_code)


class Told:
    """What the settings say, and whether they say something else by now."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self.settings = read(config)
        self.changed = False

    def otherwise(self) -> bool:
        """Read them again; ones that cannot be used change nothing, since what runs goes on well."""
        from reverie.errors import SettingsError

        with contextlib.suppress(SettingsError):
            self.changed = read(self._config) != self.settings
        return self.changed


def _worker_options(settings: Settings, given: dict[str, Any], *, listens: bool = False) -> WorkerOptions:
    """Raises UnknownConnection."""
    from reverie.jobs.connections import Connections
    from reverie.jobs.work import WorkerOptions

    connection = Connections(settings.queue_connections, default=settings.queue_connection).find(given["connection"])
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
        force=given["force"],
        listens=listens,
    )


def _run(settings: Settings, options: WorkerOptions, *, as_json: bool, stale: Callable[[], bool] | None = None) -> Stop:
    from reverie.app import work_until
    from reverie.cli.loop import run_fast
    from reverie.cli.reports import printer
    from reverie.clock import SystemClock
    from reverie.observe import set_up

    set_up(settings.log_format, settings.log_level)
    report = printer(as_json=as_json, now=SystemClock().now)
    return run_fast(work_until(settings, options, report, stale=stale))


@click.group(
    cls=QueueGroup,
    lazy={
        "listen": "reverie.cli.queue:listen",
        "work": "reverie.cli.queue:work",
        "restart": "reverie.cli.workers:restart",
        "drain": "reverie.cli.workers:drain",
        "failed": "reverie.cli.failures:failed",
        "retry": "reverie.cli.failures:retry",
        "forget": "reverie.cli.failures:forget",
        "flush": "reverie.cli.failures:flush",
        "prune-failed": "reverie.cli.failures:prune_failed",
        "list": "reverie.cli.jobs:list_jobs",
        "find": "reverie.cli.jobs:find",
        "show": "reverie.cli.jobs:show",
        "replay": "reverie.cli.replay:replay",
        "logs": "reverie.cli.jobs:logs",
        "explain": "reverie.cli.jobs:explain",
        "cancel": "reverie.cli.jobs:cancel",
        "clear": "reverie.cli.queues:clear",
        "monitor": "reverie.cli.queues:monitor",
        "pause": "reverie.cli.queues:pause",
        "resume": "reverie.cli.queues:resume",
        "stats": "reverie.cli.queues:show_stats",
        "doctor": "reverie.cli.queues:doctor",
        "bench": "reverie.cli.bench:bench",
    },
)
def queue() -> None:
    """Run queued scripts, look after those that failed, and see how the queue is."""
