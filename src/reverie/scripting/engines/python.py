"""python3: the interpreter that runs us, without our packages; and `python`, another name for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverie.scripting.engine import Outcome, Run
from reverie.scripting.pool import RULES, Pool
from reverie.scripting.program import Program
from reverie.scripting.walls import Rules


def available() -> bool:
    return Path("/proc/self/statm").exists()


class PythonEngine(Pool):
    """Every run in a process of its own, forked from a warm parent while nothing is to do."""

    def __init__(self, *, size: int = 2, recycle: int = 1000, rules: Rules = RULES) -> None:
        self.name = "python3"
        self.label = "Python3"
        self.description = "Script handler using native Python3."
        self.sandboxed = False
        program = Program(path=None, runner="runner.py", place="third", prints=True, overhead=96, forks=True)
        missing = "Python scripts need Linux."
        super().__init__(program if available() else None, missing=missing, size=size, recycle=recycle, rules=rules)


class PythonAlias:
    """The name `python`, as older scripts have it; what it runs, runs in the engine given."""

    def __init__(self, engine: PythonEngine) -> None:
        self.name = "python"
        self.label = "Python"
        self.description = "Script handler using native Python; the same as python3."
        self.sandboxed = False
        self.missing = engine.missing
        self._engine = engine

    async def start(self) -> None:
        await self._engine.start()

    async def run(self, run: Run) -> Outcome:
        return await self._engine.run(run)

    def facts(self) -> Mapping[str, Any]:
        return {"alias": self._engine.name, **self._engine.facts()}

    async def close(self) -> None:
        """Nothing of its own to end."""
