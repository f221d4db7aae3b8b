"""Where an error or a print stands in the script as it was written: line and column, in every language."""

from __future__ import annotations

import pytest

from reverie.errors import ScriptError
from reverie.scripting.engine import Engine
from tests.contract.engine_stage import TYPESCRIPT, WITH_JAVASCRIPT, play, run_of, shared_engine

pytestmark = pytest.mark.anyio
engine = shared_engine

JAVASCRIPT = "var a = 1;\n  a = 2; throw new RangeError('why');\nvar b;"
THROWN = {
    "v8js": JAVASCRIPT,
    "typescript": "var a: number = 1;\n  a = 2; throw new RangeError('why');\nvar b: number;",
    "nodejs": JAVASCRIPT,
    "python3": "a = 1\nä = 'é'; raise ValueError('why')\nb = 2",
    "php": "$a = 1;\n  $a = 2; throw new RangeException('why');\n$b = 1;",
}
PLACES = {"v8js": 16, "typescript": 16, "nodejs": 16, "python3": 10, "php": None}
MISTYPED = {
    "v8js": "var a = 1;\nvar b = 2 wrong;",
    "typescript": "var a = 1;\nvar b = 2 wrong;",
    "nodejs": "var a = 1;\nvar b = 2 wrong;",
    "python3": "a = 1\nb = 2 wrong\n",
    "php": "$a = 1;\n$b = 2 wrong;",
}
PRINTED = {
    "v8js": "console.log('one');\n\nprint('two\\nlines', {a: 1});",
    "typescript": "console.log('one');\n\nprint('two\\nlines', {a: 1});",
    "nodejs": "console.log('one');\n\nconsole.warn('two\\nlines', {a: 1});",
    "python3": "print('one')\n\nprint('two\\nlines', {'a': 1})",
    "php": 'echo "one\\n";\n\necho "two\\nlines", " a\\n";',
}


async def test_an_error_names_line_and_column_and_shows_them(engine: Engine) -> None:
    with pytest.raises(ScriptError) as caught:
        await play(engine, THROWN)

    error = caught.value
    assert (error.message, error.line, error.column) == ("why", 2, PLACES[engine.name])
    lines = THROWN[engine.name].split("\n")
    assert error.excerpt == lines[1]
    caret = [] if error.column is None else [f"    | {' ' * (error.column - 1)}^"]
    assert error.source.split("\n") == [f"  1 | {lines[0]}", f"> 2 | {lines[1]}", *caret, f"  3 | {lines[2]}"]


@WITH_JAVASCRIPT
async def test_the_first_line_counts_its_columns_from_the_script_on(engine: Engine) -> None:
    with pytest.raises(ScriptError) as caught:
        await play(engine, "throw new Error('why');")

    assert (caught.value.line, caught.value.column) == (1, 7)


async def test_a_syntax_error_names_line_and_column(engine: Engine) -> None:
    with pytest.raises(ScriptError) as caught:
        await play(engine, MISTYPED)

    # PHP tells no columns, and Python's parser means the whole of what it could not read.
    columns: dict[str, tuple[int | None, ...]] = {"php": (None,), "python3": (5, 7)}
    assert (caught.value.kind, caught.value.line) == ("SyntaxError", 2)
    assert caught.value.column in columns.get(engine.name, (11,))


@TYPESCRIPT
async def test_lines_of_typescript_are_those_of_the_source_also_where_types_become_code(engine: Engine) -> None:
    kinds = "enum Size {\n  S = 1,\n  M,\n  L,\n}\nclass A { constructor(private a: number) {} }\n"
    text = kinds + "  throw new Error(Size[1]);"

    with pytest.raises(ScriptError) as caught:
        await play(engine, text)

    error = caught.value
    assert (error.message, error.line, error.column) == ("S", 7, 9)


async def test_a_traced_run_tells_the_line_of_each_print(engine: Engine) -> None:
    run = run_of(engine, PRINTED)
    traced = type(run)(
        script=run.script, event=run.event, platform={**run.platform, "trace": True}, host=run.host, limits=run.limits
    )

    plain = (await engine.run(run)).output
    output = (await engine.run(traced)).output

    assert "\x1e" not in plain
    assert output.startswith("\x1e1\x1fone")
    assert "\x1e3\x1ftwo\nlines" in output
    assert "".join(part.split("\x1f")[-1] for part in output.split("\x1e")) == plain
