"""``reverie demo crash``: kills its own worker and shows that nothing is lost."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reverie.cli.crash import Seen

_JOBS_FOR_A_KILL = 10


@click.group()
def demo() -> None:
    """See for yourself what Reverie promises."""


@demo.command()
@click.option("--jobs", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Calls to accept.")
@click.option("--kills", type=click.IntRange(0, 100), default=3, show_default=True, help="Times to kill the worker.")
@click.option("--keep", is_flag=True, help="Keep the folder with the store, the effects and the log.")
def crash(jobs: int, kills: int, keep: bool) -> None:
    """Accept calls over HTTP, kill the worker with SIGKILL while their jobs run, and count what became of each.

    Everything happens in a folder of its own, on this machine only. The last line comes from the ledger and from a file
    that the scripts wrote into; exit 1 if anything was lost or finished twice.
    """
    import asyncio

    from reverie.cli.crash import play

    if jobs < _JOBS_FOR_A_KILL * kills:
        raise click.UsageError(f"{kills} kills need {_JOBS_FOR_A_KILL * kills} jobs or more, so that some run at each.")

    with _folder(keep=keep) as folder, _Display(jobs) as show:
        verdict = asyncio.run(play(folder, jobs=jobs, kills=kills, show=show))
    if verdict.repeated:
        click.echo(
            f"runs that ended with their worker and were repeated: {verdict.repeated}; "
            f"effects that were left more than once by them: {verdict.effects_twice}"
        )
    if keep:
        click.echo(f"kept in {folder}")
    click.echo(
        f"{verdict.accepted} accepted · {verdict.done} done · {verdict.lost} lost · "
        f"{verdict.finished_twice} finished twice · {verdict.kills} kills"
    )
    sys.exit(0 if verdict.is_well(jobs, kills) else 1)


@contextlib.contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    if keep:
        yield Path(tempfile.mkdtemp(prefix="reverie-demo-"))
        return
    with tempfile.TemporaryDirectory(prefix="reverie-demo-") as folder:
        yield Path(folder)


class _Display:
    """A bar on a terminal, and a line for each thing that happens elsewhere."""

    def __init__(self, jobs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(highlight=False)
        words = TextColumn("{task.description}")
        count = TextColumn("{task.completed:.0f} of {task.total:.0f} done, kills: {task.fields[kills]}")
        self._bar = Progress(words, BarColumn(), count, TimeElapsedColumn(), console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=jobs, kills=0)
        self._last = ""

    def __call__(self, seen: Seen) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, description=seen.step, completed=seen.done, kills=seen.kills)
        elif seen.step != self._last:
            self._console.print(f"{seen.step} ({seen.accepted} accepted, {seen.done} done, kills: {seen.kills})")
        self._last = seen.step

    def __enter__(self) -> _Display:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()
