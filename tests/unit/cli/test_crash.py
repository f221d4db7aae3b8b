"""`demo crash` believes the ledger and the effects only when they agree."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from tests.unit.jobs.scene import draft, push, sqlite_queue

from reverie.cli.crash import Play, Verdict
from reverie.cli.group import reverie
from reverie.clock import SystemClock
from reverie.jobs.queue import Queue
from reverie.jobs.settle import crashed, lease_of
from reverie.model import Job

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, SystemClock()) as opened:
        yield opened


@pytest.fixture
async def play(tmp_path: Path, queue: Queue) -> AsyncIterator[Play]:
    async with httpx2.AsyncClient() as client:
        yield Play(folder=tmp_path, client=client, queue=queue, show=lambda seen: None)


def leave_effects(folder: Path, *numbers: int) -> None:
    database = sqlite3.connect(folder / "effects.sqlite")
    database.execute("CREATE TABLE effect (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
    database.executemany("INSERT INTO effect (number) VALUES (?)", [(number,) for number in numbers])
    database.commit()
    database.close()


async def run(queue: Queue) -> Job:
    [job] = await queue.claim(worker="a", limit=1)
    await queue.ledger.start_many([lease_of(job)])
    return job


async def test_a_job_that_is_done_and_left_its_effect_counts_as_done(play: Play, queue: Queue, tmp_path: Path) -> None:
    play.jobs = {0: (await push(queue, draft())).id}
    await queue.finish(await run(queue))
    leave_effects(tmp_path, 0)

    verdict = await play.judge()

    assert verdict == Verdict(accepted=1, done=1, lost=0, finished_twice=0, kills=0, repeated=0, effects_twice=0)
    assert verdict.is_well(1, 0)


async def test_without_its_effect_or_its_end_a_job_is_lost(play: Play, queue: Queue, tmp_path: Path) -> None:
    play.jobs = {0: (await push(queue, draft())).id, 1: "never stored"}
    await queue.finish(await run(queue))
    play.jobs[2] = (await push(queue, draft())).id
    leave_effects(tmp_path, 1, 2)

    verdict = await play.judge()

    assert (verdict.accepted, verdict.done, verdict.lost) == (3, 0, 3)
    assert not verdict.is_well(3, 0)


async def test_a_second_finish_is_seen(play: Play, queue: Queue, tmp_path: Path) -> None:
    play.jobs = {0: (await push(queue, draft())).id}
    await queue.finish(await run(queue))
    await play_it_again(tmp_path)
    await queue.finish(await run(queue))
    leave_effects(tmp_path, 0, 0)

    verdict = await play.judge()

    assert (verdict.finished_twice, verdict.effects_twice) == (1, 1)
    assert not verdict.is_well(1, 0)


async def play_it_again(folder: Path) -> None:
    """What no ledger does: a job that is done waits again."""
    store = sqlite3.connect(folder / "store.db")
    store.execute("UPDATE job SET status = 'waiting', finished_at = NULL")
    store.commit()
    store.close()


async def test_a_run_that_ended_with_its_worker_is_counted(play: Play, queue: Queue, tmp_path: Path) -> None:
    play.jobs = {0: (await push(queue, draft())).id}
    await queue.settle(crashed(await run(queue), {"message": "gone"}, pause=0.0, max_crashes=9))
    await queue.finish(await run(queue))
    leave_effects(tmp_path, 0, 0)

    verdict = await play.judge()

    assert (verdict.done, verdict.repeated, verdict.effects_twice) == (1, 1, 1)
    assert verdict.is_well(1, 0)


def test_more_kills_than_the_jobs_can_bear_are_refused() -> None:
    ran = CliRunner().invoke(reverie, ["demo", "crash", "--jobs=29"])

    assert ran.exit_code == 2
    assert "3 kills need 30 jobs" in ran.output
