"""Scripts as files, and what a pull or a push would do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from reverie.cli.scripts_folder import Folder, Kept, Kind, file_name, name_of
from reverie.cli.scripts_plan import Do, pull_plan, push_plan
from reverie.cli.scripts_remote import There
from reverie.cli.scripts_sync import lines_between
from reverie.model import JSON


def script(text: str = "1", name: str = "db.get", kind: Kind = "events", **settings: JSON) -> Kept:
    return Kept(kind=kind, name=name, text=text, settings={"type": "v8js", **settings})


# -- names and files


@given(some.text(some.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60))
@example("db._table.{table_name}.get.post_process")
@example("db._table.a/b\\c:d%2F.get")
@example(".hidden. ")
def test_a_name_comes_back_from_its_file(name: str) -> None:
    spelled = file_name(name)

    assert not set(spelled) & set('<>:"/\\|?*')
    assert spelled[0] not in " ."
    assert name_of(spelled) == name


def test_names_of_events_stay_readable() -> None:
    name = "db._table.{table_name}.get.post_process"

    assert file_name(name) == name


def test_a_script_comes_back_from_its_files(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    several = [
        script("a\r\nü\n", "db._table.todo.post.pre_process", allow_event_modification=True),
        script("", "db._table.{table_name}.get", config={"delay": 5}),
        script("x", "greet", "services", type="python3", label="Greeting", queued=True),
        script("y", "x" * 250, type="cobol"),
        script("z", "ä" * 200, type="php"),
    ]
    for one in several:
        folder.write(one)

    assert {one.key: one for one in several} == folder.scripts()
    assert max(len(os.fsencode(file.name)) for _, file in folder.files()) < 255


@pytest.mark.parametrize(
    ("name", "language"),
    [("a.js", "v8js"), ("a.cjs", "nodejs"), ("a.ts", "typescript"), ("a.py", "python3"), ("a.php", "php")],
)
def test_a_file_without_settings_is_a_script_of_its_suffix(tmp_path: Path, name: str, language: str) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / name).write_text("1")

    [found] = Folder(tmp_path).scripts().values()

    assert (found.name, found.settings) == ("a", {"type": language})


def test_other_files_are_no_scripts(tmp_path: Path) -> None:
    for place in ("events", "services", "types"):
        (tmp_path / place).mkdir()
    for name in ("events/.a.js.swp", "events/.a.js", "events/db.d.ts", "events/notes.md", "types/a.js", "b.js"):
        (tmp_path / name).write_text("1")

    assert Folder(tmp_path).scripts() == {}


def test_a_change_of_language_replaces_the_file_of_text(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(script(name="a"))
    folder.write(script(name="a", type="python3"))

    assert sorted(file.name for file in (tmp_path / "events").iterdir()) == ["a.json", "a.py"]
    folder.remove(script(name="a"))
    assert list((tmp_path / "events").iterdir()) == []


def test_two_files_of_one_script_are_a_mistake(tmp_path: Path) -> None:
    Folder(tmp_path).write(script(name="a"))
    (tmp_path / "events" / "A.py").write_text("1")

    with pytest.raises(click.ClickException, match="same script"):
        Folder(tmp_path).scripts()


def test_settings_that_have_their_default_are_as_good_as_none(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(script(name="a"))
    settings = {
        "type": "v8js",
        "is_active": True,
        "allow_event_modification": False,
        "config": {},
        "storage_path": None,
    }
    (tmp_path / "events" / "a.json").write_text(json.dumps(settings))

    assert folder.scripts()["events/a"] == script(name="a")


@pytest.mark.parametrize(("file", "text"), [("a.json", "{"), ("a.json", "[]"), ("a.js", b"\xff")])
def test_what_cannot_be_read_is_named(tmp_path: Path, file: str, text: str | bytes) -> None:
    Folder(tmp_path).write(script(name="a"))
    (tmp_path / "events" / file).write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(click.ClickException, match=file):
        Folder(tmp_path).scripts()


# -- plans

OLD, MINE, ITS = script("old"), script("mine"), script("its")
PUSHES = [
    # here, there, at the last pull → what is done, also with prune
    (OLD, OLD, OLD, None, None),
    (OLD, OLD, None, None, None),
    (MINE, None, None, Do.CREATE, Do.CREATE),
    (MINE, OLD, OLD, Do.CHANGE, Do.CHANGE),
    (MINE, ITS, OLD, Do.CONFLICT, Do.CONFLICT),
    (MINE, ITS, None, Do.CONFLICT, Do.CONFLICT),
    (OLD, ITS, OLD, Do.CONFLICT, Do.CONFLICT),
    (MINE, None, OLD, Do.CONFLICT, Do.CONFLICT),
    (None, OLD, OLD, Do.LEAVE, Do.DELETE),
    (None, ITS, OLD, Do.LEAVE, Do.CONFLICT),
    (None, ITS, None, Do.LEAVE, Do.CONFLICT),
]
PULLS = [
    (OLD, OLD, OLD, None, None),
    (None, ITS, None, Do.CREATE, Do.CREATE),
    (None, OLD, OLD, Do.CREATE, Do.CREATE),
    (OLD, ITS, OLD, Do.CHANGE, Do.CHANGE),
    (MINE, ITS, OLD, Do.CONFLICT, Do.CONFLICT),
    (MINE, ITS, None, Do.CONFLICT, Do.CONFLICT),
    (MINE, OLD, OLD, Do.LEAVE, Do.LEAVE),
    (OLD, None, OLD, Do.LEAVE, Do.DELETE),
    (MINE, None, OLD, Do.LEAVE, Do.CONFLICT),
    (MINE, None, None, Do.LEAVE, Do.CONFLICT),
]
FORCED = {
    (True, True): Do.CHANGE,
    (True, False): Do.CREATE,
    (False, True): Do.DELETE,
}
"""What a push with --force makes of a conflict: by whether the script is here, and there."""


@pytest.mark.parametrize(("mine", "its", "base", "plain", "pruned"), PUSHES)
def test_what_a_push_does(mine: Kept | None, its: Kept | None, base: Kept | None, plain: Do, pruned: Do) -> None:
    here, there = ({"k": mine} if mine else {}), ({"k": There(kept=its)} if its else {})
    known = {"k": base.digest} if base else {}

    for prune, expected in ((False, plain), (True, pruned)):
        steps = push_plan(here, there, known, prune=prune, force=False)
        assert [step.do for step in steps] == ([expected] if expected else [])
        if expected is Do.CONFLICT:
            [forced] = push_plan(here, there, known, prune=prune, force=True)
            assert forced.do is FORCED[mine is not None, its is not None]


@pytest.mark.parametrize(("mine", "its", "base", "plain", "pruned"), PULLS)
def test_what_a_pull_does(mine: Kept | None, its: Kept | None, base: Kept | None, plain: Do, pruned: Do) -> None:
    here, there = ({"k": mine} if mine else {}), ({"k": There(kept=its)} if its else {})
    known = {"k": base.digest} if base else {}

    for prune, expected in ((False, plain), (True, pruned)):
        steps = pull_plan(here, there, known, prune=prune, force=False)
        assert [step.do for step in steps] == ([expected] if expected else [])
        if expected is Do.CONFLICT:
            [forced] = pull_plan(here, there, known, prune=prune, force=True)
            assert forced.do is (Do.CHANGE if its else Do.DELETE)


def test_a_difference_shows_text_and_settings() -> None:
    before, after = script("a\nb\n"), script("a\nc\n", is_active=False)

    lines = list(lines_between(before, after))

    assert {"-b", "+c", '+  "is_active": false,'} <= set(lines)
    assert list(lines_between(before, before)) == []
    assert next(iter(lines_between(None, after))) == "--- /dev/null"
