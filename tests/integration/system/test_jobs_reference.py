"""The reference of jobs names every field there is, and its examples can be sent."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from reverie.jobs.ledger import WorkerRecord
from reverie.jobs.results import LARGEST
from reverie.services.preferences import KEEP_KEYS, LONGEST_KEY, LONGEST_WAIT
from reverie.services.system import failed_job
from reverie.services.system.criteria import MOST_RECORDS
from reverie.services.system.job_rows import JOB_FIELDS
from tests.integration.system.conftest import at
from tests.integration.system.queue_stage import staged

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "jobs.md").read_text("utf-8")


def fields_of(heading: str) -> set[str]:
    """The names in the first column of the table of fields below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = section.split("| Field |")[1].split("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_field_of_a_job_and_of_a_failure_stands_in_the_reference() -> None:
    assert fields_of("`system/job`") == {field.name for field in JOB_FIELDS}
    assert fields_of("`system/failed_job`") == {field.name for field in failed_job.FIELDS}


async def test_every_field_of_a_queue_and_of_a_worker_stands_in_the_reference(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.queue.ledger.register(WorkerRecord(name="w1", host="dock", process=11))
        for resource in ("queue", "worker"):
            entry = at(await stage.ask("GET", resource), "resource", 0)
            assert fields_of(f"`system/{resource}`") == set(entry)


async def test_every_list_of_the_reference_can_be_asked_for(tmp_path: Path) -> None:
    asked = re.findall(r"GET /api/v2/system/(\w+)\?(.+)", PAGE)
    assert asked
    async with staged(tmp_path) as stage:
        for resource, query in asked:
            # As on the wire, where = and > in a value are written in hex.
            pairs = (
                dict(part.partition("=")[::2] for part in query.split("&")) if "(" in query else dict(parse_qsl(query))
            )
            assert (await stage.ask("GET", resource, query=pairs)).status == 200, query


def test_the_limits_are_those_of_the_reference() -> None:
    assert f"up to N seconds, {LONGEST_WAIT} at most" in PAGE
    assert f"1 to {LONGEST_KEY} printable ASCII" in PAGE
    assert f"`limit` ({MOST_RECORDS} at most)" in PAGE
    assert KEEP_KEYS == 24 * 3600
    assert LARGEST == 1024 * 1024
