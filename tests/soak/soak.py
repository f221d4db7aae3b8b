"""Runs an engine for long and measures what stays.

Memory is read between rounds, and a line is laid through the second half of them. The first half is warming up: caches
fill, children come to their size.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reverie.model import JSON
from reverie.scripting.engine import Engine
from reverie.scripting.program import resident, use_of
from tests.contract.engine_stage import make, pids, run_of

ROUNDS = 40
SIDE_BY_SIDE = 4
TEXTS = {
    "v8js": "var rows = event.request.rows.map(function (r) { return {id: r.id, twice: r.id * 2}; });"
    " console.log('rows', rows.length); platform.api.get('db/_table/todo'); return {rows: rows};",
    "nodejs": "var rows = event.request.rows.map(function (r) { return {id: r.id, twice: r.id * 2}; });"
    " console.log('rows', rows.length);"
    " return platform.api.get('db/_table/todo').then(function () { return {rows: rows}; });",
    "python3": "rows = [{'id': r['id'], 'twice': r['id'] * 2} for r in event['request']['rows']]\n"
    "print('rows', len(rows))\nplatform.api.get('db/_table/todo')\nopen('left', 'w').write('x')\nreturn {'rows': rows}",
    "php": "$rows = array_map(fn ($r) => ['id' => $r['id'], 'twice' => $r['id'] * 2], $event['request']['rows']);"
    " echo 'rows ', count($rows), PHP_EOL; $platform['api']->get('db/_table/todo'); touch('left');"
    " return ['rows' => $rows];",
}
TEXTS["typescript"] = TEXTS["v8js"]


@dataclass(frozen=True, slots=True)
class Left:
    """What stayed.

    Attributes:
        host_slope, children_slope: KiB a run, by the second half of the rounds.
        host_grown: MiB that the host holds more than after the first round.
        zombies: processes that nobody has asked for, after the end.
        descriptors: that the host has more than before.
        folders: temporary ones that are left.
        processes: children that are left.
    """

    runs: int
    host_slope: float
    children_slope: float
    host_grown: float
    zombies: int
    descriptors: int
    folders: int
    processes: int

    def problems(self, *, slope: float = 1.0) -> list[str]:
        """What should not be; *slope*: KiB a run that are too much."""
        found = [
            f"{count} {name} left"
            for name, count in (
                ("zombies", self.zombies),
                ("descriptors", self.descriptors),
                ("folders", self.folders),
                ("processes", self.processes),
            )
            if count > 0
        ]
        for name, value in (("the host", self.host_slope), ("its children", self.children_slope)):
            if value >= slope:
                found.append(f"{name} grew by {value:.2f} KiB a run")
        return found


async def soak(name: str, runs: int) -> Left:
    """*runs* runs of an engine, side by side."""
    before = _descriptors(), _folders()
    engine = make(name, size=SIDE_BY_SIDE)
    await engine.start()
    host: list[float] = []
    children: list[float] = []
    seen: set[tuple[int, str]] = set()
    each = max(runs // ROUNDS // SIDE_BY_SIDE, 1)
    for _ in range(ROUNDS):
        await asyncio.gather(*(_some(engine, each) for _ in range(SIDE_BY_SIDE)))
        seen |= {(pid, _began(pid)) for pid in pids(engine)}
        host.append(resident(os.getpid()))
        uses = [use_of(pid) for pid in pids(engine)]
        children.append(sum(use.memory for use in uses) / max(len(uses), 1))
    await engine.close()
    await asyncio.sleep(0.5)  # folders are removed beside everything else
    after = _descriptors(), _folders()
    done = each * SIDE_BY_SIDE * ROUNDS
    return Left(
        runs=done,
        host_slope=_slope(host, each * SIDE_BY_SIDE),
        children_slope=_slope(children, each * SIDE_BY_SIDE),
        host_grown=host[-1] - host[0],
        zombies=_zombies(),
        descriptors=after[0] - before[0],
        folders=after[1] - before[1],
        processes=_alive(seen),
    )


async def _some(engine: Engine, count: int) -> None:
    rows: list[JSON] = [{"id": number, "name": f"row {number}"} for number in range(25)]
    for _ in range(count):
        outcome = await engine.run(run_of(engine, TEXTS, event={"request": {"rows": [*rows]}}))
        assert outcome.output == "rows 25\n"
        assert isinstance(outcome.returned, dict)


def _slope(values: list[float], runs: int) -> float:
    """KiB a run: the line of least squares through the second half of *values*, which are MiB, *runs* apart."""
    half = values[len(values) // 2 :]
    middle, mean = (len(half) - 1) / 2, sum(half) / len(half)
    above = sum((at - middle) * (value - mean) for at, value in enumerate(half))
    return above / sum((at - middle) ** 2 for at in range(len(half))) * 1024 / runs


def _alive(seen: set[tuple[int, str]]) -> int:
    return sum(_began(pid) == began != "" for pid, began in seen)


def _began(pid: int) -> str:
    """When the process began, in ticks: numbers of ended processes are given to others. Empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _folders() -> int:
    return len(list(Path(tempfile.gettempdir()).glob(f"reverie-run-{os.getpid()}-*")))


def _zombies() -> int:
    """Children of this process that have ended and were not asked for."""
    count = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            count += state == "Z" and int(parent) == os.getpid()
    return count
