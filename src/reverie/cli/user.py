"""``reverie user create-admin``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reverie.cli.group import read


@click.group()
def user() -> None:
    """Make people known."""


@user.command("create-admin")
@click.option("--email", required=True, help="What the administrator signs in with.")
@click.option("--name", default="", help="Shown to people; else the e-mail address.")
@click.option("--password", help="Better not here, where other users of the machine see it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.pass_obj
def create_admin(config: Path | None, email: str, name: str, password: str | None, password_stdin: bool) -> None:
    """Make an administrator; asks for the password unless it is given."""
    import asyncio

    settings = read(config)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    chosen = (
        password if password is not None else str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    )
    from reverie.prepare import create_admin as make_administrator

    asyncio.run(make_administrator(settings, email=email, password=chosen, name=name))
    click.echo(f"{email} is an administrator.")
