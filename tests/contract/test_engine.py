"""What every engine must do with a script: the same scenes in each language, in real processes."""

from __future__ import annotations

import pytest

from reverie.errors import ScriptError, ScriptLimit
from reverie.model import JSON
from reverie.scripting.engine import NOTHING, Engine, Limits
from tests.contract import engine_scenes as scenes
from tests.contract.engine_stage import (
    NODEJS,
    PHP,
    PYTHON3,
    TYPESCRIPT,
    WITH_JAVASCRIPT,
    WITH_PROCESS,
    Platform,
    play,
    shared_engine,
    still_works,
)

pytestmark = pytest.mark.anyio
engine = shared_engine


# Event, values, output.


async def test_a_script_changes_the_event(engine: Engine) -> None:
    event: dict[str, JSON] = {"request": {"payload": {"list": [{"n": 1}]}}, "gone": 1}

    outcome = await play(engine, scenes.CHANGE, event=event)

    assert outcome.event == {"request": {"payload": {"list": [{"n": 2}]}}, "response": {"content": [1]}}
    assert event["gone"] == 1


async def test_a_script_reads_the_event_and_an_absent_response_is_absent(engine: Engine) -> None:
    event: dict[str, JSON] = {"request": {"method": "PATCH"}, "resource": "todo/7"}

    outcome = await play(engine, scenes.READ_EVENT, event=event)

    assert outcome.returned == ["PATCH", "todo/7", False]


async def test_returned_values_arrive_as_they_are_and_falsy_ones_too(engine: Engine) -> None:
    for text, value in scenes.RETURNS:
        returned = (await play(engine, text)).returned
        assert returned == value
        assert type(returned) is type(value)


async def test_a_script_that_returns_nothing_returned_nothing(engine: Engine) -> None:
    assert (await play(engine, scenes.NO_RETURN)).returned is NOTHING
    assert (await play(engine, "")).returned is NOTHING


async def test_half_a_surrogate_pair_does_not_break_the_wire(engine: Engine) -> None:
    returned = (await play(engine, scenes.BROKEN_TEXT)).returned

    assert returned in ("a\ufffdb", "a?b")


async def test_a_printed_megabyte_is_output(engine: Engine) -> None:
    outcome = await play(engine, scenes.MEGABYTE, limits=Limits(wall=20, output=2 * 1024 * 1024))

    assert len(outcome.output) == 1024 * 1024
    assert outcome.returned is NOTHING


async def test_printed_results_are_output_and_no_results(engine: Engine) -> None:
    outcome = await play(engine, scenes.PRINT_RESULT)

    assert outcome.returned == 5
    assert outcome.event == {"request": {"method": "GET"}}
    assert outcome.output == '{"request": 1}\n{"type":"result","event":{}}\n'


async def test_letters_of_many_bytes_are_printed_whole(engine: Engine) -> None:
    assert (await play(engine, scenes.UMLAUTS)).output == ("aä" * 1000 + "\n") * 100


@WITH_PROCESS
async def test_what_is_written_on_stdout_by_anyone_is_output(engine: Engine) -> None:
    outcome = await play(engine, scenes.RAW_PRINT)

    assert outcome.returned == 5
    assert outcome.output == "raw from a shell\n"


# The platform.


async def test_a_script_calls_the_platform(engine: Engine) -> None:
    host = Platform()

    outcome = await play(engine, scenes.CALL, host=host)

    got = outcome.event["got"]
    assert isinstance(got, dict)
    assert got["status_code"] == 201
    assert got["content"] == {"asked": "db/_table/todo?x=1"}
    asked = {"verb": "POST", "path": "db/_table/todo?x=1", "payload": {"name": "b"}, "options": {"headers": {"a": "b"}}}
    assert host.asked == [("api", asked)]


async def test_every_verb_is_there_and_missing_arguments_are_none(engine: Engine) -> None:
    host = Platform()

    await play(engine, scenes.VERBS, host=host)

    assert [args["verb"] for _, args in host.asked] == ["GET", "PUT", "PATCH", "DELETE", "GET"]
    assert all(args["payload"] is None and args["options"] == {} for _, args in host.asked)


