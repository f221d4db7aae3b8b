"""`queue failed` and `queue retry`, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.app import open_queue
from reverie.cli.failures import all_failed, read_places, retry_failed, show_failed
from reverie.config import Settings, read_settings
from reverie.jobs.queue import Draft
from reverie.model import JSON, Job
from reverie.prepare import bring_up_to_date

pytestmark = pytest.mark.anyio

ERROR: JSON = {"type": "Error", "message": "qty is\nmissing", "line": 2, "excerpt": "  throw 'qty';"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = read_settings({"REVERIE_DATA_DIR": str(tmp_path), "REVERIE_SECRET_KEY": "s" * 32})
    bring_up_to_date(settings)
    return settings


async def fail(settings: Settings, name: str, queue_name: str = "default") -> Job:
    async with open_queue(settings) as queue:
        draft = Draft(kind="script.service", script="service:1", name=name, payload=b"x", queue=queue_name)
        await queue.push(draft)
        (job,) = await queue.claim(worker="test")
        await queue.fail(job, ERROR)
        return job


async def failed_names(settings: Settings) -> list[str]:
    return [job.name for job in await all_failed(settings)]


async def test_failed_jobs_are_listed_newest_first(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = await fail(settings, "one"), await fail(settings, "two", "slow")

    show_failed(await all_failed(settings), as_json=True)

    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed] == [second.id, first.id]
    assert listed[0] | {"id": "", "failed_at": ""} == {
        "id": "",
        "connection": "database",
        "queue": "slow",
        "class": "two",
        "failed_at": "",
        "message": "qty is\nmissing",
        "line": 2,
        "excerpt": "  throw 'qty';",
    }


async def test_in_a_pipe_the_table_has_a_line_for_each_job(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    job = await fail(settings, "one")

    show_failed(await all_failed(settings), as_json=False)

    head, line = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "ID"
    assert line.startswith(job.id)
    assert line.rstrip().endswith("qty is missing | line 2 | throw 'qty';")


def test_nothing_failed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_failed([], as_json=False)
    show_failed([], as_json=True)

    assert capsys.readouterr().out == "No failed jobs found.\n[]\n"


async def test_one_job_is_retried_by_id_and_an_unknown_id_does_not_stop_it(settings: Settings) -> None:
    one, _ = await fail(settings, "one"), await fail(settings, "two")

    lines = await retry_failed(settings, ["nope", one.id], None, None)

    assert lines == ["There is no failed job with id [nope].", f"{one.id} one is due again."]
    assert await failed_names(settings) == ["two"]


async def test_all_are_retried(settings: Settings) -> None:
    await fail(settings, "one")
    await fail(settings, "two")

    assert len(await retry_failed(settings, ["all"], None, None)) == 2
    assert await failed_names(settings) == []
    assert await retry_failed(settings, ["all"], None, None) == ["No retryable jobs found."]


async def test_those_of_a_queue_are_retried(settings: Settings) -> None:
    await fail(settings, "one")
    await fail(settings, "two", "slow")

    await retry_failed(settings, [], "slow", None)

    assert await failed_names(settings) == ["one"]


async def test_those_of_a_range_are_retried_by_their_place_in_the_list(settings: Settings) -> None:
    for name in ("d", "c", "b", "a"):
        await fail(settings, name)

    await retry_failed(settings, [], None, read_places("2-3"))

    assert await failed_names(settings) == ["a", "d"]


@pytest.mark.parametrize("text", ["", "1", "2-1", "0-3", "a-b", "1-2-3"])
def test_a_range_needs_two_places(text: str) -> None:
    assert read_places(text) is None
