"""`queue retry --version`, `queue replay` and `scripts test`, on a store of their own."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from tests.unit.cli.place import Place, draft, place

from reverie.cli.replay import lines_of
from reverie.cli.scripts_test import junit_xml
from reverie.events.fixtures import Verdict
from reverie.jobs.desk import Desk
from reverie.store.script_versions import runs_as_then

__all__ = ["place"]


def test_a_retry_notes_which_version_it_wants(place: Place) -> None:
    old, new, plain = place.fail(draft(), draft(), draft())

    place.run("retry", old.id, "--version", "then")
    place.run("retry", new.id, "--version", "now")
    place.run("retry", plain.id)

    async def chosen(desk: Desk) -> list[bool]:
        return [await runs_as_then(desk.store, job.id) for job in (old, new, plain)]

    assert place.at_desk(chosen) == [True, False, False]
    assert "Invalid value for '--version'" in place.run("retry", old.id, "--version", "later", code=1).stderr


def test_a_failed_job_shows_the_command_that_tries_a_script_on_it(place: Place) -> None:
    [failed] = place.fail(draft())
    [waiting] = place.push(draft())

    assert f"reverie queue replay {failed.id} --script FILE" in place.run("show", failed.id).stdout
    assert "replay" not in place.run("show", waiting.id).stdout


def test_a_job_that_is_not_there_cannot_be_replayed(place: Place) -> None:
    assert "There is no job" in place.run("replay", "nothing", code=1).stderr
    assert "does not exist" in place.run("replay", "nothing", "--script", "nowhere.js", code=1).stderr


def test_without_fixtures_all_is_well(place: Place) -> None:
    assert place.reverie("scripts", "test").stdout == "There are no fixtures.\n"


def test_junit_has_a_suite_for_each_script_and_no_letter_that_xml_cannot_hold() -> None:
    verdicts = [
        Verdict(script="a", name="one", problems=[], seconds=0.25, output="said \x00\x1b"),
        Verdict(script="a", name="two", problems=["bad <x>", "worse \ud800"], seconds=0.5),
        Verdict(script="b", name="three", problems=[]),
    ]

    root = ElementTree.fromstring(junit_xml(verdicts))

    assert [(one.get("name"), one.get("tests"), one.get("failures"), one.get("time")) for one in root] == [
        ("a", "2", "1", "0.750"),
        ("b", "1", "0", "0.000"),
    ]
    assert [one.text for one in root.iter("failure")] == ["bad <x>\nworse ?"]
    assert [one.text for one in root.iter("system-out")] == ["said \ufffd\ufffd"]


def test_a_report_is_told_line_by_line() -> None:
    told: dict[str, Any] = {
        "mode": "dry",
        "console": [{"number": 1, "line": 3, "text": "hello"}, {"number": 2, "line": None, "text": "raw"}],
        "error": None,
        "result": {"a": 1},
        "changes": [{"path": "request.payload.a", "change": "changed", "before": 1, "after": 2}],
        "calls": [
            {"op": "api", "verb": "GET", "path": "db", "status": 200, "source": "tape", "seconds": 0.0012},
            {"op": "store.set", "key": "k", "source": "withheld", "seconds": 0},
        ],
        "writes": [{}],
        "times": {"wait": 0.001, "start": 0, "run": 0.0025},
    }

    assert list(lines_of(told)) == [
        "   1 | line 3    | hello",
        "   2 |           | raw",
        'Returned: {"a": 1}',
        "changed request.payload.a: 1 -> 2",
        "call GET db 200, tape, 1.2 ms",
        "call store.set k, withheld, 0.0 ms",
        "1 writes were not done.",
        "wait 1.0 ms, start 0.0 ms, run 2.5 ms",
    ]
