"""Contestants take turns, there and back again, and what they did is printed side by side."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, float]
"""What one measurement found, by name: ``rate`` jobs a second, ``cpu`` seconds for 1,000 jobs, ``p50`` milliseconds."""

console = Console(width=150, highlight=False)


class Skip(Exception):
    """This contestant cannot take part, and why."""


@dataclass(frozen=True)
class Contestant:
    """`measure` gets an empty folder. `how` says with which settings, safety and durability it runs."""

    name: str
    measure: Callable[[Path], Figures]
    how: str = ""


@dataclass
class Raw:
    """Every single measurement, a JSON object a line."""

    path: Path

    def keep(self, **entry: object) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": round(time.time(), 3), "load": os.getloadavg()[0], **entry}) + "\n")


@dataclass
class Cell:
    """One table.

    Attributes:
        figure: which one is compared and shown in the column `unit`.
        marks: what a contestant should reach, by its name.
    """

    name: str
    title: str
    contestants: Sequence[Contestant]
    figure: str = "rate"
    unit: str = "jobs/s"
    rounds: int = 5
    marks: Mapping[str, str] = field(default_factory=dict)


def run(cell: Cell, raw: Raw, *, rounds: int | None = None) -> dict[str, list[Figures]]:
    """Measure every contestant in every round, the order turned round each time; print and keep what they did.

    A contestant that cannot take part is left out of the further rounds and named with its reason.
    """
    found: dict[str, list[Figures]] = {one.name: [] for one in cell.contestants}
    skipped: dict[str, str] = {}
    loads = [os.getloadavg()[0]]
    for turn in range(rounds or cell.rounds):
        for one in cell.contestants if turn % 2 == 0 else reversed(cell.contestants):
            if one.name in skipped:
                continue
            try:
                with tempfile.TemporaryDirectory(prefix="reverie-bench-") as folder:
                    figures = one.measure(Path(folder))
            except Exception as error:  # noqa: BLE001, RUF100 - one contestant's failure must not stop the others
                skipped[one.name] = _reason(error)
                raw.keep(cell=cell.name, contestant=one.name, skipped=skipped[one.name])
                continue
            found[one.name].append(figures)
            loads.append(os.getloadavg()[0])
            raw.keep(cell=cell.name, contestant=one.name, turn=turn, how=one.how, **figures)
    _show(cell, found, skipped, loads)
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr or error.stdout or "").strip().splitlines() or [""]
        told = next((line for line in lines if line.startswith("Error")), lines[-1])  # Node's stack comes after it
        return f"ended with {error.returncode}: {told.strip()[:300]}"
    return " ".join(str(error).split())[:400] or type(error).__name__


def _show(cell: Cell, found: Mapping[str, list[Figures]], skipped: Mapping[str, str], loads: list[float]) -> None:
    title = f"{cell.name}: {cell.title} (load {min(loads):.1f} to {max(loads):.1f})"
    table = Table(title=title, title_justify="left")
    for column in ("contestant", cell.unit, "least to most", "to the first", "mark", "also seen", "how"):
        table.add_column(column)
    first = next((found[one.name] for one in cell.contestants if found[one.name]), [])
    for one in cell.contestants:
        samples = found[one.name]
        if not samples:
            table.add_row(one.name, "skipped", "", "", "", skipped.get(one.name, "not run"), one.how)
            continue
        values = [sample[cell.figure] for sample in samples]
        pairs = [mine[cell.figure] / other[cell.figure] for mine, other in zip(samples, first) if other[cell.figure]]
        table.add_row(
            one.name,
            number(statistics.median(values)),
            f"{number(min(values))} to {number(max(values))}",
            f"{statistics.median(pairs):.2f}" if pairs and samples is not first else "",
            cell.marks.get(one.name, ""),
            _also(samples, cell.figure) + (f" then failed: {skipped[one.name]}" if one.name in skipped else ""),
            one.how,
        )
    console.print(table)


def _also(samples: Sequence[Figures], shown: str) -> str:
    names = [name for name in samples[0] if name != shown]
    return ", ".join(
        f"{name} {number(statistics.median(sample[name] for sample in samples if name in sample))}" for name in names
    )


def number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* in a hundred do not pass; *values* is not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(seconds: Sequence[float], prefix: str = "") -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"{prefix}p{at}": round(percentile(seconds, at) * 1000, 3) for at in (50, 95, 99)}


def told(command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = 900) -> Figures:
    """Run a program whose last line is a JSON object of figures.

    Raises:
        CalledProcessError, TimeoutExpired
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REVERIE_", "QUEUE_"))}
    said = subprocess.run(
        command, env=clean | dict(environment or {}), check=True, capture_output=True, text=True, timeout=timeout
    ).stdout
    figures: Figures = json.loads(said.strip().splitlines()[-1])
    return figures
