"""``scripts/bench queue``: every cell of the queue, or those that are named, in one run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from bench.queue import floors, peers
from bench.queue.cells import CELLS, Plan
from bench.queue.contest import Raw, console, run
from bench.queue.pairs import PAIRS
from bench.queue.servers import running


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie-bench"


def _chosen(known: list[str], text: str | None) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text else known
    if strange := [name for name in names if name not in known]:
        raise click.UsageError(f"{', '.join(strange)}: choose from {', '.join(known)}")
    return names


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--pairs", metavar="PAIR,...", help=f"Of {', '.join(PAIRS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 5, by cell]")
@click.option("--scale", type=click.FloatRange(0.001, 10), default=1.0, help="How much of everything; 1 is the whole.")
@click.option("--quick", is_flag=True, help="A short look: --scale 0.1 --rounds 2.")
@click.option("--cache", type=click.Path(path_type=Path), default=_cache, help="Where peers and raw figures are kept.")
def main(only: str | None, pairs: str | None, rounds: int | None, scale: float, quick: bool, cache: Path) -> None:
    """Measure the queue from the bare store up to HTTP, beside its peers. The whole takes about an hour."""
    scale, rounds = (0.1, rounds or 2) if quick else (scale, rounds)
    cells, chosen = _chosen(list(CELLS), only), _chosen(list(PAIRS), pairs)
    cache.mkdir(parents=True, exist_ok=True)
    raw = Raw(cache / f"queue-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
    for line in floors.machine():
        console.print(line)
    raw.keep(machine=floors.machine(), scale=scale)
    with running() as servers:
        plan = Plan(servers, peers.Cache(cache), chosen, scale)
        for name in cells:
            for cell in CELLS[name](plan):
                run(cell, raw, rounds=rounds)
    console.print(f"every single figure: {raw.path}")


if __name__ == "__main__":
    main()
