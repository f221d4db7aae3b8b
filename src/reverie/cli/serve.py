"""``reverie serve``: the API alone, in the foreground."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from reverie.cli.group import read


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 lets the system choose.")
@click.pass_obj
def serve(config: Path | None, host: str | None, port: int | None) -> None:
    """Answer the API, without a worker: queued scripts wait until a worker runs elsewhere."""
    import asyncio

    import msgspec

    from reverie.cli.listener import listen
    from reverie.cli.loop import run_fast
    from reverie.cli.server import serve_api
    from reverie.cli.start import lines
    from reverie.observe import set_up

    settings = read(config, host=host, port=port)
    set_up(settings.log_format, settings.log_level)
    listener = listen(settings.host, settings.port)
    settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
    from reverie.prepare import prepare

    prepared = asyncio.run(prepare(settings, [], False))
    for line in lines(settings, prepared, worker="none (reverie serve)"):
        click.echo(line)
    run_fast(serve_api(settings, listener, [signal.SIGTERM, signal.SIGINT]))
