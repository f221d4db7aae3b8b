"""Runs every situation in every language that is there, and lays out what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from reverie.errors import ScriptError
from reverie.model import JSON
from reverie.scripting.engine import NOTHING, Engine, Limits
from tests.compat.situations import HAND_ON, SITUATIONS, VALUES
from tests.contract.engine_stage import Platform, play

NOT_THERE = "-"
SAME = "="
LIKE_FIRST = "as v8js"
HEADING = """\
# What each language makes of the same event

One event goes to every language, byte for byte; this is what comes back. `python -m tests.compat` prints the page, and
a test compares it. A script hands each value on as it found it: `=` stands for the very same JSON. Below that, scripts
do the same in each language: what they return, what they leave in the event, what the platform is asked, what is
printed, or the error with its type, status, code and line. `-`: the language has no words for it.

"""


async def rows(engine: Engine) -> dict[str, str]:
    """The cell of each situation for one language."""
    values: dict[str, JSON] = {name: json.loads(text) for name, text in VALUES.items()}
    outcome = await play(engine, HAND_ON, event={"values": values})
    back = outcome.event["back"]
    assert isinstance(back, dict)
    cells = {name: SAME if _json(back[name]) == _json(values[name]) else _json(back[name]) for name in VALUES}
    for name, texts in SITUATIONS.items():
        cells[name] = await _cell(engine, texts[engine.name]) if texts.get(engine.name) else NOT_THERE
    return cells


async def _cell(engine: Engine, text: str) -> str:
    event = _event()
    host = Platform()
    try:
        outcome = await play(engine, text, event=event, host=host, limits=Limits(wall=1))
    except ScriptError as error:
        kind = error.kind or type(error).__name__
        line = "" if error.line is None else f", line {error.line}"
        # What the languages say themselves changes with their versions.
        said = f" {error.message}" if error.message == "no" or kind.startswith("Script") else ""
        return f"{kind} {error.status}/{error.code}{line}{said}"
    parts = [] if outcome.returned is NOTHING else [_json(outcome.returned)]
    parts += [_json(args) for op, args in host.asked if op == "api" and outcome.returned is NOTHING]
    parts += [f"event: {_json(outcome.event)}"] if outcome.event != _event() else []
    parts += [f"printed: {outcome.output!r}"] if outcome.output else []
    return "; ".join(parts) or "nothing"


def _event() -> dict[str, JSON]:
    return {"request": {"headers": {"x-a": "b"}, "payload": {"n": 1, "list": ["a", "b"]}}, "resource": "todo"}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=True)


def page(found: Mapping[str, Sequence[str]]) -> str:
    """The page: a line for each situation, a column for each language; `found` as of `shown`."""
    first = next(iter(found))
    lines = [["situation", *found], ["---"] * (1 + len(found))]
    for at, name in enumerate((*VALUES, *SITUATIONS)):
        called = f"{name} `{_plain(VALUES[name])}`" if name in VALUES else name
        others = [found[first][at] if one == first else _as_first(found[one][at], found[first][at]) for one in found]
        lines.append([called, *others])
    return HEADING + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _as_first(cell: str, first: str) -> str:
    return LIKE_FIRST if cell == first and len(cell) > len(LIKE_FIRST) else cell


def shown(cells: Mapping[str, str]) -> list[str]:
    """The cells of one language as they stand on the page, in its order."""
    return [cell if cell in (SAME, NOT_THERE, "nothing") else f"`{_plain(cell)}`" for cell in cells.values()]


def read(text: str) -> dict[str, list[str]]:
    """What `shown` gave for each language, from the page."""
    lines = [line.strip("|").split(" | ") for line in text.removeprefix(HEADING).splitlines()]
    columns = [[cell.strip() for cell in column] for column in zip(*lines, strict=True)][1:]
    first = columns[0]
    return {
        column[0]: [other if cell == LIKE_FIRST else cell for cell, other in zip(column, first, strict=True)][2:]
        for column in columns
    }


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("|", "\\|")
