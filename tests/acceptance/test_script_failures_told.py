"""A failed script is told: to administrators in the answer, to nobody else; in the log; and counted by version."""

from __future__ import annotations

import pytest

from tests.acceptance.script_stage import ROWS, SCRIPTS, TABLE, Stage, each_stage, envelope, error
from tests.acceptance.server import JSONValue, wait_for

stage = each_stage
LANGUAGES = pytest.mark.parametrize("language", ["v8js", "typescript", "nodejs", "python3", "php"])
JAVASCRIPT = "var rows = 1;\n  throw new Error('out of tea');\n"
BROKEN = {
    "v8js": JAVASCRIPT,
    "typescript": JAVASCRIPT,
    "nodejs": JAVASCRIPT,
    "python3": "rows = 1\nraise Exception('out of tea')\n",
    "php": "$rows = 1;\n  throw new \\Exception('out of tea');\n",
}
EVENT = f"db._table.{TABLE}.get.pre_process"


def versions(stage: Stage, script: str) -> list[JSONValue]:
    return list(stage.ask("GET", f"system/script_version?script={script}", expect=200).json["resource"])


@LANGUAGES
def test_administrators_see_where_a_script_failed_and_others_do_not(stage: Stage, language: str) -> None:
    stage.on_table("get.pre_process", language, BROKEN)
    line = BROKEN[language].split("\n")[1]

    told = error(stage.server.as_admin("GET", ROWS))
    hidden = error(stage.server.as_key("GET", ROWS))

    assert hidden == envelope("out of tea", 500)
    context = told["context"]
    column = {"php": None, "python3": 1}.get(language, 9)
    kind = "Exception" if language in ("python3", "php") else "Error"
    assert {**told, "context": None} == envelope("out of tea", 500)
    assert {**context, "source": "", "version": 0} == {
        "type": kind, "message": "out of tea", "script": EVENT, "version": 0, "line": 2, "column": column,
        "excerpt": line, "source": "",
    }  # fmt: skip
    assert f"> 2 | {line}" in context["source"].split("\n")


def test_private_lookups_are_not_told_with_the_line(stage: Stage) -> None:
    stage.lookup("stage_pin", "canary-4711", private=True)
    stage.on_table("get.pre_process", "v8js", "throw new Error('{stage_pin}'.length + ' letters');")

    answer = stage.server.as_admin("GET", ROWS)

    assert error(answer)["message"] == "11 letters"
    assert b"canary-4711" not in answer.body
    assert "{stage_pin}" in error(answer)["context"]["excerpt"]


def test_the_log_names_script_version_and_request_of_output_and_failure(stage: Stage) -> None:
    stage.on_table("get.pre_process", "v8js", "print('a word before'); throw new Error('log me');")

    answer = stage.server.as_key("GET", ROWS, **{"X-Request-Id": "told-in-the-log"})

    assert answer.headers["x-request-id"] == "told-in-the-log"
    lines = [line for line in stage.server.output().splitlines() if "told-in-the-log" in line]
    assert any("script.output" in line and EVENT in line and "a word before" in line for line in lines), lines
    assert any("script.failed" in line and EVENT in line and "log me" in line and "line=1" in line for line in lines)


def test_runs_failures_and_refusals_are_counted_by_version(stage: Stage) -> None:
    stage.on_table("get.pre_process", "v8js", "throw {message: 'no', status_code: 422};")
    stage.server.as_key("GET", ROWS)
    stage.ask("PATCH", f"{SCRIPTS.removeprefix('/api/v2/')}/{EVENT}", {"content": "throw new Error('x');"}, expect=200)
    stage.server.as_key("GET", ROWS)
    stage.server.as_key("GET", ROWS)

    wait_for(lambda: versions(stage, EVENT)[0]["runs"] == 2, 10)

    new, old = versions(stage, EVENT)[:2]
    assert [new[name] for name in ("runs", "failures", "refusals", "is_current")] == [2, 2, 0, True]
    assert new["last_error"] == {"type": "Error", "message": "x", "line": 1}
    assert new["last_failed_at"] is not None
    assert [old[name] for name in ("runs", "failures", "refusals", "is_current")] == [1, 0, 1, False]


def test_a_script_that_cannot_be_run_is_told_and_counted_too(stage: Stage) -> None:
    event = f"db._table.{TABLE}.get"
    stage.event_script(event, "cobol", "DISPLAY 'x'.")

    assert stage.server.as_key("GET", ROWS).status == 200  # it hangs on the call's end, and changes nothing

    wait_for(lambda: versions(stage, event)[0]["failures"] == 1, 10)
    assert "cobol" in versions(stage, event)[0]["last_error"]["message"]
    assert any("script.failed" in line and "cobol" in line for line in stage.server.output().splitlines())
