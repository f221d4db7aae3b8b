"""``reverie keys``: the secret key, changed while jobs wait and sessions last."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reverie.cli.group import read

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.store.keys import Uses
    from reverie.store.store import Store

SETTLED: Final = 3.0
"""Seconds after which every process uses the keys that are in the file."""
_BY_SETTINGS: Final = """\
The key is given by REVERIE_SECRET_KEY, so it is changed there:
  1. In every process: REVERIE_SECRET_KEY = a new one, such as {new}
     and REVERIE_SECRET_KEY_OLD = the present one. Restart them.
  2. reverie keys reseal"""


@click.group()
def keys() -> None:
    """Change the secret key that seals jobs, secrets in settings and sessions."""


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.pass_obj
def show(config: Path | None, as_json: bool) -> None:
    """List the keys, and what still needs each."""
    settings = read(config)
    rows = asyncio.run(_rows(settings))
    if as_json:
        click.echo(json.dumps(rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="left" if name in ("key", "state") else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


@keys.command()
@click.pass_obj
def rotate(config: Path | None) -> None:
    """Make a new key and use it from now on; what was sealed before stays readable.

    Running processes notice within a second. Secrets in settings and private lookups are sealed anew; jobs are not.
    """
    settings = read(config)
    from reverie.sealing import KeyFile, key_id_of_secret, make_secret, secret_from

    if settings.secret_key is not None:
        click.echo(_BY_SETTINGS.format(new=make_secret()))
        sys.exit(1)
    secret_from(settings.data_dir)
    file = KeyFile(settings.data_dir)
    old = file.secrets()
    new = make_secret()
    file.write([new, *old])
    click.echo(f"{key_id_of_secret(new)} is the key from now on; {key_id_of_secret(old[0])} opens what it sealed.")
    _reseal(settings)


@keys.command()
@click.pass_obj
def reseal(config: Path | None) -> None:
    """Seal secrets in settings and private lookups anew, under the key in use."""
    _reseal(read(config))


def _reseal(settings: Settings) -> None:
    done, lost = asyncio.run(_sealed_anew(settings))
    click.echo(f"{done} secrets of settings, lookups and kept events were sealed anew.")
    if lost:
        click.echo(f"{lost} cannot be opened: their key is not known here. Set them again.", err=True)
        sys.exit(1)


@keys.command()
@click.argument("key")
@click.option("--ended", is_flag=True, help="Also if jobs that have ended can then no longer be shown or tried again.")
@click.pass_obj
def drop(config: Path | None, key: str, ended: bool) -> None:
    """Take the old key with the id KEY away. Refused while something needs it. Sessions under it end."""
    settings = read(config)
    from reverie.sealing import KeyFile, key_id_of_secret

    file = KeyFile(settings.data_dir)
    in_file = settings.secret_key is None
    if in_file and not file.path.exists():
        raise click.ClickException(f"There is no key yet: {file.path} does not exist.")
    secrets = file.secrets() if in_file else [settings.secret_key or ""]
    known = {key_id_of_secret(secret): secret for secret in (*secrets, *settings.secret_key_old)}
    if key not in known:
        raise click.ClickException(f"There is no key {key}; there are {', '.join(known)}.")
    if key == key_id_of_secret(secrets[0]):
        raise click.ClickException(f"{key} is the key in use. `reverie keys rotate` makes another one first.")
    if in_file:
        # Whoever still sealed under it has noticed by then that it is an old one.
        time.sleep(max(SETTLED - (time.time() - file.path.stat().st_mtime), 0.0))
    uses = asyncio.run(_uses(settings))
    if reasons := _reasons(uses, key, ended=ended):
        raise click.ClickException(f"The key {key} is still needed: {'; '.join(reasons)}.")
    if known[key] in settings.secret_key_old:
        click.echo(f"Nothing needs {key} any more: take it out of REVERIE_SECRET_KEY_OLD, and restart.")
    if known[key] in secrets:
        file.write([secret for secret in secrets if secret != known[key]])
        click.echo(f"{key} is gone.")


def _reasons(uses: Uses, key: str, *, ended: bool) -> list[str]:
    """Why a key cannot go, each with what to do."""
    settings, live, events = uses.settings[key] + uses.lookups[key], uses.live_jobs[key], uses.events[key]
    gone = max(uses.ended_jobs[key], uses.results[key])
    return [
        *([f"{settings} secrets of settings and lookups (reverie keys reseal)"] if settings else []),
        *([f"{events} events kept of scripts (reverie keys reseal)"] if events else []),
        *([f"{live} jobs that have not ended (wait until they have)"] if live else []),
        *([f"{gone} ended jobs could no longer be shown or tried again (--ended)"] if gone and not ended else []),
    ]


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    from reverie.app import build

    async with build(settings, scripts=False) as platform:
        yield platform.store


async def _uses(settings: Settings) -> Uses:
    from reverie.store.keys import uses_of_keys

    async with _store(settings) as store:
        return await uses_of_keys(store)


async def _sealed_anew(settings: Settings) -> tuple[int, int]:
    from reverie.store.keys import reseal as seal_anew

    async with _store(settings) as store:
        return await seal_anew(store)


async def _rows(settings: Settings) -> list[Mapping[str, str | int]]:
    """One for each key, the one in use first, those that nobody knows any more last."""
    from reverie.store.keys import uses_of_keys

    async with _store(settings) as store:
        uses = await uses_of_keys(store)
        current, known = store.sealer.key_id, store.sealer.key_ids
    lost = sorted(uses.key_ids() - set(known))
    states = {key: "in use" if key == current else "old" for key in known} | dict.fromkeys(lost, "not known here")
    order = [current, *(key for key in states if key != current)]
    return [
        {
            "key": key or "not sealed",
            "state": states[key],
            "settings": uses.settings[key],
            "lookups": uses.lookups[key],
            "events": uses.events[key],
            "jobs_to_do": uses.live_jobs[key],
            "jobs_ended": uses.ended_jobs[key],
            "results": uses.results[key],
        }
        for key in order
    ]
