"""The published example of a queued script, byte for byte."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.server import Server, wait_for

HERE = Path(__file__).parent
SEED = (HERE / "queued_script.json").read_bytes()
HELP = (HERE / "queue_listen_help.txt").read_text("utf-8")
CREATE_TODO = {
    "resource": [
        {
            "name": "todo",
            "field": [{"name": "id", "type": "id"}, {"name": "name", "type": "string", "allow_null": True}],
        }
    ]
}


@pytest.fixture(scope="module")
def todo(server: Server) -> None:
    answer = server.as_admin("POST", "/api/v2/db/_schema", CREATE_TODO)
    assert answer.status == 200, answer.body


def create(server: Server, service: object) -> int:
    body = service if isinstance(service, bytes) else json.dumps(service).encode()
    answer = server.as_admin("POST", "/api/v2/system/service", body)
    assert answer.status == 201, answer.body
    found = answer.json["resource"][0]["id"]
    assert isinstance(found, int)
    return found


def delete(server: Server, service_id: int) -> None:
    assert server.as_admin("DELETE", f"/api/v2/system/service/{service_id}").status == 200


def names_in_todo(server: Server) -> list[str]:
    answer = server.as_admin("GET", "/api/v2/db/_table/todo?fields=name&order=id")
    return [row["name"] for row in answer.json["resource"]]


def seed_with(name: str, **config: object) -> dict[str, object]:
    service: dict[str, object] = json.loads(SEED)
    inner = service["config"]
    assert isinstance(inner, dict)
    inner.pop("config")
    return {**service, "name": name, "config": {**inner, **config}}


def test_the_seed_is_created_and_read_back_equal(server: Server, todo: None) -> None:
    service_id = create(server, SEED)
    try:
        stored = server.as_admin("GET", f"/api/v2/system/service/{service_id}").json

        assert stored["config"]["queued"] is True
        assert stored["config"]["config"] == {"connection": "redis", "queue": "slow_queue", "delay": 300}
        assert isinstance(stored["config"]["config"]["delay"], int)
        seed = json.loads(SEED)
        assert {key: stored[key] for key in seed if key != "config"} == {k: v for k, v in seed.items() if k != "config"}
        assert stored["config"]["content"] == seed["config"]["content"]
    finally:
        delete(server, service_id)


def test_the_seed_wrapped_in_resource_is_created_too(server: Server) -> None:
    delete(server, create(server, {"resource": [json.loads(SEED)]}))


def test_calling_the_seed_without_that_connection_names_it(server: Server, todo: None) -> None:
    service_id = create(server, SEED)
    try:
        answer = server.as_admin("GET", "/api/v2/queued_script")

        assert answer.status == 500
        assert "redis" in answer.json["error"]["message"]
    finally:
        delete(server, service_id)


def test_without_the_inner_config_it_runs_at_once(server: Server, todo: None) -> None:
    before = len(names_in_todo(server))
    service_id = create(server, seed_with("queued_now"))
    try:
        answer = server.as_admin("POST", "/api/v2/queued_now")

        assert answer.status == 202
        assert answer.body == b'{"success":true}'
        job_id = answer.headers["x-reverie-job"]
        assert answer.headers["location"] == f"/api/v2/system/job/{job_id}"
        wait_for(lambda: len(names_in_todo(server)) > before, 5.0, lambda: str(server.job(job_id)))
        assert names_in_todo(server)[-1] == "queue_test"
        server.wait_for_job(job_id)
    finally:
        delete(server, service_id)


def test_a_queue_of_its_own_is_served_too(server: Server, todo: None) -> None:
    before = len(names_in_todo(server))
    service_id = create(server, seed_with("queued_slow", config={"queue": "slow_queue"}))
    try:
        answer = server.as_admin("GET", "/api/v2/queued_slow")

        assert answer.status == 202
        job = server.wait_for_job(answer.headers["x-reverie-job"])
        assert job["queue"] == "slow_queue"
        assert len(names_in_todo(server)) == before + 1
    finally:
        delete(server, service_id)


def test_a_delay_is_kept_and_the_job_waits(server: Server) -> None:
    service_id = create(server, seed_with("queued_later", config={"queue": "slow_queue", "delay": 300}))
    try:
        answer = server.as_admin("GET", "/api/v2/queued_later")

        job = server.job(answer.headers["x-reverie-job"])
        assert job["status"] == "delayed"
        assert job["queue"] == "slow_queue"
        waits = datetime.fromisoformat(job["due_at"]) - datetime.fromisoformat(job["created_at"])
        assert waits.total_seconds() == pytest.approx(300, abs=2)
    finally:
        delete(server, service_id)


@pytest.mark.parametrize("spelling", [["queue:listen"], ["queue", "listen"]])
def test_the_help_of_listen_shows_the_options_and_defaults(spelling: list[str]) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "reverie", *spelling, "--help"], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    assert "connection" in shown
    for option, default in re.findall(r"(--\w+)\[?=?\w*\]?\s.*?(?:\[default: (\d+)\])?$", HELP, re.MULTILINE):
        line = re.search(rf"{option}\b.*?(?=\n  -|\Z)", shown, re.DOTALL)
        assert line is not None, option
        if default:
            assert re.search(rf"default: {default}\b", line[0]), line[0]
