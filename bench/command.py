"""What the commands ``scripts/bench queue``, ``sql`` and ``scripts`` share: cells by name, the file of raw figures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from bench.contest import Cell, Raw, console, run

PlanT = TypeVar("PlanT")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie-bench"


cache_option = click.option(
    "--cache", type=click.Path(path_type=Path), default=_cache, help="Where peers and raw figures are kept."
)


def chosen(known: Iterable[str], text: str | None) -> list[str]:
    """The names in *text*, with commas between them; all that are known where there is none.

    Raises:
        click.UsageError: a name is not known.
    """
    known = list(known)
    names = [name.strip() for name in text.split(",")] if text else known
    if strange := [name for name in names if name not in known]:
        raise click.UsageError(f"{', '.join(strange)}: choose from {', '.join(known)}")
    return names


def begin(cache: Path, what: str, machine: Sequence[str], **kept: object) -> Raw:
    """Print what is measured on; the file that every single figure goes to."""
    cache.mkdir(parents=True, exist_ok=True)
    raw = Raw(cache / f"{what}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
    for line in machine:
        console.print(line)
    raw.keep(machine=machine, **kept)
    return raw


def run_cells(
    names: Iterable[str],
    cells: Mapping[str, Callable[[PlanT], Iterable[Cell]]],
    plan: PlanT,
    raw: Raw,
    rounds: int | None,
) -> None:
    for name in names:
        for cell in cells[name](plan):
            run(cell, raw, rounds=rounds)
    console.print(f"every single figure: {raw.path}")
