"""`queue clear|monitor|pause|resume|stats|doctor|restart|drain` and `maintenance` as real commands."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from tests.unit.cli.place import Place, draft, place

from reverie.jobs.desk import Desk
from reverie.jobs.ledger import JobFilter, WorkerRecord
from reverie.model import JobStatus

__all__ = ["place"]


def names_left(place: Place) -> list[str]:
    async def work(desk: Desk) -> list[str]:
        return [job.name for job in await desk.queue.ledger.find(JobFilter())]

    return place.at_desk(work)


def register(place: Place, *names: str) -> None:
    async def work(desk: Desk) -> None:
        for name in names:
            await desk.queue.ledger.register(WorkerRecord(name=name, host="h", process=1, connection="database"))

    place.at_desk(work)


def test_clearing_deletes_waiting_delayed_and_running_jobs_of_that_queue_alone(place: Place) -> None:
    place.fail(draft("failed"))
    place.push(draft("running"))
    place.at_desk(lambda desk: desk.queue.claim(worker="w"))
    place.push(draft("waiting"), draft("delayed", delay=60), draft("other", queue="slow"), draft("third", queue="x"))

    assert place.run("clear", "database", "--queue=default").stdout == "Jobs of the queue 'default' deleted: 3\n"

    assert names_left(place) == ["third", "other", "failed"]
    lines = place.reverie("queue:clear", "--queue=slow, x", "--force").stdout.splitlines()
    assert lines == ["Jobs of the queue 'slow' deleted: 1", "Jobs of the queue 'x' deleted: 1"]
    assert names_left(place) == ["failed"]


@pytest.mark.parametrize("connection", ["sync", "null", "nope"])
def test_only_a_connection_that_keeps_jobs_can_be_cleared(place: Place, connection: str) -> None:
    assert f"[{connection}]" in place.run("clear", connection, code=1).stderr


def test_a_person_is_asked_before_a_queue_is_cleared(place: Place) -> None:
    place.push(draft("kept"))
    ours, theirs = pty.openpty()
    try:
        asked = subprocess.Popen(
            [sys.executable, "-m", "reverie", "queue", "clear"],
            env={"REVERIE_DATA_DIR": str(place.settings.data_dir), "REVERIE_SECRET_KEY": "s" * 32, "PATH": ""},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.write(ours, b"n\n")
        printed, _ = asked.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)

    assert asked.returncode == 1
    assert b"Delete every job that waits or runs there?" in printed
    assert names_left(place) == ["kept"]


def test_a_queue_of_the_size_that_was_named_is_an_alert(place: Place) -> None:
    place.push(draft(), draft(), draft(delay=60))
    place.at_desk(lambda desk: desk.queue.claim(worker="w"))

    [large, empty] = place.json("monitor", "default,database:slow", "--max=3")

    oldest = large.pop("oldest_pending")
    assert oldest.endswith("Z")
    figures = {"size": 3, "pending": 1, "delayed": 1, "reserved": 1}
    assert large == {"connection": "database", "queue": "default", **figures, "status": "ALERT"}
    assert (empty["size"], empty["oldest_pending"], empty["status"]) == (0, None, "OK")
    head, line = place.reverie("queue:monitor", "default", "--max=4").stdout.splitlines()
    assert head.split() == ["Queue", "Size", "Pending", "Delayed", "Reserved", "Oldest", "pending", "Status"]
    assert (line.split()[0], line.split()[-1]) == ("database:default", "OK")
    assert "[nope]" in place.run("monitor", "nope:default", code=1).stderr


def test_queues_are_paused_and_resumed_one_by_one_and_all_together(place: Place) -> None:
    place.push(draft(queue="slow"))

    def paused() -> list[tuple[str, str]]:
        return place.at_desk(lambda desk: desk.queue.ledger.paused())

    assert place.run("pause", "database:slow").stdout == "database:slow is paused.\n"
    assert paused() == [("database", "slow")]
    assert place.at_desk(lambda desk: desk.queue.claim(worker="w")) == []
    assert place.run("resume", "slow").stdout == "database:slow goes on.\n"
    assert paused() == []
    place.reverie("queue:pause", "--all")
    assert paused() == [("database", "default"), ("database", "slow")]
    place.reverie("queue:resume", "--all")
    assert paused() == []
    assert place.run("resume", "--all").stdout == "No queue is paused.\n"
    for wrong in ((), ("slow", "--all")):
        assert "Name one queue" in place.run("pause", *wrong, code=1).stderr
    assert "[nope]" in place.run("pause", "nope:slow", code=1).stderr


def test_stats_tell_depth_age_speed_and_who_serves(place: Place) -> None:
    place.fail(draft())
    place.push(draft(queue="slow"), draft(queue="slow", delay=60))
    register(place, "w-1")
    place.run("pause", "slow")

    known = place.json("stats")

    default, slow = known["queues"]
    assert (default["jobs"], default["five_minutes"]["ended"], default["five_minutes"]["failed"]) == (
        {"failed": 1},
        1,
        1,
    )
    assert (slow["jobs"], slow["unfinished"], slow["paused"]) == ({"waiting": 1, "delayed": 1}, 2, True)
    assert (slow["workers"], known["workers"][0]["name"], known["maintenance"]) == (1, "w-1", False)
    text = place.reverie("queue:stats").stdout
    assert "database:slow (paused)" in text
    assert "w-1" in text


def test_the_doctor_finds_a_well_queue_well(place: Place) -> None:
    register(place, "w-1")

    findings = place.json("doctor")

    assert {one["level"] for one in findings} == {"ok"}
    assert len(place.run("doctor").stdout.splitlines()) == len(findings) > 10


def test_the_doctor_says_what_is_wrong_and_ends_with_1(place: Place) -> None:
    place.push(draft(queue="lonely"))

    wrong = {one["subject"]: one["message"] for one in place.json("doctor", code=1) if one["level"] == "error"}

    assert "`reverie queue work database --queue=lonely`" in wrong["queue database:lonely"]
    assert "sealed under another secret key" in wrong["payloads"]


def test_maintenance_mode_is_switched_and_told(place: Place) -> None:
    assert place.reverie("maintenance").stdout == "Maintenance mode is off.\n"
    place.reverie("maintenance", "on")
    assert place.reverie("maintenance").stdout == "Maintenance mode is on: workers take nothing.\n"
    assert place.json("stats")["maintenance"] is True
    place.reverie("maintenance", "off")
    assert place.reverie("maintenance").stdout == "Maintenance mode is off.\n"
    place.reverie("maintenance", "perhaps", code=2)


def test_workers_are_drained_by_name_by_the_beginning_of_one_or_all(place: Place) -> None:
    register(place, "kitchen-1", "kitchen-2", "office-1")

    def told() -> list[str]:
        facts = place.at_desk(lambda desk: desk.signals.told())
        return sorted(name.partition(":")[2] for name in facts if name.startswith("queue_drain:"))

    assert place.run("drain", "off").stdout == "office-1 ends after what it runs.\n"
    assert told() == ["office-1"]
    assert "several workers" in place.run("drain", "kitchen", code=1).stderr
    assert "There is no worker" in place.run("drain", "garden", code=1).stderr
    assert "kitchen-1 ends after what it runs." in place.run("drain", "--wait=0.1", code=1).stdout
    assert told() == ["kitchen-1", "kitchen-2", "office-1"]


def test_a_job_that_waits_stays_as_it_is_when_workers_are_restarted(place: Place) -> None:
    [job] = place.push(draft())

    assert place.reverie("queue:restart").stdout == "Workers end after their current job; listeners stay.\n"

    assert place.job(job.id).status is JobStatus.WAITING
