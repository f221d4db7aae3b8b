"""``reverie scripts dev``: publish on every save, and print each run as it ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reverie.cli.scripts_folder import Folder, Kept
from reverie.cli.scripts_remote import Remote, at_instance, reason_of
from reverie.cli.scripts_sync import in_folder, publish
from reverie.model import JSON

if TYPE_CHECKING:
    import httpx2

SETTLE: Final = 50
"""Milliseconds without another change after which a save is taken for whole."""
LONGEST: Final = 200
"""Milliseconds that a save may go on."""
AGAIN_AFTER: Final = 1.0
"""Seconds until the stream of runs is asked for again when it breaks off."""
SILENCE: Final = 40.0
"""Seconds without a sign of life after which it has broken off."""
MOST_CHANGED: Final = 8


@click.command()
@in_folder
@click.option(
    "--force", is_flag=True, help="At the start, overwrite what was changed on the instance since the last pull."
)
@at_instance
def dev(folder: Path, url: str, token: str, force: bool) -> None:
    """Publish what is saved in FOLDER at once, and print every run on the instance.

    A text that its language cannot parse is not published. Nothing is deleted on the instance.
    """
    try:
        import watchfiles
    except ImportError as error:
        missing = "It needs the package watchfiles: pip install 'reverie[dev]'."
        raise click.ClickException(missing) from error
    files = Folder(folder)
    with Remote(url, token) as remote:
        publish(files, remote, force=force)
        listener = Listener(url, token)
        listener.start()
        click.echo(f"Watching {folder}; Ctrl-C ends it.")
        try:
            for changes in watchfiles.watch(folder, step=SETTLE, debounce=LONGEST, raise_interrupt=True):
                saved(files, remote, [Path(path) for _, path in changes])
        except KeyboardInterrupt:
            click.echo()
        finally:
            listener.stop()


# -- publishing


def saved(files: Folder, remote: Remote, paths: list[Path]) -> None:
    """Publish the scripts of these files; what goes wrong is told, and the next save tries again."""
    began = time.perf_counter()
    for kind, file in files.files():
        stem = file.name.removesuffix(file.suffix)
        if not any(path.parent.name == kind and path.name in (file.name, f"{stem}.json") for path in paths):
            continue
        try:
            publish_one(files, remote, files.read(kind, file), began)
        except click.ClickException as error:
            click.secho(f"{file.name}: {error.message}", fg="red", err=True)


def publish_one(files: Folder, remote: Remote, one: Kept, began: float) -> None:
    known = files.known()
    if known.get(one.key) == one.digest:
        return  # saved as it was
    there = remote.script(one)
    if there is not None and there.kept.digest not in (known.get(one.key), one.digest):
        raise click.ClickException(
            "was changed on the instance since the last pull, so it is not published."
            " `reverie scripts diff` shows what; push it with --force, or pull."
        )
    problems = remote.check(one)
    for problem in problems:
        place = f"{one.kind}/{one.name}:{problem.get('line')}:{problem.get('column')}"
        click.secho(f"{place}: {problem.get('severity')}: {problem.get('message')}", fg="red")
        _print_line(one.text, problem.get("line"))
    if any(problem.get("severity") == "error" for problem in problems):
        return
    remote.save(one, there)
    files.remember({**files.known(), one.key: one.digest})
    milliseconds = (time.perf_counter() - began) * 1000
    click.secho(f"{_clock()} published {one.kind}/{one.name} in {milliseconds:.0f} ms", fg="green")


def _print_line(text: str, line: JSON) -> None:
    lines = text.splitlines()
    if isinstance(line, int) and 0 < line <= len(lines):
        click.echo(f"    {line} | {lines[line - 1]}")


# -- runs


class Listener(threading.Thread):
    """Prints runs as the instance tells them; asks again when it breaks off."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._remote = Remote(url, token)
        self._over = threading.Event()
        self._said = ""

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except click.ClickException as error:
                self._complain(error.message)
            self._over.wait(AGAIN_AFTER)

    def _listen(self) -> None:
        with (
            self._remote.reached(),
            self._remote.http.stream(
                "GET", "/api/v2/system/script_trace", headers={"Accept": "text/event-stream"}, timeout=SILENCE
            ) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                self._complain(f"The runs cannot be shown: {answer.status_code} {reason_of(answer)}")
                return
            self._said = ""
            for name, data in events_in(answer):
                if name == "listening":
                    click.echo("Listening; a call prints the runs of its scripts here.")
                elif name == "run":
                    told = json.loads(data)
                    for line in lines_of(told):
                        click.echo(line)
                elif name == "problem":
                    self._complain(f"The runs cannot be shown: {data}")

    def _complain(self, message: str) -> None:
        """Once, however often it is tried."""
        if message != self._said and not self._over.is_set():
            self._said = message
            click.secho(message, fg="red", err=True)


def events_in(answer: httpx2.Response) -> Iterator[tuple[str, str]]:
    """Name and data of each event of the stream."""
    name, data = "", list[str]()
    for line in answer.iter_lines():
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))


def lines_of(told: dict[str, JSON]) -> Iterator[str]:
    """A run for people: one line, then what it printed and what went wrong."""
    if "missed" in told:
        yield f"... {told['missed']} runs more"
        return
    seconds, error = told.get("seconds"), told.get("error")
    took = f"{seconds * 1000:.1f} ms" if isinstance(seconds, int | float) else ""
    job = f" job {told['job_id']}" if told.get("job_id") else ""
    what = f"{told.get('script')} ({told.get('type')}) {told.get('call')}{job}"
    yield f"{_clock(told.get('at'))} {what} {took}{_outcome(told)}"
    for line in str(told.get("output") or "").splitlines():
        yield f"    > {line}"
    if isinstance(error, dict):
        kind = f"{error['kind']}: " if error.get("kind") else ""
        yield f"    ! {kind}{error.get('message')}"
        for line in str(error.get("excerpt") or "").splitlines():
            yield f"    {line}"


def _outcome(told: dict[str, JSON]) -> str:
    changed = told.get("changed")
    if told.get("error"):
        return " FAILED"
    if not isinstance(changed, list) or not changed:
        return " returned a value" if told.get("returned") else ""
    more = f" and {len(changed) - MOST_CHANGED} more" if len(changed) > MOST_CHANGED else ""
    return " changed " + ", ".join(map(str, changed[:MOST_CHANGED])) + more


def _clock(at: JSON = None) -> str:
    """Local time of day; now unless told."""
    seconds = at if isinstance(at, int | float) else time.time()
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")
