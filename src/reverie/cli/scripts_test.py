"""``reverie scripts test``: every fixture on the script that it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import click

from reverie.cli.group import read

if TYPE_CHECKING:
    from reverie.config import Settings
    from reverie.events.fixtures import Verdict


@click.command()
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the outcome as JUnit XML, for CI.",
)
@click.option("--script", metavar="NAME", help="Only the fixtures of this script.")
@click.pass_obj
def test(config: Path | None, junit: Path | None, script: str | None) -> None:
    """Try every script on its fixtures, changing nothing; exit 1 when one is not as expected."""
    from reverie.cli.loop import run_fast

    verdicts = run_fast(_verdicts(read(config), script))
    for one in verdicts:
        click.echo(f"{'FAILED' if one.problems else 'ok'}  {one.script}: {one.name} ({one.seconds * 1000:.0f} ms)")
        for problem in one.problems:
            click.echo(f"        {problem}")
    failed = sum(1 for one in verdicts if one.problems)
    click.echo(f"{len(verdicts)} fixtures, {failed} failed." if verdicts else "There are no fixtures.")
    if junit is not None:
        junit.write_bytes(junit_xml(verdicts))
    if failed:
        sys.exit(1)


async def _verdicts(settings: Settings, script: str | None) -> list[Verdict]:
    from reverie.app import build
    from reverie.events.fixtures import Fixtures

    async with build(settings, scripts=False) as platform:
        return await Fixtures(platform.trials).test_all(script)


def junit_xml(verdicts: Sequence[Verdict]) -> bytes:
    """The outcome as CI servers read it: a suite for each script, a case for each fixture."""
    root = ElementTree.Element("testsuites")
    for script in dict.fromkeys(one.script for one in verdicts):
        cases = [one for one in verdicts if one.script == script]
        suite = ElementTree.SubElement(root, "testsuite", name=_text(script), tests=str(len(cases)))
        suite.set("failures", str(sum(1 for one in cases if one.problems)))
        suite.set("time", f"{sum(one.seconds for one in cases):.3f}")
        for one in cases:
            place = {"classname": _text(one.script), "name": _text(one.name), "time": f"{one.seconds:.3f}"}
            case = ElementTree.SubElement(suite, "testcase", place)
            if one.problems:
                failure = ElementTree.SubElement(case, "failure", message=_text(one.problems[0]))
                failure.text = _text("\n".join(one.problems))
            if one.output:
                ElementTree.SubElement(case, "system-out").text = _text(one.output)
    ElementTree.indent(root)
    whole: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return whole


def _text(value: str) -> str:
    """Without what no XML document may hold."""
    return (
        "".join(letter if letter in "\t\n" or letter >= " " else "\ufffd" for letter in value)
        .encode(errors="replace")
        .decode()
    )
