"""/metrics of a real instance: who may read it, and what it says of work in other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import person, queued, script_service, throw, unique
from tests.acceptance.server import Server, running, wait_for
from tests.unit.web.test_metrics import Samples, samples

TOKEN = "a-token-of-the-scraper"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("metrics") / "data", REVERIE_METRICS_TOKEN=TOKEN) as started:
        yield started


def scrape(server: Server) -> Samples:
    answer = server.as_admin("GET", "/metrics")
    assert answer.status == 200, answer.body
    return samples(answer.body)


def value(server: Server, name: str, **labels: str) -> float:
    return scrape(server).get((f"reverie_{name}", frozenset(labels.items())), 0.0)


def test_administrators_and_the_bearer_of_the_token_read_the_metrics_and_nobody_else(measured: Server) -> None:
    with person(measured) as someone:
        assert measured.as_admin("GET", "/metrics").status == 200
        assert measured.call("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200

        refused = {
            "nobody": measured.call("GET", "/metrics"),
            "a wrong token": measured.call("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}),
            "a user without that access": someone.ask("GET", "/metrics"),
            "a key without that access": measured.as_key("GET", "/metrics"),
        }

    statuses = {who: answer.status for who, answer in refused.items()}
    assert statuses == {
        "nobody": 401,
        "a wrong token": 401,
        "a user without that access": 403,
        "a key without that access": 401,
    }
    assert "REVERIE_METRICS_TOKEN" in refused["nobody"].json["error"]["message"]
    assert all(b"reverie_" not in answer.body for answer in refused.values())


def test_where_they_are_open_programs_of_this_machine_read_them_and_a_proxys_clients_do_not(tmp_path: Path) -> None:
    with running(tmp_path / "data", REVERIE_METRICS="open") as server:
        assert server.call("GET", "/metrics").status == 200
        assert server.call("GET", "/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status == 401


def test_calls_of_this_process_and_runs_of_the_workers_are_counted(measured: Server) -> None:
    with (
        script_service(measured, "python3", "1") as fine,
        script_service(measured, "python3", throw("python3", "no"), config={"queue": unique("q")}) as broken,
    ):
        before = value(measured, "queue_attempts_total", outcome="done")
        for _ in range(3):
            measured.wait_for_job(queued(measured.as_admin("POST", fine.path, {})))
        queued(measured.as_admin("POST", broken.path, {}))

        run = {"script": f"service:{fine.name}"}
        wait_for(lambda: value(measured, "queue_run_seconds_count", **run) == 3, 20)
        wait_for(lambda: value(measured, "queue_attempts_total", outcome="retried") >= 1, 20)
        found = scrape(measured)

    assert value(measured, "queue_attempts_total", outcome="done") == before + 3
    assert value(measured, "request_seconds_count", service=fine.name, verb="POST", status="2xx") == 3
    assert value(measured, "queue_depth", connection="database", queue="default", state="done") >= 3
    assert value(measured, "queue_wait_seconds_count") >= 4
    assert value(measured, "queue_claim_seconds_count") >= 1
    [worker] = [dict(labels)["worker"] for name, labels in found if name == "reverie_worker_up"]
    assert value(measured, "worker_last_turn_seconds", worker=worker) < 30


def test_what_a_worker_counted_is_there_after_it_was_killed(measured: Server) -> None:
    with script_service(measured, "python3", "1") as service:
        measured.wait_for_job(queued(measured.as_admin("POST", service.path, {})))
        run = {"script": f"service:{service.name}"}
        wait_for(lambda: value(measured, "queue_run_seconds_count", **run) == 1, 20)
        [entry] = [line for line in measured.output().splitlines() if "worker.started" in line][-1:]
        name = entry.partition("worker=")[2].split()[0]

        os.kill(int(name.split("-")[-2]), signal.SIGKILL)

        def replaced() -> bool:
            workers = [dict(labels)["worker"] for key, labels in scrape(measured) if key == "reverie_worker_up"]
            return bool(workers) and name not in workers

        wait_for(replaced, 30, measured.output)
        assert value(measured, "queue_run_seconds_count", **run) == 1
        measured.wait_for_job(queued(measured.as_admin("POST", service.path, {})))
        wait_for(lambda: value(measured, "queue_run_seconds_count", **run) == 2, 20)


def test_a_run_whose_process_was_killed_is_counted_as_a_crash(measured: Server) -> None:
    before = value(measured, "queue_crashes_total", cause="signal_9")
    script = "import os, signal\nif platform.store.get('once') is None:\n    platform.store.set('once', 1)\n"
    with script_service(measured, "python3", script + "    os.kill(os.getpid(), signal.SIGKILL)") as service:
        measured.wait_for_job(queued(measured.as_admin("POST", service.path, {})))
        wait_for(lambda: value(measured, "queue_crashes_total", cause="signal_9") == before + 1, 20)


def test_many_scrapes_at_once_look_at_the_queue_once(measured: Server) -> None:
    began = time.monotonic()
    texts = {measured.as_admin("GET", "/metrics").body.partition(b"reverie_queue_depth")[2] for _ in range(20)}
    assert len(texts) <= 2 + (time.monotonic() - began)
