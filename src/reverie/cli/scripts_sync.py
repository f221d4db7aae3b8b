"""``reverie scripts pull``, ``push`` and ``diff``: a folder under version control, and a running instance."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from reverie.cli.scripts_folder import Folder, Kept
from reverie.cli.scripts_plan import Do, Step, pull_plan, push_plan
from reverie.cli.scripts_remote import Remote, at_instance

F = TypeVar("F", bound=Callable[..., Any])

in_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


def _changing(what: str, where: str) -> Callable[[F], F]:
    """The options of what changes one side."""

    def add(function: F) -> F:
        for option in (
            click.option("--dry-run", is_flag=True, help="Only say what would change."),
            click.option("--prune", is_flag=True, help=f"Delete scripts {where} that are not {what}."),
            click.option("--force", is_flag=True, help=f"Overwrite what was changed {where} since the last pull."),
        ):
            function = option(function)
        return function

    return add


@click.command()
@in_folder
@_changing("on the instance", "in the folder")
@at_instance
def pull(folder: Path, url: str, token: str, force: bool, prune: bool, dry_run: bool) -> None:
    """Write the instance's scripts into FOLDER: a file of text and one of settings for each."""
    files = Folder(folder)
    with Remote(url, token) as remote:
        here, there, known = files.scripts(), remote.scripts(), files.known()
    steps = pull_plan(here, there, known, prune=prune, force=force)
    _tell(steps, "in the folder")
    _refuse_conflicts(steps, "--force takes the instance's side; to keep yours, push it.")
    if dry_run:
        return
    for step in steps:
        if step.do in (Do.CREATE, Do.CHANGE) and step.there is not None:
            files.write(step.there.kept)
        elif step.do is Do.DELETE and step.here is not None:
            files.remove(step.here)
    files.remember({key: one.kept.digest for key, one in there.items()})


@click.command()
@in_folder
@_changing("in the folder", "on the instance")
@at_instance
def push(folder: Path, url: str, token: str, force: bool, prune: bool, dry_run: bool) -> None:
    """Make the instance's scripts what FOLDER has.

    Nothing is pushed when a script was changed there since the last pull, unless --force.
    """
    files = Folder(folder)
    with Remote(url, token) as remote:
        publish(files, remote, prune=prune, force=force, dry_run=dry_run)


def publish(files: Folder, remote: Remote, *, prune: bool = False, force: bool = False, dry_run: bool = False) -> None:
    """The push. Raises ClickException for conflicts, before anything is done."""
    here, there, known = files.scripts(), remote.scripts(), files.known()
    steps = push_plan(here, there, known, prune=prune, force=force)
    _tell(steps, "on the instance")
    _refuse_conflicts(steps, "`reverie scripts diff` shows what; pull, or push with --force.")
    if dry_run:
        return
    known = {key: digest for key, digest in known.items() if key in here or key in there}
    known |= {key: one.digest for key, one in here.items() if key in there and there[key].kept.digest == one.digest}
    for step in steps:
        if step.do in (Do.CREATE, Do.CHANGE) and step.here is not None:
            remote.save(step.here, step.there)
            known[step.key] = step.here.digest
        elif step.do is Do.DELETE and step.there is not None:
            remote.delete(step.there)
            known.pop(step.key, None)
        else:
            continue
        files.remember(known)  # after each: a push that is broken off has done what it says
    files.remember(known)


@click.command()
@in_folder
@at_instance
def diff(folder: Path, url: str, token: str) -> None:
    """Show how FOLDER differs from the instance; exit 1 when it does."""
    with Remote(url, token) as remote:
        here, there = Folder(folder).scripts(), remote.scripts()
    differs = False
    for key in sorted({*here, *there}):
        its = there[key].kept if key in there else None
        for line in lines_between(its, here.get(key)):
            differs = True
            click.secho(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))
    sys.exit(1 if differs else 0)


def lines_between(its: Kept | None, mine: Kept | None) -> Iterator[str]:
    """A unified difference: what a push would change on the instance."""
    one = mine or its
    if one is None or (its and mine and its.digest == mine.digest):
        return
    for what, before, after in (
        ("text", its.text if its else "", mine.text if mine else ""),
        ("settings", _settings(its), _settings(mine)),
    ):
        old = f"instance/{one.kind}/{one.name} ({what})" if its else "/dev/null"
        new = f"folder/{one.kind}/{one.name} ({what})" if mine else "/dev/null"
        yield from difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="")


def _settings(one: Kept | None) -> str:
    return "" if one is None else json.dumps(one.settings, indent=2, ensure_ascii=False, sort_keys=True)


def _tell(steps: Sequence[Step], where: str) -> None:
    for step in steps:
        if step.do is not Do.LEAVE:
            click.echo(f"{step.do}: {step.name}{': ' + step.why if step.why else ''}")
    for why, count in Counter(step.why for step in steps if step.do is Do.LEAVE).items():
        click.echo(f"{Do.LEAVE}: {count} {'script' if count == 1 else 'scripts'}, {why}")
    if not any(step.do is not Do.LEAVE for step in steps):
        click.echo(f"Nothing to change {where}.")


def _refuse_conflicts(steps: Sequence[Step], what_now: str) -> None:
    conflicts = sum(step.do is Do.CONFLICT for step in steps)
    if conflicts:
        plural = "s" if conflicts > 1 else ""
        raise click.ClickException(f"{conflicts} conflict{plural}, so nothing was changed. {what_now}")
