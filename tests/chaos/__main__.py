"""``scripts/chaos D5 [--pair PAIR] [--full]``: play scenarios by hand; without a name, list them."""

from __future__ import annotations

import sys
import traceback

import click
from rich.console import Console
from rich.table import Table

from reverie.observe import set_up
from tests.chaos.places import PAIRS
from tests.chaos.scenarios import Outcome, load, run
from tests.chaos.stage import MissingProgram

console = Console(width=None if sys.stdout.isatty() else 160)


@click.command()
@click.argument("names", nargs=-1, metavar="[D1 D2 ...|all]")
@click.option("--pair", "pairs", multiple=True, type=click.Choice(PAIRS), help="Ledger and transport; may be repeated.")
@click.option("--full/--short", default=False, help="As the plan has it, or counts divided by 10 and leases of 2 s.")
def main(names: tuple[str, ...], pairs: tuple[str, ...], full: bool) -> None:
    """Hurt the queue, then prove that it kept its promises. Exit 1 if it did not, or could not be played."""
    set_up("text", level="warning")
    known = load()
    if not names:
        _list()
        return
    wanted = list(known) if names == ("all",) else [name.upper() for name in names]
    if unknown := [name for name in wanted if name not in known]:
        raise click.UsageError(f"there is no scenario {', '.join(unknown)}; without a name they are listed")
    outcomes: list[Outcome] = []
    failed = False
    for name in wanted:
        for pair in pairs or ("sqlite+database",):
            if pair not in known[name].pairs:
                console.print(f"{name} does not concern {pair}")
                continue
            try:
                outcomes.append(run(known[name], pair, full=full))
            except MissingProgram as missing:
                console.print(f"{name} cannot be played on {pair}: {missing}", style="yellow", markup=False)
                failed = True
            except Exception:  # noqa: BLE001, RUF100 - one scenario's failure must not hide what the others show
                console.print(traceback.format_exc(), style="red", markup=False)
                failed = True
    _show(outcomes)
    sys.exit(failed or any(not one.holds for one in outcomes))


def _list() -> None:
    table = Table("", "what happens", "what must hold", "pairs")
    for one in load().values():
        table.add_row(one.name, one.title, one.mark, "all" if one.pairs == PAIRS else ", ".join(one.pairs))
    console.print(table)


def _show(outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    table = Table("", "pair", "form", "took", "the checker says", "figures", "")
    for one in outcomes:
        figures = "\n".join([*map(str, one.figures), *one.notes])
        problems = "\n".join(one.problems[:10])
        verdict = f"{one.verdict}\n[red]{problems}[/red]" if problems else str(one.verdict)
        sign = "[green]holds[/green]" if one.holds else "[red]BROKEN[/red]"
        table.add_row(one.scenario, one.pair, one.form, f"{one.seconds:.0f} s", verdict, figures, sign)
    console.print(table)
    lost = sum(one.verdict.lost for one in outcomes)
    twice = sum(one.verdict.finished_twice for one in outcomes)
    accepted = sum(one.verdict.accepted for one in outcomes)
    console.print(f"{accepted} accepted · {lost} lost · {twice} finished twice")


if __name__ == "__main__":
    main()
