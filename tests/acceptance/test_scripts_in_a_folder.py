"""`reverie scripts pull`, `push`, `diff` and `dev` as commands, against a running instance over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from reverie.cli import scripts_remote
from reverie.cli.group import reverie
from tests.acceptance.script_stage import SCRIPTS, TABLE, Stage, each_stage
from tests.acceptance.server import Server, wait_for

stage = each_stage


def environment(server: Server) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REVERIE_", "DF_"))}
    return clean | {"REVERIE_URL": server.base, "REVERIE_ADMIN": server.admin, "NO_COLOR": "1"}


def scripts(server: Server, command: str, folder: Path, *options: str, expect: int = 0, **settings: str) -> str:
    """What `reverie scripts` says."""
    given = {"REVERIE_URL": server.base, "REVERIE_ADMIN": server.admin, **settings}
    done = CliRunner().invoke(reverie, ["scripts", command, str(folder), *options], env=given)
    assert done.exit_code == expect, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def content(stage: Stage, name: str) -> str:
    return str(stage.server.as_admin("GET", f"{SCRIPTS}/{name}").json["content"])


def text_of(folder: Path, name: str, suffix: str = ".js") -> Path:
    return folder / "events" / f"{name}{suffix}"


def test_what_is_pulled_changed_and_pushed_is_what_runs(stage: Stage, tmp_path: Path) -> None:
    name = stage.on_table("get.post_process", "v8js", "event.response.content = { n: 1 };")
    service = stage.service("python3", "return {'n': 1}", queued=False, config={"delay": 3})

    scripts(stage.server, "pull", tmp_path)
    assert text_of(tmp_path, name).read_text() == "event.response.content = { n: 1 };"
    settings = json.loads(text_of(tmp_path, name, ".json").read_text())
    assert settings == {"type": "v8js", "allow_event_modification": True}
    settings = json.loads((tmp_path / "services" / f"{service}.json").read_text())
    assert settings == {"type": "python3", "config": {"delay": 3}}
    assert scripts(stage.server, "diff", tmp_path) == ""

    text_of(tmp_path, name).write_text("event.response.content = { n: 2 };")
    (tmp_path / "services" / f"{service}.py").write_text("return {'n': 2}")
    assert "+event.response.content = { n: 2 };" in scripts(stage.server, "diff", tmp_path, expect=1)
    said = scripts(stage.server, "push", tmp_path, "--dry-run")
    assert f"changed: events/{name}" in said
    assert stage.server.as_key("GET", f"/api/v2/db/_table/{TABLE}").json == {"n": 1}

    said = scripts(stage.server, "push", tmp_path)
    assert f"changed: services/{service}" in said
    assert stage.server.as_key("GET", f"/api/v2/db/_table/{TABLE}").json == {"n": 2}
    assert stage.server.as_admin("GET", f"/api/v2/{service}").json == {"n": 2}
    record = stage.ask("GET", f"system/service?filter=name='{service}'").json["resource"][0]
    assert (record["config"]["config"], record["config"]["queued"]) == ({"delay": 3}, False)
    assert "Nothing to change" in scripts(stage.server, "push", tmp_path)


def test_a_push_refuses_what_somebody_else_changed_since_the_pull(stage: Stage, tmp_path: Path) -> None:
    name = stage.on_table("get.pre_process", "v8js", "1;")
    other = stage.on_table("post.pre_process", "v8js", "1;")
    scripts(stage.server, "pull", tmp_path)
    stage.on_table("get.pre_process", "v8js", "2; // on the instance")
    text_of(tmp_path, name).write_text("3; // in the folder")
    text_of(tmp_path, other).write_text("3;")

    said = scripts(stage.server, "push", tmp_path, expect=1)

    assert f"conflict: events/{name}: was changed on the instance since the last pull" in said
    assert "nothing was changed" in said
    assert (content(stage, name), content(stage, other)) == ("2; // on the instance", "1;")
    scripts(stage.server, "pull", tmp_path, expect=1)
    scripts(stage.server, "push", tmp_path, "--force")
    assert (content(stage, name), content(stage, other)) == ("3; // in the folder", "3;")
    assert scripts(stage.server, "diff", tmp_path) == ""


def test_a_push_deletes_only_when_told_to(stage: Stage, tmp_path: Path) -> None:
    name = stage.on_table("get.pre_process", "v8js", "1;")
    service = stage.service("v8js", "return 1;")
    scripts(stage.server, "pull", tmp_path)
    text_of(tmp_path, name).unlink()
    (tmp_path / "services" / f"{service}.js").unlink()

    assert "left alone: 2 scripts" in scripts(stage.server, "push", tmp_path)
    assert content(stage, name) == "1;"
    late = stage.on_table("put.pre_process", "v8js", "1;")
    assert f"conflict: events/{late}" in scripts(stage.server, "push", tmp_path, "--prune", expect=1)
    stage.server.as_admin("DELETE", f"{SCRIPTS}/{late}")
    said = scripts(stage.server, "push", tmp_path, "--prune")

    assert f"deleted: events/{name}" in said
    assert stage.server.as_admin("GET", f"{SCRIPTS}/{name}").status == 404
    assert stage.server.as_admin("GET", f"/api/v2/{service}").status == 404


def test_new_files_become_scripts_and_a_service(stage: Stage, tmp_path: Path) -> None:
    scripts(stage.server, "pull", tmp_path)
    name, service = f"db._table.{TABLE}.get.pre_process", stage.name("made")
    text_of(tmp_path, name, ".py").parent.mkdir(exist_ok=True)
    text_of(tmp_path, name, ".py").write_text("event.response = {'content': {'by': 'python'}}")
    text_of(tmp_path, name, ".json").write_text('{"allow_event_modification": true}')
    (tmp_path / "services").mkdir(exist_ok=True)
    (tmp_path / "services" / f"{service}.ts").write_text("const n: number = 4; return n;")
    stage.undo("DELETE", f"system/event_script/{name}")

    said = scripts(stage.server, "push", tmp_path)

    assert f"new: events/{name}" in said
    assert stage.server.as_key("GET", f"/api/v2/db/_table/{TABLE}").json == {"by": "python"}
    assert stage.server.as_admin("GET", f"/api/v2/{service}").json == 4
    (tmp_path / "services" / f"{service}.ts").unlink()
    scripts(stage.server, "push", tmp_path, "--prune")


def test_more_scripts_than_one_answer_holds_are_all_pulled(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts_remote, "PAGE", 2)
    names = [stage.on_table(f"{verb}.queued", "v8js", "1;") for verb in ("get", "post", "put", "patch", "delete")]

    scripts(stage.server, "pull", tmp_path)

    assert all(text_of(tmp_path, name).exists() for name in names)


def test_names_that_a_file_cannot_have_come_back(stage: Stage, tmp_path: Path) -> None:
    name = stage.event_script("db._table.{table_name}.get.pre_process", "v8js", "1;")
    odd = stage.event_script("db._table.a%3Fb c.get", "v8js", "1;")
    scripts(stage.server, "pull", tmp_path)

    assert text_of(tmp_path, name).exists()
    assert text_of(tmp_path, "db._table.a%3Fb c.get").exists(), odd
    assert scripts(stage.server, "diff", tmp_path) == ""
    assert "Nothing to change" in scripts(stage.server, "push", tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"REVERIE_ADMIN": "nonsense"}, "session token of an administrator"),
        ({"REVERIE_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"REVERIE_URL": "nothing at all"}, "nothing at all"),
    ],
)
def test_an_instance_that_does_not_answer_is_told(
    server: Server, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    said = scripts(server, "pull", tmp_path, expect=1, **settings)

    assert words in said


# -- dev


class Dev:
    """A running `reverie scripts dev`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait(self, words: str, seconds: float = 10) -> None:
        wait_for(lambda: words in self.said, seconds, lambda: f"{words!r} in {self.said}")


