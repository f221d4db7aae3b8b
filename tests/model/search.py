"""Look at every state that can be reached, and say which promise the first bad one breaks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from tests.model.rules import (
    ENDED,
    EPOCHS,
    HELPFUL,
    JOBS,
    MAX_CRASHES,
    TRIES,
    WORKERS,
    Action,
    Cell,
    Move,
    Rules,
    crashed,
    first,
    moves,
)

Numbers: TypeAlias = "tuple[int, ...]"
"""A state: the number of each job's cell, and at the end 1 if a wake-up is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search saw; `path` is a shortest one to a `broken` promise, or empty."""

    states: int
    transitions: int
    broken: str = ""
    path: tuple[Action, ...] = ()

    def __str__(self) -> str:
        seen = f"{self.states} states, {self.transitions} transitions"
        if not self.broken:
            return f"{seen}: no violation"
        return "\n".join([f"{seen}: {self.broken}", *(f"{at:3}. {action}" for at, action in enumerate(self.path, 1))])


class Known(NamedTuple):
    """A move of one job between cells that have a number."""

    action: Action
    cell: int
    wakes: bool
    broken: str


@dataclass(slots=True)
class Cells:
    """Every cell once, so that a state is a few small numbers. Jobs meet only in the death of a worker."""

    rules: Rules
    numbers: dict[Cell, int] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    moves: dict[tuple[int, int], list[Known]] = field(default_factory=dict)
    crashes: dict[tuple[int, int], int] = field(default_factory=dict)

    def number(self, cell: Cell) -> int:
        # Who owned a job that does not run, and whether its script began, means nothing any more.
        job = cell.job if cell.job.status == "running" else cell.job._replace(owner=-1, begun=False)
        plain = Cell(job, cell.hands)
        if plain not in self.numbers:
            self.numbers[plain] = len(self.cells)
            self.cells.append(plain)
        return self.numbers[plain]

    def moves_of(self, at: int, number: int) -> list[Known]:
        """What can happen to job *at* in a cell; not what changes nothing."""
        if (at, number) not in self.moves:
            cell = self.cells[number]
            self.moves[at, number] = [
                Known(Action(move.verb, move.worker, at, move.epoch, move.outcome), following, move.wakes, broken)
                for move in list(moves(cell, self.rules))
                for following, broken in [(self.number(move.cell), broken_by(cell, move))]
                if following != number or broken
            ]
        return self.moves[at, number]

    def without(self, number: int, worker: int) -> int:
        if (number, worker) not in self.crashes:
            self.crashes[number, worker] = self.number(crashed(self.cells[number], worker))
        return self.crashes[number, worker]

    def at_rest(self, number: int) -> bool:
        """The job has ended, or has used up the epochs that we look at."""
        job = self.cells[number].job
        return job.status in ENDED or (job.status == "waiting" and job.epoch == EPOCHS)


def search(rules: Rules, *, jobs: int = JOBS) -> Found:
    """Breadth first, so that what it finds it finds by a shortest path."""
    cells = Cells(rules)
    start = (*(cells.number(cell) for cell in first(jobs).cells), 1)
    numbers: dict[Numbers, int] = {start: 0}
    came_from: list[tuple[int, Action]] = [(-1, Action(""))]
    back: list[list[int]] = [[]]
    queue = deque([start])
    transitions = 0
    while queue:
        state = queue.popleft()
        number = numbers[state]
        for action, following, broken in _following(state, cells):
            transitions += 1
            if broken:
                path = (*_path(came_from, number), action)
                return Found(states=len(numbers), transitions=transitions, broken=broken, path=path)
            known = numbers.get(following)
            if known is None:
                known = numbers[following] = len(came_from)
                came_from.append((number, action))
                back.append([])
                queue.append(following)
            if action.verb in HELPFUL:
                back[known].append(number)
    hopeful = [number for state, number in numbers.items() if all(cells.at_rest(cell) for cell in state[:-1])]
    stuck = _stuck(back, hopeful)
    if stuck is None:
        return Found(states=len(numbers), transitions=transitions)
    broken = "I1: from here on an accepted job can never end"
    return Found(states=len(numbers), transitions=transitions, broken=broken, path=_path(came_from, stuck))


def _following(state: Numbers, cells: Cells) -> list[tuple[Action, Numbers, str]]:
    """Actions, the states they lead to, and the promise that each breaks, if any. Not those that change nothing."""
    found: list[tuple[Action, Numbers, str]] = []
    *jobs, woken = state
    looks = cells.rules.looks
    for at, number in enumerate(jobs):
        for action, cell, wakes, broken in cells.moves_of(at, number):
            if action.verb != "claim" or woken or looks:
                found.append((action, (*state[:at], cell, *state[at + 1 : -1], 1 if wakes else woken), broken))
    for worker in range(WORKERS):
        left = (*(cells.without(number, worker) for number in jobs), woken)
        if left != state:
            found.append((Action("crash", worker), left, ""))
    found.append((Action("lose" if woken else "announce"), (*jobs, 1 - woken), ""))
    return found


def broken_by(before: Cell, move: Move) -> str:
    """The promise that a move breaks, or "". The numbers are those of docs/explanation/reliability.md."""
    was, job = before.job, move.cell.job
    if was.status in ENDED and job != was:
        return f"I1: the job had ended as {was.status} and changed"
    if max(job.endings) > 1:
        return f"I2: the run under epoch {job.endings.index(max(job.endings)) + 1} was settled twice"
    if job.epoch < was.epoch or (move.verb == "claim" and job.epoch != was.epoch + 1):
        return "I2: the epoch did not grow"
    if job.status == "running" and job.endings[job.epoch - 1]:
        return "I2: the job runs under an epoch that was settled"
    if move.verb == "start" and move.taken and not (job.due and job.status == "running"):
        return f"I3: a run began while the job was {job.status}"
    if sum(hand.live for hand in move.cell.hands) > 1:
        return "I4: two workers run the job, and neither has lost its lease"
    if job.attempts > TRIES or job.crashes > MAX_CRASHES:
        return f"I5: {job.attempts} tries and {job.crashes} crashes"
    return ""


def _stuck(back: list[list[int]], hopeful: list[int]) -> int | None:
    """The first state from which nothing helpful leads to rest."""
    reached = bytearray(len(back))
    stack = list(hopeful)
    for number in stack:
        reached[number] = 1
    while stack:
        for before in back[stack.pop()]:
            if not reached[before]:
                reached[before] = 1
                stack.append(before)
    found = reached.find(0)
    return None if found < 0 else found


def _path(came_from: list[tuple[int, Action]], number: int) -> tuple[Action, ...]:
    path: list[Action] = []
    while number > 0:
        number, action = came_from[number]
        path.append(action)
    return tuple(reversed(path))
