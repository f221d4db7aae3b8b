"""``scripts/bench queue``: every cell of the queue, or those that are named, in one run."""

from __future__ import annotations

from pathlib import Path

import click

from bench.command import begin, cache_option, chosen, run_cells
from bench.queue import floors, peers
from bench.queue.cells import CELLS, Plan
from bench.queue.pairs import PAIRS
from bench.queue.servers import running


@click.command()
@click.option("--only", metavar="CELL,...", help=f"Of {', '.join(CELLS)}; else all of them.")
@click.option("--pairs", metavar="PAIR,...", help=f"Of {', '.join(PAIRS)}; else all of them.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Turns of each contestant.  [default: 1 to 5, by cell]")
@click.option("--scale", type=click.FloatRange(0.001, 10), default=1.0, help="How much of everything; 1 is the whole.")
@click.option("--quick", is_flag=True, help="A short look: --scale 0.1 --rounds 2.")
@cache_option
def main(only: str | None, pairs: str | None, rounds: int | None, scale: float, quick: bool, cache: Path) -> None:
    """Measure the queue from the bare store up to HTTP, beside its peers. The whole takes about an hour."""
    scale, rounds = (0.1, rounds or 2) if quick else (scale, rounds)
    cells, picked = chosen(CELLS, only), chosen(PAIRS, pairs)
    raw = begin(cache, "queue", floors.machine(), scale=scale)
    with running() as servers:
        plan = Plan(servers, peers.Cache(cache), picked, scale)
        run_cells(cells, CELLS, plan, raw, rounds)


if __name__ == "__main__":
    main()
