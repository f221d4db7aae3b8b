"""One sentence why a job does not run, for each reason there is; and that the facts it rests on are looked up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.jobs.scene import NOON, MovingClock, draft, push, signals_in, sqlite_queue

from reverie.jobs.explain import Explanation, Facts, explain, explained
from reverie.jobs.ledger import Holder, WorkerRecord
from reverie.jobs.queue import Queue
from reverie.jobs.settle import failed, retried
from reverie.jobs.signals import Signals
from reverie.jobs.speed import Lately, Speed
from reverie.jobs.stats import QueueStats, Stats
from reverie.model import Job, JobStatus

pytestmark = pytest.mark.anyio

JOB = Job(
    id="j1",
    kind="script.service",
    script="service:7",
    name="service:tea",
    connection="database",
    queue="slow",
    due_at=NOON,
)
ERROR: dict[str, Any] = {"type": "Error", "message": "out of\ntea."}
WORKER = WorkerRecord(name="w-1", host="h", process=1, seen_at=NOON)
RUNNING = replace(JOB, status=JobStatus.RUNNING)


def facts(
    *,
    ended: int = 0,
    running: int = 0,
    paused: bool = False,
    maintenance: bool = False,
    worker: WorkerRecord | None = WORKER,
    languages: Mapping[str, frozenset[str]] | None = None,
    **more: Any,
) -> Facts:
    lately = Lately(seconds=60, ended=ended, ran=4.0)
    queue = QueueStats(
        connection="database",
        queue="slow",
        jobs={JobStatus.RUNNING: running},
        oldest_due=NOON,
        speed=Speed(one_minute=lately, five_minutes=lately),
        paused=paused,
        workers=1,
    )
    stats = Stats(at=NOON, queues=[queue], workers=[worker] if worker else [], maintenance=maintenance)
    return Facts(now=NOON, stats=stats, languages=dict(languages or {}), **more)


def said(job: Job, known: Facts) -> str:
    sentence = explained(job, known).sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("known", "part"),
    [
        (facts(worker=None), "no worker serves the queue 'slow' of the connection 'database'"),
        (facts(worker=replace(WORKER, seen_at=NOON - 61)), "no worker serves"),
        (facts(worker=replace(WORKER, connection="redis")), "no worker serves"),
        (facts(worker=replace(WORKER, queues=("default",))), "`reverie queue work database --queue=slow` serves it"),
        (facts(paused=True), "is paused: `reverie queue resume database:slow`"),
        (facts(maintenance=True), "maintenance mode is on: `reverie maintenance off`"),
        (facts(language="php", languages={"w-1": frozenset({"v8js"})}), "no worker that serves the queue"),
    ],
)
def test_what_somebody_must_do_first_is_said_and_no_time_is_promised(known: Facts, part: str) -> None:
    assert part in said(JOB, known)
    assert explained(JOB, known).expected_at is None


def test_several_obstacles_are_all_told() -> None:
    sentence = said(replace(JOB, due_at=NOON + 60), facts(worker=None, paused=True))

    assert sentence.startswith("It waits because no worker serves")
    assert "; and the queue 'slow' of the connection 'database' is paused" in sentence
    assert sentence.endswith("It was queued with a delay and is due at 2024-05-02 10:01:00 UTC, in 60 s.")


@pytest.mark.parametrize("languages", [{}, {"other": frozenset({"v8js"})}, {"w-1": frozenset({"php", "v8js"})}])
def test_a_worker_that_has_not_said_what_it_runs_may_run_everything(languages: Mapping[str, frozenset[str]]) -> None:
    assert "next in its queue" in said(JOB, facts(language="php", languages=languages))


def test_a_delay_and_a_pause_after_a_failed_try_tell_when_they_end() -> None:
    later = replace(JOB, status=JobStatus.DELAYED, due_at=NOON + 300)
    tried = replace(later, attempts=2, error=ERROR)
    lost = replace(later, crashes=1, error={"type": "WorkerLost", "message": "The worker was lost."})

    assert said(later, facts()) == "It was queued with a delay and is due at 2024-05-02 10:05:00 UTC, in 5 min."
    again = "and is tried again at 2024-05-02 10:05:00 UTC, in 5 min."
    assert said(tried, facts()) == f"It ended with an error at try 2 (out of tea) {again}"
    assert said(lost, facts()) == f"It ended with an error at crash 1 (The worker was lost) {again}"
    assert {explained(job, facts()).expected_at for job in (later, tried, lost)} == {NOON + 300}


def test_a_job_that_was_lost_twice_waits_to_run_alone() -> None:
    assert "it was lost with its process 2 times, so it runs alone" in said(replace(JOB, crashes=2), facts())


def test_the_turn_of_a_job_follows_from_those_ahead_and_the_speed() -> None:
    turn = explained(JOB, facts(ahead=30, ended=120))

    assert turn == Explanation(
        sentence="It is due with 30 jobs ahead of it; at 2 a second its turn comes in 15 s.", expected_at=NOON + 15
    )
    assert explained(JOB, facts(ahead=1)) == Explanation(
        sentence="It is due with 1 job ahead of it, and none has ended in the last five minutes."
    )


def test_the_next_job_is_expected_when_one_that_runs_makes_room() -> None:
    assert explained(JOB, facts()).expected_at == NOON
    assert explained(JOB, facts(running=1, ended=1)).expected_at == NOON + 4


def test_a_running_job_tells_where_and_since_when() -> None:
    begun = Holder(worker="w-1", began=NOON - 90, leased_until=NOON + 20)

    assert said(RUNNING, facts(holder=begun)) == (
        "It is running on the worker w-1 since 2024-05-02 09:58:30 UTC, for 90 s now."
    )
    assert "about to begin" in said(RUNNING, facts(holder=replace(begun, began=None)))
    assert "due again within seconds" in said(RUNNING, facts(holder=replace(begun, leased_until=NOON - 1)))
    lost = facts(worker=None, holder=replace(begun, leased_until=NOON - 1))
    assert "no worker is there to take it back: start one" in said(RUNNING, lost)
    assert "ask again" in said(RUNNING, facts())


@pytest.mark.parametrize(
    ("status", "part"),
    [
        (JobStatus.DONE, "its script ran to its end at 2024-05-02 10:00:00 UTC"),
        (JobStatus.CANCELLED, "Somebody cancelled it"),
        (JobStatus.SKIPPED, "nothing to run when its turn came"),
        (JobStatus.FAILED, "after 3 tries and 1 crash: out of tea; `reverie queue retry j1`"),
    ],
)
def test_a_job_that_has_ended_tells_how(status: JobStatus, part: str) -> None:
    assert part in said(replace(JOB, status=status, finished_at=NOON, attempts=3, crashes=1, error=ERROR), facts())


# -- on a real ledger


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def signals(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Signals]:
    async with signals_in(tmp_path, clock) as opened:
        yield opened


async def test_a_job_is_explained_all_its_life_long(queue: Queue, signals: Signals, clock: MovingClock) -> None:
    await push(queue, draft("first"))
    pushed = await push(queue, draft("second"))

    async def told() -> str:
        job = await queue.ledger.get(pushed.id)
        return (await explain(queue, job, signals, clock, language="v8js")).sentence

    assert "no worker serves the queue 'default'" in await told()
    await queue.ledger.register(WorkerRecord(name="w", host="h", process=1))
    assert "with 1 job ahead of it" in await told()
    await queue.pause("database", "default")
    assert "is paused" in await told()
    await queue.resume("database", "default")
    await signals.set_maintenance(True)
    assert "maintenance mode" in await told()
    await signals.set_maintenance(False)
    await signals.arrive("w", ["php"])
    assert "runs v8js" in await told()
    await signals.arrive("w", ["v8js"])
    _, job = await queue.claim(worker="w", limit=2)
    await queue.start(job)
    assert "It is running on the worker w since" in await told()
    await queue.settle(retried(job, {"message": "no"}, pause=30))
    assert "at try 1 (no) and is tried again" in await told()
    clock.move(30)
    [job] = await queue.claim(worker="w")
    await queue.settle(failed(job, {"message": "no"}))
    assert "It has failed" in await told()
