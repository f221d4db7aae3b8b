"""``scripts/escapes [LANGUAGE ...]``: make every attempt and print which got out, at each level of isolation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table

from reverie.events.limits import LEVELS, Isolation
from tests.contract.engine_stage import AVAILABLE, NAMES
from tests.escapes.corpus import CORPUS
from tests.escapes.play import Result, broken, play
from tests.escapes.table import write

console = Console(width=None if sys.stdout.isatty() else 160)


@click.command()
@click.argument("languages", nargs=-1, metavar="[v8js typescript nodejs python3 php]")
@click.option("--page", is_flag=True, help="Only write the table into docs/reference/sandbox.md.")
def main(languages: tuple[str, ...], page: bool) -> None:
    """Try to get out, in every way that is known. Exit 1 if a level does not keep what it promises."""
    if page:
        write()
        return
    failed = False
    for language in languages or NAMES:
        if not AVAILABLE[language]():
            console.print(f"{language}: not on this machine", style="yellow")
            continue
        results = {level: asyncio.run(play(language, level)) for level in LEVELS}
        _show(language, results)
        for level, result in results.items():
            for problem in broken(result, language, level):
                failed = True
                console.print(f"{language}, {level}: {problem}", style="red", markup=False)
    sys.exit(failed)


def _show(language: str, results: Mapping[Isolation, Result]) -> None:
    shown = Table(language, *LEVELS)
    for one in CORPUS[language]:
        cells = []
        for level, result in results.items():
            got_out, promised = one.name in result.out, level in one.levels
            cells.append("[red]OUT[/red]" if got_out and promised else "out" if got_out else "stopped")
        shown.add_row(one.name, *cells)
    console.print(shown)
    tried = len(CORPUS[language])
    out = ", ".join(f"{level} {len(result.out)}" for level, result in results.items())
    console.print(f"{language}: {tried} attempts at each level; out: {out}")


if __name__ == "__main__":
    main()
