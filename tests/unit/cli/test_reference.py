"""docs/reference/commands.md names every command, every option and its default, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reverie.cli.group import reverie

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
HEADING = re.compile(r"^## `reverie ([^`]+)`$", re.MULTILINE)
OPTION = re.compile(r"^\| `(--[\w-]+)` \| ([^|]+) \|", re.MULTILINE)


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


TREE = dict(commands(reverie))


def described() -> dict[str, str]:
    """The text below each heading, by command."""
    _, *parts = HEADING.split(PAGE.read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def options(command: click.Command) -> dict[str, click.Option]:
    return {one.opts[0]: one for one in command.params if isinstance(one, click.Option) and not one.hidden}


def test_every_command_has_its_place_in_the_order_of_the_help() -> None:
    assert list(described()) == list(TREE)


@pytest.mark.parametrize("name", TREE)
def test_every_option_is_described_with_its_default(name: str) -> None:
    told = dict(OPTION.findall(described()[name]))
    wanted = options(TREE[name])

    assert list(told) == list(wanted)
    for option, one in wanted.items():
        if one.is_flag:
            assert told[option] == "off", option
        elif isinstance(one.default, int | float) and not isinstance(one.default, bool):
            assert told[option] == f"{one.default:g}", option


@pytest.mark.parametrize("name", [name for name in TREE if name.startswith("queue ")])
def test_a_command_with_json_says_so(name: str) -> None:
    shared = {
        "list",
        "find",
        "show",
        "explain",
        "failed",
        "monitor",
        "stats",
        "doctor",
        "listen",
        "work",
        "bench",
        "replay",
    }

    assert ("--json" in options(TREE[name])) is (name.removeprefix("queue ") in shared)
