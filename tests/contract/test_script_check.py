"""`check` of every language: what its parser says, where, how fast, and that nothing runs."""

from __future__ import annotations

import time

import pytest

from reverie.scripting.checking import check
from reverie.scripting.engine import Engine
from tests.contract.engine_stage import play, shared_engine

pytestmark = pytest.mark.anyio

engine = shared_engine
FINE = {
    "v8js": "var a = event.x;\nreturn a;",
    "typescript": "enum Colour { Red }\nconst a: number = event.x;\nreturn a as Colour;",
    "nodejs": "const a = require('fs');\nreturn import('node:os');",
    "python3": "from os import path\na = event.x\nreturn a",
    "php": "<?php\nuse Some\\Name;\n$a = $event['x'];\nreturn $a;",
}
WRONG = {  # with the place of the mistake
    "v8js": ("var a = 1;\nlet b = ;\n", 2, 9),
    "typescript": ("enum Colour { Red }\n  const b: number = ;", 2, 21),
    "nodejs": ("var a = 'ä'; let b = ;\n", 1, 22),
    "python3": ("a = 1\nü = 'ä'; b = = 2", 2, 14),
    "php": ("<?php\n$ü = 'ä' ; $b = ;\n", 2, 17),
}
UNFINISHED = {
    "v8js": "if (event) {\n  print(1)",
    "typescript": "if (event) {\n  print(1)",
    "nodejs": "if (event) {\n  print(1)",
    "python3": "print(\n    1",
    "php": "if ($event) {\n  echo 1;",
}
LATE = {  # what the language finds only as it compiles
    "v8js": ("let a = 1;\nlet a = 2;", 2),
    "typescript": ("let a = 1;\nlet a = 2;", 2),
    "nodejs": ("let a = 1;\nlet a = 2;", 2),
    "python3": ("a = 1\nbreak", 2),
    "php": ("$a = 1;\nbreak;", 2),
}
CLOSING = {  # what would run if the text were put into a function of ours as it is
    "v8js": "}); while (true) {} (function () {",
    "typescript": "}); while (true) {} (function () {",
    "nodejs": "}); process.exit(3); (function () {",
    "python3": "    pass\nraise SystemExit(3)",
    "php": "}; exit(3); function f() {",
}
ENDING = {  # correct texts whose run would end in a way that is told
    "v8js": "while (true) {}",
    "typescript": "while (true) {}",
    "nodejs": "process.exit(3);",
    "python3": "raise SystemExit(3)",
    "php": "function g() {}\nclass C { public function __construct() { exit(3); } }\nnew C();",
}


async def test_a_text_that_would_start_has_no_diagnostics(engine: Engine) -> None:
    assert await check(engine, engine.name, FINE[engine.name]) == []
    assert await check(engine, engine.name, "") == []


async def test_a_mistake_is_told_with_its_place(engine: Engine) -> None:
    text, line, column = WRONG[engine.name]

    [found] = await check(engine, engine.name, text)

    assert (found.line, found.column, found.severity) == (line, column, "error")
    assert len(found.message) > 5


async def test_a_text_that_ends_too_early_is_told_within_the_text(engine: Engine) -> None:
    [found] = await check(engine, engine.name, UNFINISHED[engine.name])

    assert 1 <= found.line <= 2
    assert "end" in found.message.lower() or "closed" in found.message.lower()


async def test_what_only_the_compiler_finds_is_found(engine: Engine) -> None:
    text, line = LATE[engine.name]

    [found] = await check(engine, engine.name, text)

    assert (found.line, found.severity) == (line, "error")


async def test_nothing_of_the_text_runs(engine: Engine) -> None:
    assert await check(engine, engine.name, ENDING[engine.name]) == []
    found = await check(engine, engine.name, CLOSING[engine.name])
    assert found
    assert not any("longer" in one.message or "error code" in one.message for one in found)


async def test_a_script_runs_after_a_check_and_a_check_after_a_script(engine: Engine) -> None:
    text, line, _ = WRONG[engine.name]
    for _ in range(2):
        [found] = await check(engine, engine.name, text)
        assert found.line == line
        returned = (await play(engine, "return 5;" if engine.name != "python3" else "return 5")).returned
        assert returned == 5


async def test_a_check_of_a_warm_language_takes_less_than_300_milliseconds(engine: Engine) -> None:
    lines = {"python3": "a = {'b': [1, 2, 3]}", "php": "$a = ['b' => [1, 2, 3]];"}.get(
        engine.name, "a = { b: [1, 2, 3] };"
    )
    text = "\n".join([lines] * 1000) + "\n" + WRONG[engine.name][0]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert await check(engine, engine.name, text)
        times.append(time.perf_counter() - began)

    assert min(times) < 0.3


@pytest.mark.parametrize("engine", ["python3"], indirect=True)
async def test_python_warns_of_what_it_finds_doubtful(engine: Engine) -> None:
    [found] = await check(engine, engine.name, "a = 1\nif a is 1:\n    pass")

    assert (found.line, found.severity) == (2, "warning")


async def test_a_monster_ends_as_a_diagnostic(engine: Engine) -> None:
    text = "a = " + "(" * 200_000 + "1" + ")" * 200_000 + (";" if engine.name != "python3" else "")

    found = await check(engine, engine.name, ("$" if engine.name == "php" else "") + text)

    assert all(one.line == 1 for one in found)
    assert await check(engine, engine.name, FINE[engine.name]) == []
