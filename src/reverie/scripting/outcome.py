"""What a child answered, as the host understands it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from reverie.errors import ScriptError, ScriptLimit
from reverie.scripting import wire
from reverie.scripting.engine import NOTHING, Outcome, Run

AROUND: Final = 2
"""Lines shown before and after the one of an error."""
WIDEST: Final = 400
"""Characters of a line that are shown."""


def outcome_of(message: wire.Result, *, output: str, seconds: float) -> Outcome:
    """The end of a run.

    Raises:
        ScriptError: the script returned a truthy ``error``, or left an event that is no map.
    """
    if not isinstance(message.event, dict):
        raise ScriptError("The script left an event that is no object.", output=output)
    returned = message.returned
    if isinstance(returned, dict) and returned.get("error"):
        raise ScriptError(_text_of(returned["error"]), output=output)
    return Outcome(
        event=message.event,
        returned=NOTHING if returned is msgspec.UNSET else wire.as_json(returned),
        output=output,
        seconds=seconds,
    )


def _text_of(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()


def script_error(message: wire.Failure, run: Run, output: str) -> ScriptError:
    """What the script threw."""
    if message.kind == "MemoryError":
        return ScriptLimit(f"The script ran out of memory: it may use {run.limits.memory} MiB.", output=output)
    status = _number(message.status_code) or 500
    code = message.code
    lines = run.script.content.splitlines()
    line = message.line if message.line is not None and 1 <= message.line <= len(lines) else None
    column = message.column if line and message.column is not None and message.column >= 1 else None
    if line and column and column > len(lines[line - 1]) + 1:
        column = None
    return ScriptError(
        message.message or "Unknown scripting error.",
        status=status,
        code=code if isinstance(code, int | str) and not isinstance(code, bool) and code != "" else status,
        kind=message.kind,
        line=line,
        column=column,
        excerpt=lines[line - 1] if line else "",
        source=marked(lines, line, column) if line else "",
        output=output,
    )


def marked(lines: Sequence[str], line: int, column: int | None) -> str:
    """The lines around *line*, which is marked; a caret stands under its *column*."""
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    width = len(str(last))
    told = []
    for number in range(first, last + 1):
        text = lines[number - 1][:WIDEST]
        told.append(f"{'>' if number == line else ' '} {number:>{width}} | {text}".rstrip())
        if number == line and column is not None and column <= WIDEST:
            # Tabs stay tabs, so that the caret stands where the reader sees the place.
            before = "".join("\t" if letter == "\t" else " " for letter in text[: column - 1])
            told.append(f"  {'':>{width}} | {before}^")
    return "\n".join(told)


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else None
