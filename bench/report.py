"""What the bench prints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Cell:
    """One line: what, ours, what stood beside it in the same run, the ratio, the aim, what else was seen."""

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    aim: str = ""
    note: str = ""


def show(cells: Sequence[Cell]) -> None:
    table = Table(title=f"Reverie, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for column in ("what", "ours", "beside it", "ratio", "aim", "note"):
        table.add_column(column)
    for cell in cells:
        table.add_row(cell.what, cell.ours, cell.beside, cell.ratio, cell.aim, cell.note)
    Console(width=160).print(table)
