"""``reverie migrate``."""

from __future__ import annotations

from pathlib import Path

import click

from reverie.cli.group import read


@click.command()
@click.pass_obj
def migrate(config: Path | None) -> None:
    """Bring the platform's own store to this version; does nothing when it is."""
    settings = read(config)
    from reverie.prepare import bring_up_to_date

    bring_up_to_date(settings)
    click.echo(f"{settings.store} is up to date.")
