"""``scripts/bench scripts``: every cell about scripts, or those that are named, in one run."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from tests.acceptance.server import running

from bench import http_cells
from bench.queue import floors
from bench.queue.contest import Raw, console, run
from bench.run import open_to_key
from bench.scripts.cells import CELLS, Plan


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie-bench"


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 7, by cell]")
@click.option("--quick", is_flag=True, help="A short look.")
@click.option("--cache", type=click.Path(path_type=Path), default=_cache, help="Where raw figures are kept.")
def main(only: str | None, rounds: int | None, quick: bool, cache: Path) -> None:
    """Measure what scripts add to calls, beside a bare handler, a fork and a process for each run."""
    names = [name.strip() for name in only.split(",")] if only else list(CELLS)
    if strange := [name for name in names if name not in CELLS]:
        raise click.UsageError(f"{', '.join(strange)}: choose from {', '.join(CELLS)}")
    cache.mkdir(parents=True, exist_ok=True)
    raw = Raw(cache / f"scripts-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
    lines = floors.machine()
    for line in lines:
        console.print(line)
    raw.keep(machine=lines)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.db"
        http_cells.make_rows(database)
        with (
            running(Path(folder) / "data", str(database), "--write", REVERIE_WORKERS="0") as server,
            http_cells.bare_handler(database) as bare,
        ):
            open_to_key(server)
            plan = Plan(server, bare, calls=100 if quick else 1000, seconds=2 if quick else 5)
            for name in names:
                for cell in CELLS[name](plan):
                    run(cell, raw, rounds=rounds)
    console.print(f"every single figure: {raw.path}")


if __name__ == "__main__":
    main()
