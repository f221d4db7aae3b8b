"""``scripts/bench sql``: every cell of the data of users, or those that are named, in one run."""

from __future__ import annotations

import importlib.metadata
import os
import time
from pathlib import Path

import click

from bench.queue import floors
from bench.queue.contest import Raw, console, run
from bench.sql.cells import CELLS, Plan
from bench.sql.places import stage

PACKAGES = ("pysqlite3", "asyncpg", "asyncmy", "starlette", "uvicorn", "msgspec")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie-bench"


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 5, by cell]")
@click.option("--seconds", type=click.IntRange(1, 60), default=6, show_default=True, help="Of each with wrk.")
@click.option("--big", type=click.IntRange(10_000, 10_000_000), default=1_000_000, help="Rows of the large table.")
@click.option("--quick", is_flag=True, help="A short look: --seconds 2 --rounds 2 --big 100000.")
@click.option("--cache", type=click.Path(path_type=Path), default=_cache, help="Where peers and raw figures are kept.")
def main(only: str | None, rounds: int | None, seconds: int, big: int, quick: bool, cache: Path) -> None:
    """Measure reads and writes beside bare handlers, PocketBase and PostgREST. The whole takes about half an hour."""
    if quick:
        seconds, rounds, big = 2, rounds or 2, 100_000
    names = [name.strip() for name in only.split(",")] if only else list(CELLS)
    if strange := [name for name in names if name not in CELLS]:
        raise click.UsageError(f"{', '.join(strange)}: choose from {', '.join(CELLS)}")
    cache.mkdir(parents=True, exist_ok=True)
    raw = Raw(cache / f"sql-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
    lines = [*floors.machine(), ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)]
    for line in lines:
        console.print(line)
    raw.keep(machine=lines, seconds=seconds)
    with stage(cache, big) as made:
        peers = [f"{name} {version}" for name, version in made.versions.items()]
        console.print(", ".join(peers + [f"{name}: {why}" for name, why in made.missing.items()]))
        plan = Plan(made, seconds, big)
        for name in names:
            for cell in CELLS[name](plan):
                run(cell, raw, rounds=rounds)
    console.print(f"every single figure: {raw.path}")


if __name__ == "__main__":
    main()
