"""The list of scenarios: each is one function over a stage."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.checker import Verdict
from tests.chaos.places import PAIRS, ground
from tests.chaos.stage import Figure, Stage

Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`mark` says what must hold; `pairs` are those it concerns; `quick`: CI plays its short form."""

    name: str
    title: str
    mark: str
    play: Play
    pairs: tuple[str, ...] = PAIRS
    quick: bool = False


@dataclass(slots=True)
class Outcome:
    scenario: str
    pair: str
    form: str
    seconds: float
    verdict: Verdict
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> list[str]:
        return [*self.verdict.violations, *(f"missed: {one}" for one in self.figures if not one.holds)]


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(
    name: str, title: str, mark: str, *, pairs: tuple[str, ...] = PAIRS, quick: bool = False
) -> Callable[[Play], Play]:
    """Put a function on the list."""

    def keep(play: Play) -> Play:
        SCENARIOS[name] = Scenario(name, title, mark, play, pairs, quick)
        return play

    return keep


def load() -> dict[str, Scenario]:
    """All scenarios, in the order of their numbers."""
    from tests.chaos import brokers, clocks, crashes, races, stores, upgrades  # noqa: F401 - they put themselves on the list

    return dict(sorted(SCENARIOS.items(), key=lambda item: int(item[0][1:])))


def run(one: Scenario, pair: str, *, full: bool) -> Outcome:
    """Play a scenario on servers and folders of its own, then check what it left behind."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"chaos-{one.name}-") as name:
        folder = Path(name)
        # Scripts run as somebody who may not look into what belongs to root.
        folder.chmod(0o755)
        with ground(pair, folder) as prepared:
            stage = Stage(prepared, folder, full)

            async def whole() -> None:
                async with stage.open():
                    await one.play(stage)

            asyncio.run(whole())
            verdict = stage.verdict()
    form = "full" if full else "short"
    return Outcome(one.name, pair, form, time.monotonic() - began, verdict, stage.figures, stage.notes)
