"""The files of examples/production: what they call exists, and the programs that read them would take them."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reverie.cli.group import reverie
from reverie.config import NAMES, SECRETS
from reverie.jobs.settings import names_connection
from reverie.jobs.work import WorkerOptions

EXAMPLES = Path(__file__).parents[2] / "examples" / "production"
UNITS = sorted((EXAMPLES / "systemd").glob("*.service"))
FILES = [file for file in EXAMPLES.rglob("*") if file.is_file() and file.parent.name != "secrets"]
PROGRAM = "/opt/reverie/bin/reverie"
LONGEST_STOP = WorkerOptions().grace + 10
"""Seconds that a worker may need to end."""
JSON = str | list["JSON"] | dict[str, "JSON"]


def check_command(words: list[str]) -> None:
    """A command of ours, with options it knows."""
    words = [word for word in words if not word.startswith("$")]
    shown = CliRunner().invoke(reverie, [*words, "--help"])
    assert shown.exit_code == 0, (words, shown.output)
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", shown.output), f"{words[0]} has no option {option}"


def check_setting(name: str) -> None:
    plain = (
        name.removesuffix("_FILE") if name.removesuffix("_FILE").removeprefix("REVERIE_").lower() in SECRETS else name
    )
    assert plain.removeprefix("REVERIE_").lower() in NAMES or names_connection(name), f"there is no setting {name}"


def settings_in(text: str) -> set[str]:
    return set(re.findall(r"\bREVERIE_[A-Z_]+", text))


# -- systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(PROGRAM, sys.executable))  # it must be there
        copies.append(str(copy))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies], capture_output=True, text=True, timeout=60, check=False
    )

    assert len(copies) == 3
    about_ours = [line for line in verified.stderr.splitlines() if "reverie" in line]
    assert (verified.returncode, about_ours) == (0, []), verified.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_what_there_is_and_lets_scripts_end(unit: Path) -> None:
    lines = [line.partition("=") for line in unit.read_text().splitlines() if "=" in line and line[0] != "#"]
    commands = [value for name, _, value in lines if name in ("ExecStart", "ExecStartPre")]
    values = {name: value for name, _, value in lines}

    for command in commands:
        assert command.split()[0] == PROGRAM
        check_command(command.split()[1:])
    assert values["KillMode"] == "mixed"
    assert float(values["TimeoutStopSec"]) > LONGEST_STOP
    assert values["RestartPreventExitStatus"] == "2"
    assert "MemoryDenyWriteExecute" not in values


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_setting_that_is_named_exists(file: Path) -> None:
    for name in settings_in(file.read_text()):
        check_setting(name)


# -- supervisor


def test_supervisor_lets_scripts_end() -> None:
    read = configparser.ConfigParser(interpolation=None)
    read.read(EXAMPLES / "supervisor.conf")

    assert read.sections() == ["program:reverie", "program:reverie-worker"]
    for name in read.sections():
        program = read[name]
        command = shlex.split(program["command"])
        assert command[0] == PROGRAM
        check_command(command[1:])
        assert program["stopsignal"] == "TERM"
        assert not program.getboolean("stopasgroup")
        assert program.getboolean("killasgroup")
        assert float(program["stopwaitsecs"]) > LONGEST_STOP


# -- compose


def parsed(text: str) -> JSON:
    """The part of YAML that the compose file keeps to: maps, lists of texts, texts."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert "\t" not in text
    found, rest = _block(lines, 0)
    assert rest == []
    return found


def _block(lines: list[str], depth: int) -> tuple[JSON, list[str]]:
    entries: dict[str, JSON] = {}
    items: list[JSON] = []
    while lines and _depth(lines[0]) >= depth:
        line, lines = lines[0], lines[1:]
        assert _depth(line) == depth, f"wrong indentation: {line!r}"
        if line.lstrip().startswith("- "):
            items.append(line.lstrip()[2:].strip('"'))
            continue
        name, colon, value = line.strip().partition(":")
        assert colon, line
        assert name not in entries, f"{name} stands twice"
        if value.strip():
            entries[name] = value.strip()
        else:
            entries[name], lines = _block(lines, depth + 2) if lines and _depth(lines[0]) > depth else ({}, lines)
    assert not (entries and items)
    return items or entries, lines


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def under(found: JSON, *names: str) -> dict[str, JSON]:
    for name in names:
        assert isinstance(found, dict)
        found = found[name]
    assert isinstance(found, dict)
    return found


def test_the_compose_file_holds_together() -> None:
    whole = parsed((EXAMPLES / "compose.yaml").read_text())
    services = under(whole, "services")

    assert set(under(whole)) == {"services", "volumes", "secrets"}
    for name in services:
        service = under(services, name)
        assert "image" in service
        for secret in service.get("secrets", []):
            assert secret in under(whole, "secrets")
        for other in service.get("depends_on", []):
            assert other in services
        for volume in service.get("volumes", []):
            assert str(volume).partition(":")[0] in under(whole, "volumes")
        if service["image"] == "reverie":
            check_command(shlex.split(str(service["command"])))
            assert float(str(service["stop_grace_period"]).removesuffix("s")) > LONGEST_STOP
            mentioned = re.findall(r"/run/secrets/(\w+)", str(service["environment"]))
            assert mentioned
            assert set(mentioned) <= set(service["secrets"])
    build = under(services, "api", "build")
    assert (EXAMPLES / str(build["context"]) / str(build["dockerfile"])).resolve() == EXAMPLES / "Dockerfile"


def test_docker_takes_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    command = [docker, "compose", "-f", str(EXAMPLES / "compose.yaml"), "config", "--quiet"]

    taken = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert taken.returncode == 0, taken.stderr


def test_the_page_about_production_names_every_file() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "howto" / "production.md").read_text()

    for file in FILES:
        assert file.name in page, f"{file.name} is not mentioned"
