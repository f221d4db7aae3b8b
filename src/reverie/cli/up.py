"""``reverie up``: everything on one machine, a small parent and its children."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reverie.cli.group import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    Each FILE_OR_URL is a database that is served at once, read-only unless --write: a SQLite file, or an address
    such as mysql://user:password@host/database or postgresql://...
    """
    import msgspec

    from reverie.cli.listener import listen
    from reverie.observe import set_up

    settings = read(config, host=host, port=port)
    set_up(settings.log_format, settings.log_level)
    listener = listen(settings.host, settings.port)
    settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
    sys.exit(asyncio.run(run(settings, config, given, write, listener)))


async def run(
    settings: Settings, config: Path | None, given: Sequence[str], write: bool, listener: socket.socket
) -> int:
    """Prepare, then keep the children running until a signal says stop; the exit status.

    The children are started at once, to load their code meanwhile, and go on when the pipe they hold is closed here. A
    second signal ends them at once.
    """
    from reverie.cli.supervisor import Supervisor

    go, hold = os.pipe()
    supervisor = Supervisor(children_of(settings, config, os.environ, listener, go))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    running = asyncio.create_task(supervisor.run())
    status = await _prepare(settings, config, given, write, running)
    if status == 0:
        os.close(hold)
    elif not running.done():
        supervisor.stop()
    await running
    return status


async def _prepare(
    settings: Settings, config: Path | None, given: Sequence[str], write: bool, running: asyncio.Task[None]
) -> int:
    """Do and print what a start does once, in a process of its own: this one stays small and opens no store.

    The exit status; 0 too when *running* ended first, because somebody said stop.
    """
    flags = ["--write"] if write else []
    process = await asyncio.create_subprocess_exec(
        *_command("prepare"), *flags, "--", *given, env=_environment(settings, config, os.environ)
    )
    ended = asyncio.create_task(process.wait())
    await asyncio.wait({ended, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done() and not ended.done():
        process.terminate()
        await ended
        return 0
    return ended.result() if ended.result() >= 0 else 1


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
    settings: Settings, config: Path | None, environ: Mapping[str, str], listener: socket.socket, go: int
) -> list[Child]:
    """The API and the workers, as commands that know their parent; *go* is a pipe that ends when they may begin."""
    from reverie.cli.supervisor import Child

    whole = _environment(settings, config, environ)
    environment = {name: value for name, value in whole.items() if name not in _ONCE}
    number = listener.fileno()
    api = Child(
        name="api",
        command=(*_command("api"), "--fd", str(number), "--go", str(go)),
        environment=environment,
        descriptors=(number, go),
    )
    workers = [
        Child(
            name=f"worker-{at}",
            command=(*_command("worker"), "--go", str(go)),
            environment=environment,
            descriptors=(go,),
        )
        for at in range(1, settings.workers + 1)
    ]
    return [api, *workers]
