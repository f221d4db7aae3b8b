"""The published example of a queued script, byte for byte, with a Redis as it asks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.server import Answer, Server, running, wait_for
from tests.acceptance.test_seed import CREATE_TODO, SEED, create, names_in_todo, seed_with
from tests.redis_server import RedisServer, needs, redis_server, until_heard

CHANNEL = "reverie:{redis}:0"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def server(tmp_path: Path, broker: RedisServer) -> Iterator[Server]:
    """With the connection, and no worker of its own."""
    with running(tmp_path / "data", REVERIE_WORKERS="0", REVERIE_QUEUE_REDIS_URL=broker.url) as started:
        assert started.as_admin("POST", "/api/v2/db/_schema", CREATE_TODO).status == 200
        yield started


@pytest.fixture
def serving(tmp_path: Path, broker: RedisServer) -> Iterator[Server]:
    """With the connection, and a worker."""
    with running(tmp_path / "data", REVERIE_QUEUE_REDIS_URL=broker.url) as started:
        assert started.as_admin("POST", "/api/v2/db/_schema", CREATE_TODO).status == 200
        yield started


def call(server: Server, name: str) -> Answer:
    answer = server.as_admin("GET", f"/api/v2/{name}")
    assert answer.status == 202, answer.body
    assert answer.body == b'{"success":true}'
    return answer


def listen(server: Server, *, later: int) -> subprocess.Popen[bytes]:
    """``queue:listen redis --queue=slow_queue``, whose clock is so many seconds ahead."""
    ahead = [needs("faketime"), "-m", "-f", f"+{later}s"] if later else []
    return subprocess.Popen(
        [*ahead, sys.executable, "-m", "reverie", "queue:listen", "redis", "--queue=slow_queue", "--sleep=1"],
        env=server.environment | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM to the whole group: ``faketime`` passes nothing on."""
    os.killpg(process.pid, signal.SIGTERM)
    return process.wait(30)


def test_it_waits_300_seconds_on_redis_and_then_runs(server: Server, broker: RedisServer) -> None:
    create(server, SEED)
    began = time.monotonic()
    answer = call(server, "queued_script")
    assert time.monotonic() - began < 1

    job = server.job(answer.headers["x-reverie-job"])
    assert (job["connection"], job["queue"], job["status"]) == ("redis", "slow_queue", "delayed")
    waits = datetime.fromisoformat(job["due_at"]) - datetime.fromisoformat(job["created_at"])
    assert waits.total_seconds() == pytest.approx(300, abs=2)
    assert server.as_admin("GET", "/api/v2/system/job?connection=database").json["resource"] == []

    listener = listen(server, later=0)
    until_heard(broker, CHANNEL)
    time.sleep(1)
    assert end(listener) == 0
    assert names_in_todo(server) == []

    listener = listen(server, later=301)
    try:
        wait_for(lambda: names_in_todo(server) == ["queue_test"], 30, lambda: str(server.job(job["id"])))
        server.wait_for_job(job["id"])
    finally:
        end(listener)
    assert names_in_todo(server) == ["queue_test"]


def test_a_flushed_redis_loses_no_job(server: Server, broker: RedisServer) -> None:
    create(server, SEED)
    jobs = [call(server, "queued_script").headers["x-reverie-job"] for _ in range(5)]
    assert broker.cli("FLUSHALL") == "OK"

    listener = listen(server, later=301)
    try:
        for job in jobs:
            server.wait_for_job(job)
    finally:
        end(listener)
    assert names_in_todo(server) == ["queue_test"] * 5


def test_while_redis_is_away_calls_are_accepted_and_run(serving: Server, broker: RedisServer) -> None:
    server = serving
    create(server, seed_with("at_once", config={"connection": "redis"}))
    server.wait_for_job(call(server, "at_once").headers["x-reverie-job"])
    broker.kill()

    took = []
    for _ in range(10):
        began = time.monotonic()
        job = call(server, "at_once").headers["x-reverie-job"]
        took.append(time.monotonic() - began)
        server.wait_for_job(job, seconds=10)
    assert max(took) < 2

    log = server.output()
    assert log.count("queue.not_told") == 1
    assert "connection=redis" in log
    broker.start()
    until_heard(broker, CHANNEL)
    server.wait_for_job(call(server, "at_once").headers["x-reverie-job"])
    assert len(names_in_todo(server)) == 12


def test_a_redis_that_hangs_keeps_no_call_waiting(serving: Server, broker: RedisServer) -> None:
    server = serving
    create(server, seed_with("at_once", config={"connection": "redis"}))
    server.wait_for_job(call(server, "at_once").headers["x-reverie-job"])
    broker.pause()
    try:
        for _ in range(3):
            began = time.monotonic()
            job = call(server, "at_once").headers["x-reverie-job"]
            assert time.monotonic() - began < 1.5
            server.wait_for_job(job, seconds=10)
    finally:
        broker.resume()


@pytest.mark.parametrize("connection", ["sync", "null"])
def test_the_connections_that_keep_nothing_need_no_redis(serving: Server, connection: str) -> None:
    create(serving, seed_with("elsewhere", config={"connection": connection}))

    answer = call(serving, "elsewhere")

    assert ("location" in answer.headers) is (connection == "sync")
    assert names_in_todo(serving) == (["queue_test"] if connection == "sync" else [])