async def test_the_store_keeps_what_the_host_keeps(engine: Engine) -> None:
    host = Platform()

    outcome = await play(engine, scenes.STORE, host=host)

    assert outcome.returned == 7
    assert host.asked == [
        ("store.set", {"key": "k", "value": {"a": 1}}),
        ("store.get", {"key": "k", "default": 7}),
    ]


async def test_session_and_config_are_there_and_df_is_the_config(engine: Engine) -> None:
    assert (await play(engine, scenes.SESSION)).returned == [9, "2.0", "2.0", True]


async def test_too_many_calls_end_the_script(engine: Engine) -> None:
    with pytest.raises(ScriptLimit, match="more than 25 calls"):
        await play(engine, scenes.CALL_FOR_EVER, limits=Limits(wall=20, calls=25))

    await still_works(engine)


async def test_a_host_that_fails_ends_the_script(engine: Engine) -> None:
    async def broken(op: str, args: dict[str, JSON]) -> JSON:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(ScriptError, match="platform failed to answer"):
        await play(engine, scenes.ONE_CALL, host=broken)

    await still_works(engine)


@NODEJS
async def test_nodejs_scripts_call_back_and_set_their_result_late(engine: Engine) -> None:
    for text, status in [
        ("platform.api.get('a', '', function (body, r) { event.setResponse(JSON.parse(body), r.statusCode); });", 201),
        ("platform.api.get('a', function (body) { event.setResponse(JSON.parse(body)); });", 200),
        ("return platform.api.get('a').then(function (r) { event.setResponse(r.content, 202); });", 202),
    ]:
        outcome = await play(engine, text)
        assert outcome.event["response"] == {
            "content": {"asked": "a"},
            "status_code": status,
            "content_type": "application/json",
        }
    late = "setTimeout(function () { event.setReturn({late: true}); }, 5); return 1;"
    assert (await play(engine, late)).returned == {"late": True}
    assert (await play(engine, "return Object.keys(event);")).returned == ["request"]


@NODEJS
async def test_nodejs_scripts_may_have_many_calls_open(engine: Engine) -> None:
    host = Platform()
    text = "return Promise.all([1, 2, 3].map(function (n) { return platform.api.get('a' + n); }))"
    text += ".then(function (all) { return all.map(function (r) { return r.content.asked; }); });"

    assert (await play(engine, text, host=host)).returned == ["a1", "a2", "a3"]


@PYTHON3
async def test_python_results_read_like_a_response_and_like_a_map(engine: Engine) -> None:
    text = "import json\nr = platform.api.get('a')\n"
    text += "return [json.loads(r.read()), r.status, r['status_code'], r.content.asked]"

    assert (await play(engine, text)).returned == [{"asked": "a"}, 201, 201, "a"]


@PYTHON3
async def test_python_scripts_import_from_the_whole_standard_library(engine: Engine) -> None:
    text = "import wave, email.mime.text, concurrent.futures, encodings.idna\nreturn wave.__name__"

    assert (await play(engine, text)).returned == "wave"


@TYPESCRIPT
async def test_types_are_taken_off_and_lines_stay(engine: Engine) -> None:
    text = "interface Row { name: string }\nconst rows: Row[] = [{name: 'a'}];\n\nthrow new Error(rows[0]!.name);"

    with pytest.raises(ScriptError) as caught:
        await play(engine, text)

    assert (caught.value.message, caught.value.line) == ("a", 4)
    assert (await play(engine, "const twice = <T,>(a: T): T[] => [a, a]; return twice<number>(2);")).returned == [2, 2]


@TYPESCRIPT
async def test_enums_and_parameter_properties_run_and_their_errors_name_the_line_as_it_was_written(
    engine: Engine,
) -> None:
    text = "enum Size { S, L }\nclass Box { constructor(readonly size: Size) {} }\n"

    assert (await play(engine, text + "return new Box(Size.L).size;")).returned == 1
    with pytest.raises(ScriptError) as caught:
        await play(engine, text + "\nthrow new Error(Size[Size.S]);")
    assert (caught.value.message, caught.value.line) == ("S", 4)


