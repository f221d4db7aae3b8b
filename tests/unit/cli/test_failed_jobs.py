"""`queue failed|retry|forget|flush|prune-failed` as real commands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.cli.place import ERROR, Place, draft, place

from reverie.errors import NotFound
from reverie.jobs.desk import Desk
from reverie.model import Job, JobStatus

__all__ = ["place"]
HOUR = 3600.0


def failed_ago(place: Place, *hours: float) -> list[Job]:
    """Jobs that failed so many hours ago."""

    async def work(desk: Desk) -> list[Job]:
        now = desk.clock.now()
        made = [desk.queue.make(draft()) for _ in hours]
        ended = [
            replace(job, status=JobStatus.FAILED, error=ERROR, finished_at=now - hour * HOUR)
            for job, hour in zip(made, hours, strict=True)
        ]
        await desk.queue.ledger.create_many(ended)
        return ended

    return place.at_desk(work)


def test_without_failed_jobs_each_command_says_so_and_ends_well(place: Place) -> None:
    assert place.run("failed").stdout == "No failed jobs found.\n"
    assert place.json("failed") == []
    assert place.run("retry", "all").stdout == "No retryable jobs found.\n"
    assert place.reverie("queue:flush").stdout == "Failed jobs deleted: 0\n"


def test_a_failed_job_is_listed_retried_and_gone_from_the_list(place: Place) -> None:
    kept, retried = place.fail(draft("service:one", queue="slow", delay=0), draft("service:two"))

    assert [one["id"] for one in place.json("failed")] == [retried.id, kept.id]
    shown = place.run("retry", "nope", retried.id).stdout

    assert shown == f"There is no failed job with id [nope].\n{retried.id} service:two is due again.\n"
    assert [one["id"] for one in place.json("failed")] == [kept.id]
    again = place.job(retried.id)
    assert (again.status, again.attempts, again.queue) == (JobStatus.WAITING, 0, "default")


def test_one_failed_job_is_forgotten_and_an_unknown_one_is_exit_1(place: Place) -> None:
    [job] = place.fail(draft())
    [waiting] = place.push(draft())

    place.run("forget", job.id)

    with pytest.raises(NotFound):
        place.job(job.id)
    for unknown in (job.id, waiting.id):
        assert place.run("forget", unknown, code=1).stderr == "No failed job matches the given ID.\n"
    assert place.job(waiting.id).status is JobStatus.WAITING


def test_flushing_deletes_failed_jobs_all_or_those_of_so_many_hours_ago(place: Place) -> None:
    old, young = failed_ago(place, 25, 1)
    [waiting] = place.push(draft())

    assert place.run("flush", "--hours=24").stdout == "Failed jobs deleted: 1\n"
    assert [one["id"] for one in place.json("failed")] == [young.id]
    with pytest.raises(NotFound):
        place.job(old.id)
    assert place.run("flush").stdout == "Failed jobs deleted: 1\n"
    assert place.json("failed") == []
    assert place.job(waiting.id).status is JobStatus.WAITING


def test_pruning_deletes_the_old_ones_and_says_how_many(place: Place) -> None:
    *_, young = failed_ago(place, 26, 25, 2, 0.5)

    assert place.run("prune-failed").stdout == "Failed jobs deleted: 2\n"
    assert place.reverie("queue:prune-failed", "--hours=1").stdout == "Failed jobs deleted: 1\n"
    assert [one["id"] for one in place.json("failed")] == [young.id]


def test_what_failed_on_a_sync_connection_is_kept_and_not_in_the_failed_list(place: Place) -> None:
    async def work(desk: Desk) -> Job:
        job = replace(desk.queue.make(draft(connection="sync")), status=JobStatus.FAILED, finished_at=desk.clock.now())
        await desk.queue.ledger.create_many([job])
        return job

    job = place.at_desk(work)

    assert place.json("failed") == []
    assert [one["id"] for one in place.json("list", "--status=failed")] == [job.id]
