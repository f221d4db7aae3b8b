"""The secret key changes while jobs wait, and goes when nothing needs it any more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import JSON, make_tables, note, notes, queued, script_service, work
from tests.acceptance.server import Server, running, wait_for

JOBS = 60
OLD = "the secret key of last year, which is long"
NEW = "the secret key of this year, which is long"


def keys(server: Server, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reverie", "keys", *arguments],
        env=server.environment | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def rows(server: Server) -> list[JSON]:
    shown = keys(server, "show", "--json")
    assert shown.returncode == 0, shown.stderr
    found: list[JSON] = json.loads(shown.stdout)
    return found


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Server]:
    """Nobody works yet."""
    with running(tmp_path / "data", REVERIE_WORKERS="0") as server:
        make_tables(server)
        yield server


def lookup(server: Server, name: str, value: str) -> None:
    body = {"resource": [{"name": name, "value": value, "private": True}]}
    answer = server.as_admin("POST", "/api/v2/system/lookup", body)
    assert answer.status == 201, answer.body


def test_every_waiting_job_is_read_after_the_key_was_changed_and_the_old_one_goes_when_they_are_done(
    waiting: Server,
) -> None:
    server = waiting
    lookup(server, "shade", "blue")
    seen = "'{shade}'"
    with script_service(server, "python3", note("python3", "seen", seen), config={"queue": "q"}) as service:
        jobs = [queued(server.as_admin("POST", service.path, {"n": number})) for number in range(JOBS)]
        [before] = rows(server)
        assert (before["state"], before["jobs_to_do"], before["lookups"]) == ("in use", JOBS, 1)

        rotated = keys(server, "rotate")
        assert rotated.returncode == 0, rotated.stderr
        assert "1 secrets of settings, lookups and kept events were sealed anew" in rotated.stdout
        current, old = rows(server)
        assert (current["state"], current["lookups"], old["state"], old["jobs_to_do"]) == ("in use", 1, "old", JOBS)
        assert old["key"] == before["key"]
        # The API, which runs on, seals under the new key and reads what was sealed before and since.
        jobs.append(queued(server.as_admin("POST", service.path, {"n": JOBS})))
        wait_for(lambda: rows(server)[0]["jobs_to_do"] >= 1, 10)
        assert server.job(jobs[0])["request"]["payload"] == {"n": 0}
        refused = keys(server, "drop", old["key"])
        assert refused.returncode == 1
        assert f"{JOBS} jobs that have not ended" in refused.stderr

        work(server, "q")
        assert {server.job(job)["status"] for job in jobs} == {"done"}
        assert notes(server, "seen") == ["blue"] * (JOBS + 1)
        refused = keys(server, "drop", old["key"])
        assert "--ended" in refused.stderr
        dropped = keys(server, "drop", old["key"], "--ended")
        assert (dropped.returncode, dropped.stderr) == (0, "")
        assert rows(server)[0]["state"] == "in use"
        assert rows(server)[-1]["state"] == "not known here"
        job = queued(server.as_admin("POST", service.path, {}))
        work(server, "q")
        assert server.job(job)["status"] == "done"


def test_the_key_in_use_and_one_that_is_not_there_cannot_be_dropped(waiting: Server) -> None:
    [current] = rows(waiting)

    for key, said in ((current["key"], "is the key in use"), ("12345678", "There is no key 12345678")):
        refused = keys(waiting, "drop", key)
        assert refused.returncode == 1
        assert said in refused.stderr


def test_sessions_outlive_a_change_of_key(waiting: Server) -> None:
    assert keys(waiting, "rotate").returncode == 0

    assert waiting.as_admin("GET", "/api/v2/system/user").status == 200


def test_a_job_whose_key_is_lost_fails_at_its_first_run_and_the_others_go_on(waiting: Server) -> None:
    server = waiting
    with script_service(server, "python3", "1", config={"queue": "q"}) as service:
        lost = queued(server.as_admin("POST", service.path, {}))
        (server.data / "secret.key").write_text(NEW + "\n")
        server.stop()
        server.start()
        server.log_in()
        good = queued(server.as_admin("POST", service.path, {}))

        worked = work(server, "q", "--tries=3")

        assert worked.code == 0
        assert worked.of(lost)[-1][0] == "failed"
        found = server.job(lost)
        assert (found["attempt_count"], found["crashes"]) == (0, 0)
        assert found["error"]["type"] == "PayloadUnreadable"
        assert "sealed under another secret key" in found["error"]["message"]
        assert server.job(good)["status"] == "done"


def test_a_key_from_the_settings_is_changed_there_and_the_old_one_beside_it_opens_what_it_sealed(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data", REVERIE_WORKERS="0", REVERIE_SECRET_KEY=OLD) as server:
        lookup(server, "shade", "blue")
        with script_service(server, "python3", "raise ValueError('{shade}')", config={"queue": "q"}) as service:
            job = queued(server.as_admin("POST", service.path, {}))
            told = keys(server, "rotate")
            assert told.returncode == 1
            assert "REVERIE_SECRET_KEY_OLD = the present one" in told.stdout

            server.stop()
            server.environment |= {"REVERIE_SECRET_KEY": NEW, "REVERIE_SECRET_KEY_OLD": OLD}
            server.start()
            assert "1 secrets" in keys(server, "reseal").stdout
            work(server, "q", "--tries=1")
            assert server.job(job)["error"]["message"].endswith("blue")

            [old] = [row["key"] for row in rows(server) if row["state"] == "old"]
            dropped = keys(server, "drop", old, "--ended")
            assert dropped.returncode == 0, dropped.stderr
            assert "take it out of REVERIE_SECRET_KEY_OLD" in dropped.stdout
