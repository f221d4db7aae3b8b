"""`queue bench` measures the real queue, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.jobs.scene import draft, sqlite_queue
from tests.unit.jobs.scene import push as push_one

from reverie.cli.measure import QUEUE, burn, forget, make, measure, push, refuse_to_disturb
from reverie.clock import SystemClock
from reverie.errors import Conflict
from reverie.jobs.ledger import JobFilter, WorkerRecord
from reverie.jobs.queue import Queue
from reverie.model import Job, JobStatus
from reverie.store.migrate import migrate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, SystemClock()) as opened:
        yield opened


async def test_what_is_pushed_is_run_and_forgotten(queue: Queue) -> None:
    other = await push_one(queue, draft())
    made: list[Job] = []

    measured = await measure(queue, made, jobs=120, payload=10, concurrency=5)

    done = await queue.ledger.find(JobFilter(status=JobStatus.DONE), limit=1000)
    assert {job.id for job in done} == {job.id for job in made}
    assert len(made) == 240  # 120 at once, 120 one by one
    assert min(measured.pushed, measured.ran, measured.push_p50, measured.pick_up_p99) > 0

    await forget(queue, made)
    assert [job.id for job in await queue.ledger.find(JobFilter())] == [other.id]


async def test_jobs_that_did_not_run_are_forgotten_too(queue: Queue) -> None:
    made: list[Job] = []
    await push(queue, made, jobs=3, payload=1)

    await forget(queue, [*made, make(queue, 1)])

    assert await queue.ledger.find(JobFilter()) == []


async def test_another_number_of_runs_than_of_jobs_is_no_measurement(queue: Queue) -> None:
    await push(queue, [], jobs=3, payload=1)

    with pytest.raises(RuntimeError, match="4 jobs were pushed and 3 ran"):
        await burn(queue, jobs=4, concurrency=2)


async def test_a_queue_with_jobs_in_it_is_left_alone(queue: Queue) -> None:
    await push_one(queue, draft(queue=QUEUE))

    with pytest.raises(Conflict, match="holds 1 jobs"):
        await refuse_to_disturb(queue)


@pytest.mark.parametrize(("queues", "disturbs"), [(None, True), ((QUEUE,), True), (("other",), False)])
async def test_nothing_is_measured_beside_a_worker_that_would_take_the_jobs(
    queue: Queue, queues: tuple[str, ...] | None, disturbs: bool
) -> None:
    await queue.ledger.register(WorkerRecord(name="somebody", host="here", process=1, queues=queues))

    if disturbs:
        with pytest.raises(Conflict, match="somebody"):
            await refuse_to_disturb(queue)
    else:
        await refuse_to_disturb(queue)


def command(*arguments: str, **environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
    words = [sys.executable, "-m", "reverie", "queue:bench", *arguments]
    ran = subprocess.run(words, env=clean | environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_the_command_prints_json_and_touches_no_data_folder(tmp_path: Path) -> None:
    said = json.loads(command("--jobs=50", "--json", REVERIE_DATA_DIR=str(tmp_path / "data")))

    assert (said["jobs"], said["payload"]) == (50, 1024)
    assert said["ran"] > 0
    assert not (tmp_path / "data").exists()


def test_the_command_prints_a_table() -> None:
    shown = command("--jobs", "20", "--concurrency", "3")

    assert "run, 3 at one time" in shown
    assert "jobs/s" in shown


def test_the_configured_store_has_nothing_more_afterwards(tmp_path: Path) -> None:
    migrate(tmp_path / "reverie.sqlite")

    command("--here", "--jobs=20", REVERIE_DATA_DIR=str(tmp_path))

    store = sqlite3.connect(tmp_path / "reverie.sqlite")
    assert store.execute("SELECT count(*) FROM job").fetchone() == (0,)
    store.close()
