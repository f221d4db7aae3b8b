"""Fixtures: events with what a script is expected to make of them, tried in a dry run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reverie.database import Value
from reverie.errors import BadRequest, Conflict, ReverieError
from reverie.events.difference import fits
from reverie.events.recording import open_capture
from reverie.events.rehearsal import plain
from reverie.events.trials import Trials, Tried, Trying, error_of, report
from reverie.model import JSON, Script, is_true
from reverie.store.fixtures import fixtures_of

EXPECTED: Final = ("error", "result", "request", "response", "changes", "writes", "output")
"""What an expectation may name."""
MOST_SHOWN: Final = 600
REQUIRED: Final = "require_fixtures"
"""The key of a script's config that refuses to save what fails its fixtures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a fixture went.

    Attributes:
        problems: what was not as expected; empty when all was.
        seconds: of the run.
    """

    script: str
    name: str
    problems: Sequence[str]
    seconds: float = 0.0
    output: str = ""


@dataclass(frozen=True, slots=True)
class Fixtures:
    """All that is tested by fixtures."""

    trials: Trials

    async def test_all(self, name: str | None = None) -> list[Verdict]:
        """Every fixture, or those of one script, each on the script as it is saved."""
        one = None if name is None else await self.trials.find(name)
        key = None if name is None else name.lower() if one is None else one.key
        return [await self.test(row, await self.trials.find(str(row["script"]))) for row in await self._rows(key)]

    async def test(self, row: Mapping[str, Value], script: Script | None) -> Verdict:
        """One fixture on one script."""
        name = str(row["name"])
        if script is None:
            return Verdict(script=str(row["script"]), name=name, problems=["The script is gone."])
        try:
            packed = open_capture(self.trials.store, row)
            tried = await self.trials.run(await self.trials.kept(row, script), "dry")
        except ReverieError as error:
            return Verdict(script=script.identifier, name=name, problems=[error.message])
        problems = unmet(packed.environment.get("expect"), script, tried)
        seconds = tried.times.get("run", 0.0)
        return Verdict(
            script=script.identifier, name=name, problems=problems, seconds=seconds, output=plain(tried.output)
        )

    async def must_pass(self, script: Script) -> None:
        """Return if the script passes its fixtures, or does not want to be asked.

        Raises:
            Conflict: with each fixture that failed and why, in its context.
        """
        if not is_true(script.config.get(REQUIRED)):
            return
        verdicts = [await self.test(row, script) for row in await self._rows(script.key)]
        failed: dict[str, JSON] = {one.name: list(one.problems) for one in verdicts if one.problems}
        if failed:
            raise Conflict(
                f"The script was not saved: {len(failed)} of its {len(verdicts)} fixtures fail"
                f" ({', '.join(failed)}), and its config says '{REQUIRED}'.",
                context={"fixtures": failed},
            )

    async def record(self, trying: Trying) -> tuple[dict[str, JSON], list[JSON]]:
        """The expectation that the script meets now, and what it asked and was answered."""
        tried = await self.trials.run(trying, "dry")
        told = report(trying.script, "dry", tried)
        error = told["error"]
        if isinstance(error, dict):
            error = {name: error[name] for name in ("type", "message", "status_code")}
        expect = {"error": error, **{name: told[name] for name in ("result", "changes", "writes")}}
        return expect, tried.rehearsal.tape

    async def _rows(self, key: str | None) -> list[dict[str, Value]]:
        return await fixtures_of(self.trials.store, key)


def check_expectation(value: JSON) -> dict[str, JSON]:
    """Raises BadRequest for what is none."""
    if not isinstance(value, dict):
        raise BadRequest(f"'expect' must be an object with some of {', '.join(EXPECTED)}.")
    unknown = [name for name in value if name not in EXPECTED]
    if unknown:
        raise BadRequest(f"An expectation has no '{unknown[0]}'; it may name {', '.join(EXPECTED)}.")
    return value


def unmet(expect: JSON, script: Script, tried: Tried) -> list[str]:
    """What is not as expected, a sentence each."""
    wanted: dict[str, JSON] = expect if isinstance(expect, dict) else {}
    problems = []
    error = None if tried.error is None else error_of(tried.error)
    if error is not None and wanted.get("error") is None:
        place = f" in line {error['line']}" if error["line"] is not None else ""
        problems.append(f"The script failed{place}: {error['type']}: {error['message']}")
    elif wanted.get("error") is not None and not fits(wanted["error"], error):
        problems.append(f"error: expected {shown(wanted['error'])}, found {shown(error)}")
    told = report(script, "dry", tried)
    found: dict[str, Any] = {
        "result": told["result"],
        "changes": told["changes"],
        "writes": told["writes"],
        "request": tried.after.get("request"),
        "response": tried.after.get("response"),
    }
    for name, value in found.items():
        if name in wanted and not fits(wanted[name], value):
            problems.append(f"{name}: expected {shown(wanted[name])}, found {shown(value)}")
    if "output" in wanted and str(wanted["output"]) not in plain(tried.output):
        problems.append(f"output: {shown(wanted['output'])} was not printed")
    return problems


def shown(value: JSON) -> str:
    """A value in a sentence, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
