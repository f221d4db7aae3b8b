"""`python -m tests.compat` prints the page; with `--write` it goes to the docs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.compat.table import page, rows, shown
from tests.contract.engine_stage import NAMES, make

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "script-languages.md"


async def found() -> dict[str, list[str]]:
    """The cells of every language."""
    cells = {}
    for name in NAMES:
        engine = make(name, size=1)
        cells[name] = shown(await rows(engine))
        await engine.close()
    return cells


if __name__ == "__main__":
    text = page(asyncio.run(found()))
    if "--write" in sys.argv:
        PAGE.write_text(text, "utf-8")
    else:
        print(text)
