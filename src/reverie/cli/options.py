"""What the commands about the queue share: options, and that a mistake in their use ends them with exit 1."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reverie.cli.group import LazyGroup, read

if TYPE_CHECKING:
    from reverie.jobs.desk import Desk

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Misuse(click.UsageError):
    """A mistake in the use of a queue command."""

    exit_code = 1


class QueueCommand(click.Command):
    """A command whose usage errors end with exit 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from error


class QueueGroup(LazyGroup):
    command_class = QueueCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from error


def command(name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the queue group, in a module of its own."""
    return click.command(name, cls=QueueCommand)


class Number(click.ParamType[int | float]):
    """A number that is not negative."""

    def __init__(self, name: str, *, whole: bool) -> None:
        self.name = name
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            number: int | float = int(value) if self._whole else float(value)
        except ValueError:
            self.fail(f"{value!r} is not a {'whole ' if self._whole else ''}number.", param, ctx)
        if number < 0 or not math.isfinite(number):
            self.fail(f"{value!r} is not a number from 0 on.", param, ctx)
        return number


class Backoff(click.ParamType[tuple[float, ...]]):
    """Seconds with commas between them."""

    name = "backoff"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        seconds = Number("seconds", whole=False)
        return tuple(float(seconds.convert(part, param, ctx)) for part in str(value).split(","))


def number(name: str, default: float, meaning: str, *, whole: bool = False) -> Callable[[F], F]:
    """An option whose value may be left out: ``--tries`` alone means its default."""
    given = int(default) if whole else default
    return click.option(
        f"--{name}",
        type=Number(name, whole=whole),
        is_flag=False,
        flag_value=given,
        default=given,
        show_default=True,
        metavar=f"[{name.upper()}]",
        help=meaning,
    )


def limit(default: int) -> Callable[[F], F]:
    return click.option(
        "--limit", type=Number("limit", whole=True), default=default, show_default=True, help="Jobs at most."
    )


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def at_desk(config: Path | None, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Do something with the queue of the settings; nothing that runs scripts is started for it."""
    import asyncio

    from reverie.app import open_desk
    from reverie.observe import set_up

    settings = read(config)
    set_up(settings.log_format, level="warning")

    async def run() -> T:
        async with open_desk(settings) as desk:
            return await work(desk)

    return asyncio.run(run())
