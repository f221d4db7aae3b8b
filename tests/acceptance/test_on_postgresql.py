"""`reverie up` with its store on a real PostgreSQL: the story of the README, two hosts, and a server that restarts."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import ADMIN, Server, running, wait_for
from tests.acceptance.test_kills import queued_service
from tests.postgres import PostgresServer, database_url, postgres_server, shared_server

NOTE = "platform.api.post('db/_table/category', {name: event.request.payload.name});"


@pytest.fixture
def url() -> Iterator[str]:
    with database_url(migrated=False) as made:
        yield made


def accepted(server: Server, name: str, body: dict[str, str]) -> str:
    """Call a queued service; the id of its job."""
    answer = server.as_admin("POST", f"/api/v2/{name}", body)
    assert answer.status == 202, answer.body
    return answer.headers["location"].rpartition("/")[2]


def categories(server: Server, name: str) -> int:
    answer = server.as_key("GET", f"/api/v2/db/_table/category?filter=name='{name}'&include_count=true")
    assert answer.status == 200, answer.body
    return int(answer.json["meta"]["count"])


def test_the_story_of_the_readme_on_postgresql(data: Path, url: str) -> None:
    with running(data, REVERIE_DATABASE_URL=url) as server:
        assert server.as_key("GET", "/api/v2/db/_table/category?limit=1").json["resource"]
        queued_service(server, "noter", NOTE, language="v8js")

        job = accepted(server, "noter", {"name": "from a job"})

        server.wait_for_job(job)
        assert categories(server, "from a job") == 1
        assert server.call("GET", "/ready").json["store"] == "postgresql"
        assert not (data / "reverie.sqlite").exists()
        database = url.rpartition("/")[2].partition("?")[0]
        [row] = shared_server().ask("SELECT status, attempts FROM job", database=database)
        assert tuple(row) == ("done", 1)


def test_a_second_start_finds_everything_as_it_was(data: Path, url: str) -> None:
    with running(data, REVERIE_DATABASE_URL=url) as server:
        queued_service(server, "noter", NOTE, language="v8js")
        assert server.stop() == 0

    with running(data, REVERIE_DATABASE_URL=url) as again:
        job = accepted(again, "noter", {"name": "after the restart"})
        again.wait_for_job(job)

        assert categories(again, "after the restart") == 1


def test_two_hosts_share_one_store(tmp_path: Path, url: str) -> None:
    shared = {"REVERIE_DATABASE_URL": url, "REVERIE_SECRET_KEY": secrets.token_urlsafe(32)}
    with (
        running(tmp_path / "one", REVERIE_WORKERS="0", **shared) as one,
        running(tmp_path / "two", **shared) as two,
    ):
        two.log_in()
        queued_service(one, "noter", NOTE, language="v8js")
        # What one host changes, the other knows by a notification, and at the latest after a quarter of a second.
        time.sleep(0.25)
        accepted(two, "noter", {"name": "warm"})
        wait_for(lambda: categories(one, "warm") == 1, 30)

        began = time.monotonic()
        job = accepted(one, "noter", {"name": "from the other host"})
        one.wait_for_job(job, seconds=10)

        # Woken: the worker's own look comes only every three seconds.
        assert time.monotonic() - began < 2
        assert categories(one, "from the other host") == 1


def test_a_restart_of_the_server_loses_no_job_and_ends_no_process(tmp_path: Path) -> None:
    with postgres_server() as postgres:
        url = postgres.url(postgres.new_database(migrated=False))
        with running(tmp_path / "data", REVERIE_DATABASE_URL=url) as server:
            queued_service(server, "noter", NOTE, language="v8js")
            told = threading.Event()
            jobs: list[str] = []
            refusals: list[tuple[int, str | None, float]] = []

            def push() -> None:
                number = 0
                while not told.is_set():
                    number += 1
                    began = time.monotonic()
                    answer = server.as_admin("POST", "/api/v2/noter", {"name": f"n{number}"})
                    if answer.status == 202:
                        jobs.append(answer.headers["location"].rpartition("/")[2])
                    else:
                        refusals.append((answer.status, answer.headers.get("retry-after"), time.monotonic() - began))
                    time.sleep(0.02)

            pusher = threading.Thread(target=push)
            pusher.start()
            time.sleep(1)
            _restart(postgres)
            before = len(jobs)
            wait_for(lambda: len(jobs) > before + 10, 20)
            told.set()
            pusher.join()

            for job in jobs:
                server.wait_for_job(job)
            assert refusals
            assert {status for status, _, _ in refusals} == {503}
            assert all(retry for _, retry, _ in refusals)
            assert max(seconds for _, _, seconds in refusals) < 4  # 2 on a machine that has nothing else to do
            assert server.process is not None
            assert server.process.poll() is None


def _restart(postgres: PostgresServer) -> None:
    postgres.stop()
    time.sleep(2)
    postgres.start()


def test_a_store_that_is_away_is_told_in_one_line(data: Path, url: str) -> None:
    environment = {
        "REVERIE_DATA_DIR": str(data),
        "REVERIE_DATABASE_URL": "postgresql://somebody:hidden@127.0.0.1:9/store",
        "REVERIE_ADMIN_EMAIL": ADMIN[0],
        "REVERIE_ADMIN_PASSWORD": ADMIN[1],
        "PATH": "",
    }

    done = subprocess.run(
        [sys.executable, "-m", "reverie", "migrate"], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert "postgresql://127.0.0.1:9/store: the platform's store cannot be reached there" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr + done.stdout
