"""The attempts as a table: from which level on each is stopped, by language. It stands in docs/reference/sandbox.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.escapes.attempt import LEVELS
from tests.escapes.corpus import CORPUS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "sandbox.md"
BEGIN: Final = "<!-- attempts: written by scripts/escapes --page -->\n"
END: Final = "<!-- end of attempts -->\n"
_COLUMNS: Final = {"v8js, typescript": "v8js", "nodejs": "nodejs", "python3": "python3", "php": "php"}


def table() -> str:
    """In Markdown; a cell names the weakest level that stops the attempt, and is empty where it is not tried."""
    names = list(dict.fromkeys(one.name for corpus in CORPUS.values() for one in corpus))
    lines = [f"| Attempt | {' | '.join(_COLUMNS)} |", "|---" * (1 + len(_COLUMNS)) + "|"]
    for name in sorted(names, key=str.lower):
        cells = [_stopped_from(language, name) for language in _COLUMNS.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |".replace("|  ", "| "))
    return "\n".join(lines) + "\n"


def _stopped_from(language: str, name: str) -> str:
    for one in CORPUS[language]:
        if one.name == name:
            return next((level for level in LEVELS if level in one.levels), "not stopped")
    return ""


def in_page() -> str:
    """The table as the page has it."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")
