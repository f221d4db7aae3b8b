"""``scripts/bench scripts``: every cell about scripts, or those that are named, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from tests.acceptance.server import running

from bench import http_cells
from bench.command import begin, cache_option, chosen, run_cells
from bench.queue import floors
from bench.run import open_to_key
from bench.scripts.cells import CELLS, Plan


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 7, by cell]")
@click.option("--quick", is_flag=True, help="A short look.")
@cache_option
def main(only: str | None, rounds: int | None, quick: bool, cache: Path) -> None:
    """Measure what scripts add to calls, beside a bare handler, a fork and a process for each run."""
    names = chosen(CELLS, only)
    raw = begin(cache, "scripts", floors.machine())
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.db"
        http_cells.make_rows(database)
        with (
            running(Path(folder) / "data", str(database), "--write", REVERIE_WORKERS="0") as server,
            http_cells.bare_handler(database) as bare,
        ):
            open_to_key(server)
            plan = Plan(server, bare, calls=100 if quick else 1000, seconds=2 if quick else 5)
            run_cells(names, CELLS, plan, raw, rounds)


if __name__ == "__main__":
    main()
