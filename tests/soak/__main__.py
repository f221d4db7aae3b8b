"""``scripts/soak [--runs 200000] [LANGUAGE ...]``: run engines for long and say what stays."""

from __future__ import annotations

import asyncio
import sys
import time

import click

from tests.contract.engine_stage import AVAILABLE, NAMES
from tests.soak.soak import soak


@click.command()
@click.argument("languages", nargs=-1, metavar="[v8js typescript nodejs python3 php]")
@click.option("--runs", default=200_000, show_default=True, help="Runs of each language.")
def main(languages: tuple[str, ...], runs: int) -> None:
    """Exit 1 if memory grows by 1 KiB a run or more, or if anything is left behind."""
    failed = False
    for language in languages or NAMES:
        if not AVAILABLE[language]():
            print(f"{language}: not on this machine")
            continue
        began = time.monotonic()
        left = asyncio.run(soak(language, runs))
        problems = left.problems()
        failed |= bool(problems)
        print(
            f"{language}: {left.runs} runs in {time.monotonic() - began:.0f} s; KiB a run: host {left.host_slope:+.3f},"
            f" children {left.children_slope:+.3f}; {left.zombies} zombies, {left.descriptors} descriptors,"
            f" {left.folders} folders, {left.processes} processes left; {', '.join(problems) or 'nothing stays'}",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
