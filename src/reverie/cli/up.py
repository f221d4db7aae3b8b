"""``reverie up``: everything on one machine, a small parent and its children."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reverie.cli.group import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverie.cli.supervisor import Child
    from reverie.config import Settings

_ONCE = ("REVERIE_ADMIN_EMAIL", "REVERIE_ADMIN_PASSWORD", "REVERIE_ADMIN_PASSWORD_FILE")
"""What only the parent needs; the children are started without it."""


@click.command()
@click.argument("given", nargs=-1, metavar="[FILE_OR_URL]...")
@click.option("--write", is_flag=True, help="Services made from FILE_OR_URL may be written to.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 lets the system choose.")
@click.pass_obj
def up(config: Path | None, given: tuple[str, ...], write: bool, host: str | None, port: int | None) -> None:
    """Start API and worker, and keep them running.

    Each FILE_OR_URL is a database that is served at once, read-only unless --write.
    """
    import msgspec

    from reverie.cli.listener import listen
    from reverie.observe import set_up

    settings = read(config, host=host, port=port)
    set_up(settings.log_format)
    listener = listen(settings.host, settings.port)
    settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
    prepare_in_child(settings, config, given, write)
    asyncio.run(supervise(children_of(settings, config, os.environ, listener)))


def prepare_in_child(settings: Settings, config: Path | None, given: tuple[str, ...], write: bool) -> None:
    """Do and print what a start does once, in a process of its own: the parent stays small and opens no store."""
    flags = ["--write"] if write else []
    command = [*_command("prepare"), *flags, "--", *given]
    done = subprocess.run(command, env=_environment(settings, config, os.environ), check=False)  # noqa: S603 - ours
    if done.returncode:
        sys.exit(done.returncode if done.returncode > 0 else 1)


def _command(name: str) -> tuple[str, ...]:
    """A command of `cli.child`; -P: a folder called reverie must not take the place of the package."""
    return (sys.executable, "-P", "-m", "reverie", "_child", name, "--parent", str(os.getpid()))


def _environment(settings: Settings, config: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what the command line said and what was found out."""
    environment = dict(environ) | {
        "REVERIE_HOST": settings.host,
        "REVERIE_PORT": str(settings.port),
        "REVERIE_DATA_DIR": str(settings.data_dir),
    }
    named = config or (Path(environ["REVERIE_CONFIG"]) if environ.get("REVERIE_CONFIG") else None)
    if named is not None:
        environment["REVERIE_CONFIG"] = str(named.absolute())
    return environment


def children_of(
    settings: Settings, config: Path | None, environ: Mapping[str, str], listener: socket.socket
) -> list[Child]:
    """The API and the workers, as commands that are told who their parent is."""
    from reverie.cli.supervisor import Child

    whole = _environment(settings, config, environ)
    environment = {name: value for name, value in whole.items() if name not in _ONCE}
    number = listener.fileno()
    api = Child(
        name="api",
        command=(*_command("api"), "--fd", str(number)),
        environment=environment,
        descriptors=(number,),
    )
    workers = [
        Child(name=f"worker-{at}", command=_command("worker"), environment=environment)
        for at in range(1, settings.workers + 1)
    ]
    return [api, *workers]


async def supervise(children: list[Child]) -> None:
    """Keep them running until a signal says stop; a second one ends them at once."""
    from reverie.cli.supervisor import Supervisor

    supervisor = Supervisor(children)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()
