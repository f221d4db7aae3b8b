"""What is wrong with a text, by its language's own parser; nothing of it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from reverie.errors import ScriptError
from reverie.model import JSON, Script
from reverie.scripting.engine import Engine, Limits, Run

LIMITS: Final = Limits(wall=5.0)
DEPTH: Final = -1
"""No run has it: a check waits for other checks only, however many scripts are under way."""
MOST: Final = 100
"""Diagnostics told of one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """Something that the parser says.

    Attributes:
        line, column: counted from 1, inside the text or just behind its end; columns in characters.
    """

    line: int
    column: int
    message: str
    severity: Literal["error", "warning"] = "error"


async def check(engine: Engine, language: str, text: str) -> Sequence[Diagnostic]:
    """What is wrong with *text*; nothing when it would start.

    Raises:
        ScriptError: with a status that is not 500: this language cannot be asked now.
    """
    script = Script(identifier="check", language=language, content=text)
    run = Run(script=script, event={}, platform={}, host=_refuse, limits=LIMITS, depth=DEPTH, check=True)
    try:
        found = (await engine.run(run)).returned
    except ScriptError as error:
        if error.status != 500:
            raise
        # It ended the parser: too deep, too large, or what PHP finds only as it compiles.
        return [_placed(text, error.line, None, error.message, "error")]
    told = found if isinstance(found, list) else []
    return [_read(text, one) for one in told[:MOST] if isinstance(one, dict)]


async def _refuse(op: str, args: dict[str, JSON]) -> JSON:
    return None


def _read(text: str, told: dict[str, JSON]) -> Diagnostic:
    severity: Literal["error", "warning"] = "warning" if told.get("severity") == "warning" else "error"
    message = str(told.get("message") or "The text cannot be understood.")
    return _placed(text, told.get("line"), told.get("column"), message, severity)


def _placed(text: str, line: JSON, column: JSON, message: str, severity: Literal["error", "warning"]) -> Diagnostic:
    """With a place in the text: a parser may stop behind its end, or not say where."""
    lines = text.split("\n")
    if not isinstance(line, int) or line < 1:
        line, column = 1, None
    if line > len(lines):
        line, column = len(lines), len(lines[-1]) + 1
    if not isinstance(column, int):
        column = len(lines[line - 1]) - len(lines[line - 1].lstrip()) + 1
    column = min(max(column, 1), len(lines[line - 1]) + 1)
    return Diagnostic(line=line, column=column, message=message, severity=severity)
