"""A run that no longer holds its job can do nothing more through the platform."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.job_scenes import make_tables, notes, queued, script_service, unique
from tests.acceptance.server import Server, wait_for
from tests.unit.web.test_metrics import samples

LEASE = 2.0
WORKER = """
import asyncio, os, sys
from reverie.app import run_worker
from reverie.config import read_settings
from reverie.jobs.work import WorkerOptions

options = WorkerOptions(lease=float(sys.argv[1]), queues=(sys.argv[2],), concurrency=1, sleep=0.3)
asyncio.run(run_worker(read_settings(os.environ), options, lambda report: print(report.step, flush=True)))
"""
BEATS = """
import json, os, time
for beat in range(80):
    answer = platform.api.post('db/_table/job_note', {'label': '%s', 'text': json.dumps([os.getpid(), beat])})
    if beat == 12:
        break
    time.sleep(0.25)
"""


def lost_leases(server: Server) -> float:
    found = samples(server.as_admin("GET", "/metrics").body)
    return found["reverie_queue_lost_lease_total", frozenset()]


@contextlib.contextmanager
def worker(server: Server, queue: str) -> Iterator[subprocess.Popen[str]]:
    """A worker whose leases are short."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(LEASE), queue],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize("language", ["python3"])
def test_a_script_whose_worker_was_stopped_for_two_leases_writes_nothing_more(idle: Server, language: str) -> None:
    server, label, queue = idle, unique("beat"), unique("queue")
    with contextlib.suppress(AssertionError):  # another module may have made them
        make_tables(server)

    def runs() -> list[int]:
        return list(dict.fromkeys(run for run, _ in notes(server, label)))

    counted = lost_leases(server)
    with script_service(server, language, BEATS % label, config={"queue": queue}) as service:
        with worker(server, queue) as first:
            job = queued(server.as_admin("POST", service.path, {}))
            wait_for(lambda: len(notes(server, label)) >= 2, 60)
            os.kill(first.pid, signal.SIGSTOP)
            time.sleep(2 * LEASE)
            with worker(server, queue):
                # The other worker's run is under way when the first one comes back, its script waiting for an answer.
                wait_for(lambda: len(runs()) == 2, 60)
                before = notes(server, label)
                os.kill(first.pid, signal.SIGCONT)
                done = server.wait_for_job(job, seconds=60)
                wait_for(lambda: lost_leases(server) == counted + 1, 20)
        after = notes(server, label)

    lost, taken = runs()
    assert [beat for run, beat in after if run == taken] == list(range(13))
    assert [beat for run, beat in after if run == lost] == [beat for run, beat in before if run == lost]
    assert len([beat for run, beat in after if run == lost]) < 13
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["crashed", "done"]
