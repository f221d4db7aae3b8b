"""`queue work` and `queue listen` as real commands, on jobs whose script is gone: they end as skipped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.cli.place import Place, draft, place

from reverie.cli.queue import _worker_options, listen, work
from reverie.jobs.ledger import JobFilter
from reverie.jobs.payload import Packed, about_of, pack
from reverie.jobs.queue import Draft
from reverie.jobs.work import WorkerOptions
from reverie.model import Caller, JobStatus
from reverie.sealing import Sealer

__all__ = ["place"]
PAYLOAD = pack(Packed(event={}, caller=Caller()), Sealer("s" * 32), about=about_of("script.service", "service:99"))


def sealed(name: str, **more: Any) -> Draft:
    return draft(name, script="service:99", payload=PAYLOAD, **more)


def statuses(place: Place) -> dict[str, JobStatus]:
    return {job.name: job.status for job in place.at_desk(lambda desk: desk.queue.ledger.find(JobFilter()))}


@contextmanager
def started(place: Place, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
    mine = {"REVERIE_DATA_DIR": str(place.settings.data_dir), "REVERIE_SECRET_KEY": "s" * 32}
    command = [sys.executable, "-m", "reverie", "queue", *arguments]
    process = subprocess.Popen(command, env=clean | mine, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def wait_until_there(place: Place, count: int = 1) -> None:
    """As many workers serve."""
    deadline = time.monotonic() + 30
    while len(place.at_desk(lambda desk: desk.queue.ledger.workers())) != count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def options(place: Place, *arguments: str) -> WorkerOptions:
    return _worker_options(place.settings, work.make_context("x", list(arguments)).params)


def test_names_of_queues_are_trimmed_and_what_is_given_reaches_the_worker(place: Place) -> None:
    given = options(place, "database", "--queue=high, low", "--timeout=120", "--memory=0", "--force", "--sleep=0.2")

    assert (given.queues, given.timeout, given.memory, given.force) == (("high", "low"), 120, 0, True)
    assert (given.connection, given.sleep, given.tries, given.listens) == ("database", 0.2, 1, False)
    assert options(place).queues == ("default",)
    listener = _worker_options(place.settings, listen.make_context("x", []).params, listens=True)
    assert (listener.listens, listener.tries, listener.memory, listener.force) == (True, 0, 128, False)


def test_an_unknown_connection_is_named(place: Place) -> None:
    for verb in ("work", "listen"):
        assert "[nope]" in place.run(verb, "nope", code=1).stderr


def test_once_runs_one_job_and_on_an_empty_queue_sleeps(place: Place) -> None:
    place.push(sealed("one"), sealed("two"))

    [began, ended] = place.run("work", "--once", "--json").stdout.splitlines()

    assert [json.loads(line)["job"] for line in (began, ended)] == ["one", "one"]
    assert statuses(place) == {"one": JobStatus.SKIPPED, "two": JobStatus.WAITING}
    place.run("clear")
    began_at = time.monotonic()
    assert place.run("work", "--once", "--sleep=1").stdout == ""
    assert time.monotonic() - began_at > 1


def test_a_worker_beyond_its_memory_ends_with_12_and_a_listener_with_0_after_one_job(place: Place) -> None:
    place.push(sealed("one"), sealed("two"), sealed("three"))

    place.run("work", "--memory=1", code=12)
    assert [*statuses(place).values()].count(JobStatus.SKIPPED) == 1
    place.run("listen", "--memory=1", code=0)

    assert statuses(place) == {"one": JobStatus.SKIPPED, "two": JobStatus.SKIPPED, "three": JobStatus.WAITING}


def test_in_maintenance_mode_nothing_is_taken_without_force(place: Place) -> None:
    place.push(sealed("one"))
    place.reverie("maintenance", "on")

    place.run("work", "--once", "--sleep=0.2")
    assert statuses(place) == {"one": JobStatus.WAITING}
    place.run("work", "--once", "--sleep=0.2", "--force")

    assert statuses(place) == {"one": JobStatus.SKIPPED}


def test_a_restart_ends_a_worker_and_not_a_listener_and_a_drain_ends_both(place: Place) -> None:
    with started(place, "work") as worker, started(place, "listen") as listener:
        wait_until_there(place, 2)

        place.run("restart")
        assert worker.wait(10) == 0
        wait_until_there(place, 1)
        assert listener.poll() is None
        assert "has ended." in place.run("drain", "--wait=20").stdout

        assert listener.wait(10) == 0


def test_a_listener_goes_on_with_changed_settings_and_sigterm_ends_it_well(place: Place) -> None:
    told = place.settings.data_dir / "reverie.toml"
    told.write_text('queue_connection = "null"')
    with started(place, "listen", "--json", "--sleep=0.5") as listener:
        wait_until_there(place)
        place.push(sealed("one", connection="database"))
        assert listener.stdout is not None

        told.write_text("bogus = 1")  # a mistake while it is edited
        time.sleep(1.5)
        assert (listener.poll(), statuses(place)) == (None, {"one": JobStatus.WAITING})
        told.write_text('queue_connection = "database"')

        assert json.loads(listener.stdout.readline())["job"] == "one"
        assert json.loads(listener.stdout.readline())["status"] == "skipped"
        listener.send_signal(signal.SIGTERM)
        assert listener.wait(10) == 0
