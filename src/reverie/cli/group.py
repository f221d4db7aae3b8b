"""The root command, and groups that import a command when it is asked for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reverie.config import Settings


class LazyGroup(click.Group):
    """Commands by name, each as ``module:attribute``; with a leading ``_`` in the name they are not listed.

    ``queue:listen`` is another spelling of ``queue listen``.
    """

    def __init__(self, *args: object, lazy: Mapping[str, str], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # whatever click's own constructor takes
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in self._lazy if not name.startswith("_")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        first, colon, second = args[0].partition(":")
        if colon and first in self._lazy:
            args = [first, second, *args[1:]]
        return super().resolve_command(ctx, args)


def read(config: Path | None, **overrides: str | int | None) -> Settings:
    """The settings, with what the command line said over the environment.

    From here on the log goes to stderr, warnings only: standard output is the command's. Who serves sets it up as told.

    Raises:
        SettingsError
    """
    import structlog

    from reverie.config import PREFIX, read_settings
    from reverie.observe import set_up

    given = {PREFIX + name.upper(): str(value) for name, value in overrides.items() if value is not None}
    settings = read_settings({**os.environ, **given}, config)
    if not structlog.is_configured():
        set_up(settings.log_format, "warning")
    return settings


@click.group(
    cls=LazyGroup,
    lazy={
        "up": "reverie.cli.up:up",
        "serve": "reverie.cli.serve:serve",
        "queue": "reverie.cli.queue:queue",
        "scripts": "reverie.cli.scripts:scripts",
        "maintenance": "reverie.cli.workers:maintenance",
        "migrate": "reverie.cli.migrate:migrate",
        "keys": "reverie.cli.keys:keys",
        "user": "reverie.cli.user:user",
        "demo": "reverie.cli.demo:demo",
        "version": "reverie.cli.version:version",
        "_child": "reverie.cli.child:child",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings in TOML; else REVERIE_CONFIG, or reverie.toml in the data folder.",
)
@click.pass_context
def reverie(context: click.Context, config: Path | None) -> None:
    """A REST API on your data, scripts around every call, and a queue that loses nothing."""
    context.obj = config
