"""``reverie queue restart|drain`` and ``reverie maintenance``: what operators tell workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reverie.cli.options import Number, at_desk, command
from reverie.errors import NotFound

if TYPE_CHECKING:
    from reverie.jobs.desk import Desk

LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether drained workers have ended."""


@command()
@click.pass_obj
def restart(config: Path | None) -> None:
    """Have every worker end after its current job, for a process manager to start it anew; listeners stay."""

    async def say(desk: Desk) -> None:
        await desk.signals.restart()
        await desk.queue.announce_to_all()

    at_desk(config, say)
    click.echo("Workers end after their current job; listeners stay.")


@command()
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option("--wait", type=Number("wait", whole=False), help="Wait until they have ended, at most so many seconds.")
@click.pass_obj
def drain(config: Path | None, workers: tuple[str, ...], wait: float | None) -> None:
    """Have workers take nothing more, end what they run, and end; every one that is there, unless some are named.

    A name may be cut short, as long as it is that of one worker; `queue stats` shows them. A process manager, and
    `reverie up`, start another worker in place of one that has ended.
    """
    told, late = at_desk(config, lambda desk: _drain(desk, workers, wait))
    for name in told:
        click.echo(f"{name} ends after what it runs." if wait is None or name in late else f"{name} has ended.")
    if not told:
        click.echo("No worker is there.")
    if late:
        sys.exit(1)


@click.command()
@click.argument("mode", type=click.Choice(["on", "off"]), required=False)
@click.pass_obj
def maintenance(config: Path | None, mode: str | None) -> None:
    """Switch maintenance mode on or off, or say which it is: workers without --force take nothing while it is on.

    Calls are answered and jobs accepted all the same.
    """

    async def switch(desk: Desk) -> bool:
        if mode is not None:
            await desk.signals.set_maintenance(mode == "on")
            await desk.queue.announce_to_all()
        return await desk.signals.maintenance()

    click.echo(f"Maintenance mode is {'on: workers take nothing' if at_desk(config, switch) else 'off'}.")


async def _drain(desk: Desk, wanted: Sequence[str], wait: float | None) -> tuple[list[str], set[str]]:
    """Who was told, and who of them was still there when the wait was over."""
    present = [one.name for one in await desk.queue.ledger.workers()]
    told = [_only(name, present) for name in wanted] or present
    await desk.signals.drain(told)
    await desk.queue.announce_to_all()
    late: set[str] = set()
    if wait is not None:
        until = desk.clock.monotonic() + wait
        while (late := {one.name for one in await desk.queue.ledger.workers()} & set(told)) and (
            desk.clock.monotonic() < until
        ):
            await desk.clock.sleep(LOOK_EVERY)
    return told, late


def _only(start: str, present: Sequence[str]) -> str:
    """The one worker whose name is, or begins with, *start*. Raises NotFound."""
    found = [start] if start in present else [name for name in present if name.startswith(start)]
    if len(found) != 1:
        problem = "There is no worker" if not found else "There are several workers"
        raise NotFound(f"{problem} with the name {start!r}; there are: {', '.join(present) or 'none'}.")
    return found[0]
