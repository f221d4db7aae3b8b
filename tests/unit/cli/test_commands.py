"""The command line: help, usage errors, exit codes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from reverie.cli.group import reverie
from reverie.cli.queue import listen, work

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
    return subprocess.run(
        [sys.executable, "-m", "reverie", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean | environ,
    )


def options_of(command: click.Command, *arguments: str) -> dict[str, object]:
    return command.make_context("x", list(arguments)).params


def test_the_help_of_listen_has_the_six_options_with_their_defaults() -> None:
    shown = CliRunner().invoke(reverie, ["queue:listen", "--help"], terminal_width=200).output

    text = " ".join(shown.split())
    for option, default in (("delay", 0), ("memory", 128), ("timeout", 60), ("sleep", 3), ("tries", 0)):
        assert re.search(rf"--{option} \[{option.upper()}\] [^\[]*\[default: {default}\]", text), option
    assert "--queue [QUEUE]" in text
    assert "[CONNECTION]" in text


def test_listen_tries_for_ever_and_work_once_unless_told_otherwise() -> None:
    assert options_of(listen)["tries"] == 0
    assert options_of(work)["tries"] == 1


def test_defaults_of_listen() -> None:
    given = options_of(listen)

    wanted = {"connection": None, "delay": 0, "memory": 128, "timeout": 60, "sleep": 3, "tries": 0, "rest": 0}
    assert {name: given[name] for name in wanted} == wanted
    assert (given["queue"], given["backoff"], given["name"]) == (None, (), "default")


@pytest.mark.parametrize("name", ["delay", "memory", "timeout", "sleep", "tries", "rest"])
def test_an_option_without_a_value_means_its_default(name: str) -> None:
    assert options_of(listen, f"--{name}")[name] == options_of(listen)[name]
    assert options_of(listen, f"--{name}", "--force", "redis")["connection"] == "redis"


def test_values_are_read() -> None:
    given = options_of(work, "redis", "--sleep=0.2", "--tries", "5", "--backoff=1,5.5", "--queue=high, low", "--once")

    assert (given["connection"], given["sleep"], given["tries"]) == ("redis", 0.2, 5)
    assert (given["backoff"], given["queue"], given["once"]) == ((1.0, 5.5), "high, low", True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("queue", "listen", "--bogus"),
        ("queue:listen", "--tries=x"),
        ("queue:listen", "--tries=1.5"),
        ("queue:listen", "--sleep=-1"),
        ("queue:listen", "--sleep", "-1"),
        ("queue:work", "--timeout=nan"),
        ("queue:work", "--timeout=inf"),
        ("queue:work", "--max-jobs=-3"),
        ("queue:work", "--backoff=1,x"),
        ("queue:work", "one", "two"),
        ("queue", "nope"),
        ("queue:nope",),
        ("queue", "failed", "--bogus"),
        ("queue", "retry", "--range=5-1"),
        ("queue", "retry", "--range=0-1"),
        ("queue", "retry", "--range=x"),
        ("queue", "forget"),
        ("queue", "flush", "--hours=-1"),
        ("queue", "prune-failed", "--hours=x"),
        ("queue", "monitor"),
        ("queue", "monitor", "default", "--max=-1"),
        ("queue", "pause"),
        ("queue", "resume", "slow", "--all"),
        ("queue", "find"),
        ("queue", "list", "--limit=x"),
        ("queue", "cancel"),
        ("queue", "drain", "--wait=-1"),
    ],
)
def test_a_mistake_in_the_use_of_a_queue_command_is_exit_1(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(reverie, list(arguments))

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Error: " in result.output


def test_an_unknown_command_is_exit_2() -> None:
    assert CliRunner().invoke(reverie, ["nope"]).exit_code == 2
    assert CliRunner().invoke(reverie, ["up", "--bogus"]).exit_code == 2


def test_the_commands_for_people_are_listed_and_the_children_are_not() -> None:
    shown = CliRunner().invoke(reverie, ["--help"]).output

    listed = re.findall(r"^  (\w+) ", shown.partition("Commands:")[2], re.MULTILINE)
    assert listed == ["up", "serve", "queue", "scripts", "maintenance", "migrate", "keys", "user", "demo", "version"]


@pytest.mark.parametrize(
    "path",
    [
        ["up"],
        ["serve"],
        ["queue"],
        ["queue", "work"],
        ["queue", "failed"],
        ["queue", "bench"],
        ["demo", "crash"],
        ["migrate"],
        ["user", "create-admin"],
        ["keys", "drop"],
    ],
)
def test_every_command_has_a_help(path: list[str]) -> None:
    result = CliRunner().invoke(reverie, [*path, "--help"])

    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


def test_every_mistake_in_the_settings_is_told_and_the_exit_is_2(tmp_path: Path) -> None:
    for command in (
        ["up"],
        ["serve"],
        ["queue", "work"],
        ["queue", "failed"],
        ["queue", "bench"],
        ["migrate"],
    ):
        done = run(*command, REVERIE_DATA_DIR=str(tmp_path), REVERIE_PROT="1", REVERIE_WORKERS="many")

        assert done.returncode == 2
        assert "REVERIE_PROT: there is no such setting" in done.stderr
        assert "REVERIE_WORKERS: " in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_of_settings_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("bogus = 1")

    done = run("--config", str(tmp_path / "r.toml"), "migrate")

    assert done.returncode == 2
    assert "bogus in " in done.stderr


def test_version_is_quick_to_import() -> None:
    code = (
        "import sys; from reverie.cli.group import reverie; reverie(['version'], standalone_mode=False); "
        "heavy = {'sqlalchemy', 'uvicorn', 'starlette', 'msgspec', 'structlog', 'rich', 'asyncio'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    name, loaded = done.stdout.splitlines()
    assert re.fullmatch(r"reverie \d+\.\d+\.\d+", name)
    assert loaded == "[]"


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--host", "127.0.0.1", "--port", port, REVERIE_DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_run_script_only_sets_defaults_and_passes_arguments_on() -> None:
    script = (ROOT / "scripts" / "run").read_text(encoding="utf-8")

    for name, default in (("DEMO", "1"), ("HOST", "127.0.0.1"), ("PORT", "8000"), ("DATA_DIR", "$clone/data")):
        assert f'export REVERIE_{name}="${{REVERIE_{name}:-{default}}}"' in script
    assert script.rstrip().splitlines()[-1] == 'exec "$clone/.venv/bin/reverie" up "$@"'