@PHP
async def test_php_calls_are_methods_and_values_and_empty_maps_stay_maps(engine: Engine) -> None:
    event: dict[str, JSON] = {"request": {"headers": {}, "list": [], "map": {"0": "a", "1": "b"}}}
    text = "<?php $get = $platform['api']->get; $event['got'] = $get('a')['content']; unset($event['none']);"

    outcome = await play(engine, text, event=event)

    assert outcome.event == {**event, "got": {"asked": "a"}}


@PHP
async def test_php_scripts_throw_the_platforms_exceptions_by_name(engine: Engine) -> None:
    for name, status in (("BadRequest", 400), ("Forbidden", 403), ("NotFound", 404), ("ServiceUnavailable", 503)):
        with pytest.raises(ScriptError) as caught:
            await play(engine, f"\nthrow new \\DreamFactory\\Core\\Exceptions\\{name}Exception('why');")
        error = caught.value
        assert (error.message, error.status, error.code, error.line) == ("why", status, status, 2)


@PHP
async def test_a_php_warning_is_output_and_names_its_line_and_no_file_of_ours(engine: Engine) -> None:
    outcome = await play(engine, "\n\necho $nothing; return 1;")

    assert outcome.output == "Warning: Undefined variable $nothing on line 3\n"
    assert outcome.returned == 1


@PHP
async def test_php_numbers_come_back_as_they_were(engine: Engine) -> None:
    event: dict[str, JSON] = {"large": 9007199254740993, "one": 1.0, "text": "a/b\u2028"}

    outcome = await play(engine, "$event['none'] = NAN; return 2.0;", event=event)

    assert outcome.event == {**event, "none": None}
    assert type(outcome.returned) is float


# Errors.


async def test_what_a_script_throws_is_the_error(engine: Engine) -> None:
    for text, message, status, code in scenes.THROWS:
        with pytest.raises(ScriptError) as caught:
            await play(engine, text)
        assert (caught.value.message, caught.value.status, caught.value.code) == (message, status, code)
        assert type(caught.value) is ScriptError


@WITH_JAVASCRIPT
async def test_whatever_javascript_throws_is_an_error(engine: Engine) -> None:
    for text, message, status, code in scenes.JAVASCRIPT_THROWS:
        with pytest.raises(ScriptError) as caught:
            await play(engine, text)
        assert message is None or caught.value.message == message
        assert (caught.value.status, caught.value.code) == (status, code)
    await still_works(engine)


async def test_an_error_names_its_line(engine: Engine) -> None:
    with pytest.raises(ScriptError) as caught:
        await play(engine, scenes.THIRD_LINE)

    assert caught.value.line == 3
    assert caught.value.excerpt == scenes.THIRD_LINE[engine.name].split("\n")[2]
    assert caught.value.kind in ("TypeError", "AttributeError", "Error")


async def test_a_syntax_error_names_its_line_and_the_next_script_runs(engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(ScriptError) as caught:
            await play(engine, scenes.SYNTAX)
        assert caught.value.kind == "SyntaxError"
        assert caught.value.line == 2
        assert caught.value.excerpt == scenes.SYNTAX[engine.name].split("\n")[1]
    await still_works(engine)


@WITH_JAVASCRIPT
async def test_a_text_that_closes_its_function_does_not_run(engine: Engine) -> None:
    with pytest.raises(ScriptError) as caught:
        await play(engine, scenes.BREAKS_OUT)

    assert caught.value.kind == "SyntaxError"


async def test_an_error_carries_what_was_printed(engine: Engine) -> None:
    text = {
        "python3": "print('before')\nraise Exception('x')",
        "php": "echo 'before', PHP_EOL; throw new Exception('x');",
    }.get(engine.name, "console.log('before'); throw 'x';")

    with pytest.raises(ScriptError) as caught:
        await play(engine, text)

    assert caught.value.output == "before\n"
