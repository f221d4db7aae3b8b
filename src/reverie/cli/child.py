"""The children of ``reverie up``; not for people."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

import click

from reverie.cli.group import read

_PR_SET_PDEATHSIG = 1
POLITE = 5
"""By how much the worker stands behind the API where both want the same core: a caller waits, a job does not mind."""


def end_with(parent: int) -> None:
    """Have the kernel end this process when *parent* ends, however that happens.

    SIGKILL, because a child that still drained would hold the port that the next start needs. Elsewhere than on Linux a
    parent that is killed leaves its children.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def wait_for(go: int) -> None:
    """Return when the parent has closed its end of a pipe; at once in a child that is started again later."""
    os.read(go, 1)
    os.close(go)


@click.group()
@click.pass_context
def child(context: click.Context) -> None:
    """Internal."""
    # Ctrl-C reaches the whole foreground group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@child.command()
@click.option("--parent", type=int, required=True)
@click.option("--write", is_flag=True)
@click.argument("given", nargs=-1)
@click.pass_obj
def prepare(config: Path | None, parent: int, write: bool, given: tuple[str, ...]) -> None:
    """Do what a start does once, and print it."""
    end_with(parent)
    import asyncio

    from reverie.cli.start import lines
    from reverie.observe import set_up

    settings = read(config)
    set_up(settings.log_format, settings.log_level)
    from reverie.prepare import prepare as prepare_start

    prepared = asyncio.run(prepare_start(settings, given, write))
    worker = "serves every queue" if settings.workers else "none (REVERIE_WORKERS=0)"
    for line in lines(settings, prepared, worker=worker):
        click.echo(line)


@child.command()
@click.option("--parent", type=int, required=True)
@click.option("--fd", type=int, required=True)
@click.option("--go", type=int, required=True)
@click.pass_obj
def api(config: Path | None, parent: int, fd: int, go: int) -> None:
    """Answer HTTP on a socket that the parent listens on."""
    end_with(parent)
    import reverie.app  # what takes long is done while the parent still prepares
    import reverie.web.app  # noqa: F401 - as above
    from reverie.cli.loop import run_fast
    from reverie.cli.server import serve_api
    from reverie.observe import set_up

    settings = read(config)
    set_up(settings.log_format, settings.log_level)
    wait_for(go)
    run_fast(serve_api(settings, socket.socket(fileno=fd), [signal.SIGTERM]))


@child.command()
@click.option("--parent", type=int, required=True)
@click.option("--go", type=int, required=True)
@click.pass_obj
def worker(config: Path | None, parent: int, go: int) -> None:
    """Serve every queue of every connection."""
    end_with(parent)
    os.nice(POLITE)  # its scripts inherit it
    wait_for(go)
    from reverie.app import run_worker
    from reverie.cli.loop import run_fast
    from reverie.jobs.work import WorkerOptions
    from reverie.observe import set_up

    settings = read(config)
    set_up(settings.log_format, settings.log_level)
    options = WorkerOptions(
        tries=settings.queue_tries, timeout=settings.queue_timeout, max_crashes=settings.queue_crashes
    )
    # The log tells what failed; who wants a line for each job runs `reverie queue work`.
    sys.exit(run_fast(run_worker(settings, options, lambda report: None)))
