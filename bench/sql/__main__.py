"""``scripts/bench sql``: every cell of the data of users, or those that are named, in one run."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import click

from bench.command import begin, cache_option, chosen, run_cells
from bench.contest import console
from bench.queue import floors
from bench.sql.cells import CELLS, Plan
from bench.sql.places import stage

PACKAGES = ("pysqlite3", "asyncpg", "asyncmy", "starlette", "uvicorn", "msgspec")


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 5, by cell]")
@click.option("--seconds", type=click.IntRange(1, 60), default=6, show_default=True, help="Of each with wrk.")
@click.option("--big", type=click.IntRange(10_000, 10_000_000), default=1_000_000, help="Rows of the large table.")
@click.option("--quick", is_flag=True, help="A short look: --seconds 2 --rounds 2 --big 100000.")
@cache_option
def main(only: str | None, rounds: int | None, seconds: int, big: int, quick: bool, cache: Path) -> None:
    """Measure reads and writes beside bare handlers, PocketBase and PostgREST. The whole takes about half an hour."""
    if quick:
        seconds, rounds, big = 2, rounds or 2, 100_000
    names = chosen(CELLS, only)
    lines = [*floors.machine(), ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)]
    raw = begin(cache, "sql", lines, seconds=seconds)
    with stage(cache, big) as made:
        peers = [f"{name} {version}" for name, version in made.versions.items()]
        console.print(", ".join(peers + [f"{name}: {why}" for name, why in made.missing.items()]))
        plan = Plan(made, seconds, big)
        run_cells(names, CELLS, plan, raw, rounds)


if __name__ == "__main__":
    main()
