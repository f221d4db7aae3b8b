"""``reverie scripts``: scripts as texts and as things to be tested; each command in a module of its own."""

from __future__ import annotations

import click

from reverie.cli.group import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "pull": "reverie.cli.scripts_sync:pull",
        "push": "reverie.cli.scripts_sync:push",
        "diff": "reverie.cli.scripts_sync:diff",
        "dev": "reverie.cli.scripts_dev:dev",
        "test": "reverie.cli.scripts_test:test",
    },
)
def scripts() -> None:
    """Keep scripts in files, and test them before they are used."""
