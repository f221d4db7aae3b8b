"""A dry run: what is withheld, what is answered from an earlier run, and what the console shows."""

from __future__ import annotations

import pytest

from reverie.events.rehearsal import WITHHELD, Rehearsal, console, plain
from reverie.model import JSON, Request

pytestmark = pytest.mark.anyio


def call(verb: str, path: str) -> dict[str, JSON]:
    return {"verb": verb, "path": path, "payload": None, "options": {}}


async def platform(op: str, args: dict[str, JSON]) -> JSON:
    return {"status_code": 200, "content": "live", "headers": {}}


@pytest.mark.parametrize(
    ("verb", "service", "resource", "withheld"),
    [
        ("GET", "db", "_table/todo", False),
        ("GET", "db", "_proc", False),
        ("GET", "db", "_proc/nightly", True),
        ("GET", "db", "_func/next", True),
        ("POST", "db", "_table/todo", True),
        ("PUT", "db", "_table/todo", True),
        ("PATCH", "db", "_table/todo", True),
        ("DELETE", "db", "_table/todo", True),
        ("GET", "", "", False),
        ("POST", "", "", True),
    ],
)
def test_only_reads_are_made(verb: str, service: str, resource: str, *, withheld: bool) -> None:
    rehearsal = Rehearsal("dry")

    answer = rehearsal.instead(Request(method=verb, service=service, resource=resource))

    assert (answer is not None, len(rehearsal.writes)) == (withheld, int(withheld))
    assert answer is None or answer.headers == {WITHHELD: "true"}


async def test_calls_are_answered_once_each_as_they_were_before() -> None:
    calls: list[JSON] = [
        {"op": "api", "args": call("GET", "db/a"), "answer": {"status_code": 200, "content": 1}},
        {"op": "api", "args": call("GET", "db/a"), "answer": {"status_code": 200, "content": 2}},
        {"op": "api", "args": call("POST", "db/a"), "answer": {"status_code": 200, "content": 3}},
    ]
    rehearsal = Rehearsal("dry", calls)
    answer = rehearsal.between(platform)

    got = [await answer("api", call(verb, "db/a")) for verb in ("GET", "POST", "GET", "GET")]

    assert [one["content"] for one in got if isinstance(one, dict)] == [1, 3, 2, "live"]
    assert [one["source"] for one in rehearsal.calls if isinstance(one, dict)] == ["tape", "tape", "tape", "platform"]
    assert rehearsal.writes == [{"verb": "POST", "path": "db/a", "payload": None}]


async def test_a_real_run_asks_the_platform_and_nothing_else() -> None:
    rehearsal = Rehearsal("real", [{"op": "api", "args": call("GET", "db/a"), "answer": 1}])

    answer = await rehearsal.between(platform)("api", call("GET", "db/a"))

    assert isinstance(answer, dict)
    assert (answer["content"], rehearsal.writes) == ("live", [])


async def test_what_a_dry_run_keeps_in_its_store_it_finds_again() -> None:
    rehearsal = Rehearsal("dry")
    answer = rehearsal.between(platform)

    await answer("store.set", {"key": "a", "value": 5})

    assert await answer("store.get", {"key": "a", "default": None}) == 5


def test_the_console_has_numbered_lines_with_their_places() -> None:
    output = "\x1e1\x1fone\n\x1e3\x1ftwo \x1e3\x1fmore\nand\nfree"

    assert console(output) == [
        {"number": 1, "line": 1, "text": "one"},
        {"number": 2, "line": 3, "text": "two more"},
        {"number": 3, "line": 3, "text": "and"},
        {"number": 4, "line": 3, "text": "free"},
    ]
    assert plain(output) == "one\ntwo more\nand\nfree"
