"""The ``reverie`` command, one module per verb. Modules import what is heavy inside their commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command. A ReverieError ends it with its message and exit 1; mistakes in the settings with exit 2."""
    import click

    from reverie.cli.group import reverie
    from reverie.errors import ReverieError, SettingsError

    try:
        reverie(prog_name="reverie")
    except SettingsError as error:
        click.echo("Reverie cannot run like this:", err=True)
        for mistake in error.mistakes:
            click.echo(f"  {mistake}", err=True)
        sys.exit(2)
    except ReverieError as error:
        click.echo(f"reverie: {error.message}", err=True)
        sys.exit(1)
