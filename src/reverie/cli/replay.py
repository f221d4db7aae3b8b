"""``reverie queue replay``: a script from a file on what a job holds, without touching the job."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reverie.cli.group import read
from reverie.cli.options import Misuse, as_json, command
from reverie.cli.tables import print_json
from reverie.model import JSON, Caller

if TYPE_CHECKING:
    from reverie.config import Settings

LANGUAGES: Final[Mapping[str, str]] = {
    ".php": "php",
    ".py": "python3",
    ".ts": "typescript",
    ".cjs": "nodejs",
    ".mjs": "nodejs",
}
"""By the end of a file's name; ``.js`` is the language of the saved script, or v8js."""


@command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The text to run; without it the script as it is saved now.",
)
@click.option(
    "--mode",
    type=click.Choice(["dry", "real", "queue"]),
    default="dry",
    show_default=True,
    help="dry changes nothing, real does what the script does, queue makes a new job of it.",
)
@click.option("--language", help="Language of the text, where the file's name does not tell.")
@as_json
@click.pass_obj
def replay(
    config: Path | None, job_id: str, script: Path | None, mode: str, language: str | None, as_json: bool
) -> None:
    """Try a script on the event, the caller and the settings of a job; exit 1 when it fails."""
    from reverie.cli.loop import run_fast

    asked: dict[str, JSON] = {"job": job_id, "mode": mode}
    if script is not None:
        try:
            asked["content"] = script.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise Misuse(f"{script} is no text in UTF-8.") from error
    told = run_fast(_tried(read(config), asked, None if script is None else script.suffix.lower(), language))
    if as_json:
        print_json(told)
    else:
        for line in lines_of(told):
            click.echo(line)
    if told.get("error") is not None:
        sys.exit(1)


async def _tried(
    settings: Settings, asked: dict[str, JSON], suffix: str | None, language: str | None
) -> dict[str, Any]:
    from reverie.app import build

    async with build(settings, scripts=False) as platform:
        if language is not None:
            asked["language"] = language
        elif suffix is not None and suffix in LANGUAGES:
            asked["language"] = LANGUAGES[suffix]
        job = await platform.queue.ledger.get(str(asked["job"]))
        if "content" in asked and "language" not in asked and await platform.trials.find(job.script) is None:
            asked["language"] = "v8js"
        _, told = await platform.trials.answer(asked, Caller(is_admin=True))
        return told if isinstance(told, dict) else {}


def lines_of(told: Mapping[str, Any]) -> Iterator[str]:
    """A report, for a terminal."""
    if told["mode"] == "queue":
        yield f"Queued as job {told['job']}." if told.get("job") else "The connection keeps no jobs."
        return
    for one in told["console"]:
        place = "" if one["line"] is None else f"line {one['line']}"
        yield f"{one['number']:>4} | {place:<9} | {one['text']}"
    if told["error"] is not None:
        error = told["error"]
        yield f"{error['type']}: {error['message']}"
        if error["source"]:
            yield str(error["source"])
    elif told["result"] is not None:
        yield f"Returned: {json.dumps(told['result'], ensure_ascii=False)}"
    for one in told["changes"]:
        values = [json.dumps(one[name], ensure_ascii=False) for name in ("before", "after") if name in one]
        yield f"{one['change']} {one['path']}: {' -> '.join(values)}"
    for one in told["calls"]:
        what = f"{one['verb']} {one['path']}" if one["op"] == "api" else f"{one['op']} {one['key']}"
        status = f" {one['status']}" if one.get("status") is not None else ""
        yield f"call {what}{status}, {one['source']}, {one['seconds'] * 1000:.1f} ms"
    if told["mode"] == "dry" and told["writes"]:
        yield f"{len(told['writes'])} writes were not done."
    times = told["times"]
    yield ", ".join(f"{name} {times[name] * 1000:.1f} ms" for name in ("wait", "start", "run"))
