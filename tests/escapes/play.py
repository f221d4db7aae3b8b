"""Makes all attempts of one language at one level of isolation, through the same door as every script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from reverie.errors import ReverieError
from reverie.events.limits import Allowance, Isolation
from reverie.events.runs import ScriptRuns
from reverie.model import ANONYMOUS, JSON, Context, Request, Response, Script
from reverie.outgoing import Outgoing
from reverie.scripting.engine import Engine, Limits, Outcome
from reverie.scripting.library import Library
from reverie.scripting.pool import RULES
from reverie.scripting.walls import Rules
from tests.contract.engine_stage import below, make, pids
from tests.escapes.attempt import Attempt
from tests.escapes.corpus import CORPUS, script
from tests.escapes.stage import Targets, targets

OWN = "alpha._table.todo.get.post_process"
OTHERS = {"service": "beta._table.todo.get.post_process", "script": "alpha._table.todo.put.post_process", "own": OWN}
HEARD = "HEARD"
"""What a script prints that got hold of another run's event."""


@dataclass
class Result:
    """Attributes:
    out: attempts that got out, by name, and what they got.
    heard: what came to the servers beside the script.
    harmed: processes that should live and do not, or should not and do.
    """

    out: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    harmed: list[str] = field(default_factory=list)


class _Scratch:
    async def get(self, script: str, name: str) -> JSON:
        return None

    async def set(self, script: str, name: str, value: JSON) -> None: ...


class _Play:
    def __init__(self, engine: Engine, level: Isolation, outgoing: Outgoing, aims: Targets) -> None:
        allowance = Allowance(limits=Limits(wall=20, memory=256), isolation=level)
        self.language = engine.name
        self.aims = aims
        self.runs = ScriptRuns(
            {engine.name: engine}, outgoing, _Scratch(), {}, Library(Path("none")), allowance=allowance
        )
        self.context = Context(caller=ANONYMOUS, call=_nothing)

    async def run(self, identifier: str, text: str, *, secret: str, wall: float) -> Outcome:
        config: dict[str, JSON] = {"limits": {"wall": wall}}
        one = Script(identifier=identifier, language=self.language, content=text, config=config)
        left = self.aims.has_leftovers() if secret else False
        event: dict[str, JSON] = {"request": {}, "secret": secret, "targets": {**self.aims.told, "left": left}}
        return await self.runs.run(one, event, self.context)

    async def all_in_one(self, attempts: Iterable[Attempt]) -> dict[str, str]:
        chosen = list(attempts)
        outcome = await self.run(OWN, script(self.language, [one.text for one in chosen]), secret="", wall=20)
        assert isinstance(outcome.returned, dict), outcome
        return {chosen[int(at)].name: str(got) for at, got in outcome.returned.items()}

    async def one(self, attempt: Attempt) -> str:
        """What it got; empty if nothing."""
        got = ""
        try:
            outcome = await self.run(OWN, script(self.language, [attempt.text]), secret="", wall=3)
            got = str(outcome.returned) if outcome.returned not in ({}, []) else ""
        except ReverieError:
            pass  # it ended its own process
        if attempt.find is None:
            return got
        for _ in range(25):  # what is ended has a moment to be gone
            await asyncio.sleep(0.02)
            if not self.aims.has_leftovers():
                break
        try:
            later = await self.run(OTHERS[attempt.by], script(self.language, [attempt.find]), secret="hush", wall=3)
        except ReverieError as error:
            return f"the next run failed: {error.message}"
        found = str(later.returned) if later.returned not in ({}, []) else ""
        return found or (HEARD if HEARD in later.output else "")


async def _nothing(request: Request) -> Response:
    return Response(status=404, content={})


async def play(language: str, level: Isolation, rules: Rules = RULES) -> Result:
    """Every attempt, made."""
    engine, neighbour = make(language, rules=rules), make(language)
    outgoing = Outgoing("public")
    result = Result()
    try:
        await engine.start()
        await neighbour.start()
        alive = sorted(below(pids(neighbour)))
        with targets(alive) as aims:
            stage = _Play(engine, level, outgoing, aims)
            corpus = CORPUS[language]
            result.out |= await stage.all_in_one(one for one in corpus if one.find is None and not one.alone)
            for attempt in corpus:
                if (attempt.find is not None or attempt.alone) and (got := await stage.one(attempt)):
                    result.out[attempt.name] = got
            result.heard = [*aims.heard]
            if aims.bystander.poll() is not None:
                result.harmed.append("a process beside the script was killed")
            if not set(alive) <= below(pids(neighbour)):
                result.harmed.append("a process of another script was killed")
            await engine.close()
            if aims.has_leftovers():
                result.harmed.append("a process outlived the engine")
    finally:
        await engine.close()
        await neighbour.close()
        await outgoing.close()
    return result


def broken(result: Result, language: str, level: str) -> list[str]:
    """The promises of the level that do not hold."""
    promised = {one.name for one in CORPUS[language] if level in one.levels}
    return [
        *(f"{name}: {got}" for name, got in result.out.items() if name in promised),
        *(f"a server heard {name}" for name in result.heard),
        *result.harmed,
    ]