def _heed_interrupts() -> None:
    """Whoever is started by a shell in the background is born deaf to them, and so are its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def developing(server: Server, folder: Path) -> Iterator[Dev]:
    log = folder.parent / f"{folder.name}.log"
    command = [sys.executable, "-u", "-m", "reverie", "scripts", "dev", str(folder)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env=environment(server),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )
    try:
        one = Dev(process, log)
        one.wait("Listening", 20)
        yield one
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0, one.said
    finally:
        process.kill()
        process.wait()


def test_a_save_is_published_in_less_than_a_second_and_its_runs_are_printed(stage: Stage, tmp_path: Path) -> None:
    name = stage.on_table("post.pre_process", "v8js", "1;")
    folder = tmp_path / "scripts"
    scripts(stage.server, "pull", folder)
    with developing(stage.server, folder) as dev:
        times = []
        for number in range(3):
            text = f"print('n = ' + {number}); event.request.payload.resource[0].qty = {number};"
            began = time.monotonic()
            text_of(folder, name).write_text(text)
            wait_for(lambda text=text: content(stage, name) == text, 10, pause=0.01)  # type: ignore[misc]
            times.append(time.monotonic() - began)
        assert min(times) < 1.0, times
        dev.wait(f"published events/{name}")

        stage.add("one")
        dev.wait("    > n = 2")
        [line] = re.findall(rf"^\d\d:\d\d:\d\d {re.escape(name)} .*$", dev.said, re.MULTILINE)
        assert f"(v8js) POST db/_table/{TABLE}" in line
        assert re.search(r" [\d.]+ ms changed request\.payload\.resource\[0\]\.qty$", line)

        text_of(folder, name).write_text("var a = 1;\nthrow new Error('not today');")
        wait_for(lambda: "not today" in content(stage, name), 10)
        stage.server.as_key("POST", f"/api/v2/db/_table/{TABLE}", {"resource": [{"name": "two"}]})
        dev.wait("    ! Error: not today")
        dev.wait("    > 2 | throw new Error('not today');")


def test_a_text_that_cannot_be_parsed_is_told_and_not_published(stage: Stage, tmp_path: Path) -> None:
    name = stage.on_table("get.pre_process", "python3", "a = 1\n")
    folder = tmp_path / "scripts"
    scripts(stage.server, "pull", folder)
    with developing(stage.server, folder) as dev:
        text_of(folder, name, ".py").write_text("a = 1\nb = = 2\n")
        dev.wait(f"events/{name}:2:5: error: invalid syntax")
        dev.wait("    2 | b = = 2")
        assert content(stage, name) == "a = 1\n"

        stage.on_table("get.pre_process", "python3", "a = 5\n")
        text_of(folder, name, ".py").write_text("a = 2\n")
        dev.wait("was changed on the instance")
        assert content(stage, name) == "a = 5\n"
