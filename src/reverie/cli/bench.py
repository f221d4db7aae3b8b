"""``reverie queue bench``: how fast this machine's queue is, with scripts that do nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reverie.cli.group import read
from reverie.cli.options import command

if TYPE_CHECKING:
    from reverie.cli.measure import Measured


@command()
@click.option("--jobs", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Jobs to push.")
@click.option("--payload", type=click.IntRange(0, 8 << 20), default=1024, show_default=True, help="Bytes in each.")
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=50, show_default=True, help="Jobs that run at one time."
)
@click.option("--here", is_flag=True, help="Use the configured store, and its queue `bench`, not a temporary one.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def bench(config: Path | None, jobs: int, payload: int, concurrency: int, here: bool, as_json: bool) -> None:
    """Measure how many empty jobs are pushed and run in a second, and how soon an idle worker takes one."""

    from reverie.cli.loop import run_fast
    from reverie.cli.measure import measure_store, temporary_store
    from reverie.observe import set_up

    settings = read(config)
    set_up(settings.log_format, level="warning")
    if here:
        measured = run_fast(measure_store(settings, jobs=jobs, payload=payload, concurrency=concurrency))
    else:
        with temporary_store(settings) as temporary:
            measured = run_fast(measure_store(temporary, jobs=jobs, payload=payload, concurrency=concurrency))
    if as_json:
        click.echo(json.dumps(asdict(measured)))
    else:
        show(measured, "the configured store" if here else "a temporary store on SQLite")


def show(measured: Measured, where: str) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "measured", title=f"{measured.jobs:,} jobs of {measured.payload:,} bytes in {where}")
    table.add_row("pushed, 100 at once", f"{measured.pushed:,.0f} jobs/s")
    table.add_row(f"run, {measured.concurrency} at one time", f"{measured.ran:,.0f} jobs/s")
    table.add_row("one push, durable", f"p50 {measured.push_p50:.1f} ms, p99 {measured.push_p99:.1f} ms")
    table.add_row(
        "picked up by an idle worker", f"p50 {measured.pick_up_p50:.1f} ms, p99 {measured.pick_up_p99:.1f} ms"
    )
    Console().print(table)
