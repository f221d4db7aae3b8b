"""What a script may use, as its author and its callers meet it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Answer, Server, running

SCRIPTS = "/api/v2/system/service"


def make(server: Server, name: str, content: str, config: dict[str, object], kind: str = "v8js") -> Answer:
    service = {
        "name": name,
        "type": kind,
        "is_active": True,
        "config": {"content": content, "config": config},
    }
    return server.as_admin("POST", SCRIPTS, {"resource": [service]})


def test_a_script_keeps_the_limits_of_its_own_config(server: Server) -> None:
    assert make(server, "spins", "for (;;) {}", {"limits": {"wall": 0.3}}).status == 201
    calls = "for (var i = 0; i < 9; i++) { platform.api.get('system/environment'); }"
    assert make(server, "asks", calls, {"limits": {"calls": 3}}).status == 201
    out = f"return platform.api.get('{server.base}/ready').content;"
    assert make(server, "outside", out, {"limits": {"hosts": ["api.example.test"]}}).status == 201

    spun = server.as_admin("GET", "/api/v2/spins")
    asked = server.as_admin("GET", "/api/v2/asks")
    went = server.as_admin("GET", "/api/v2/outside")

    assert (spun.status, spun.json["error"]["message"]) == (500, "The script ran longer than 0.3 seconds.")
    assert (asked.status, asked.json["error"]["message"]) == (500, "The script made more than 3 calls.")
    assert "may not call '127.0.0.1'" in went.body.decode()


def test_limits_that_cannot_be_kept_are_refused_when_they_are_saved(server: Server) -> None:
    script = {"type": "v8js", "content": "", "is_active": True}
    path = "/api/v2/system/event_script/db._table.tag.delete.pre_process"

    wrong = make(server, "wrong", "", {"limits": {"wall": -1}})
    unknown = server.as_admin("POST", path, {**script, "config": '{"isolation": "none"}'})

    assert wrong.status == unknown.status == 400
    assert "limits" in wrong.body.decode()
    assert "instance, service, script, run" in unknown.json["error"]["message"]


def test_administrators_see_what_holds_scripts(server: Server) -> None:
    runtime = server.as_admin("GET", "/api/v2/system/environment").json["runtime"]

    assert (runtime["isolation"], runtime["egress"], runtime["sockets"]) == ("instance", "any", "closed")
    assert runtime["limits"]["memory"] == 256
    assert runtime["engines"]["v8js"]["tier"] == "permissions"
    python = runtime["engines"]["python3"]
    assert (python["tier"], python["missing"], python["sockets"]) == ("process", "", "none")


@pytest.fixture
def impatient(data: Path) -> Iterator[Server]:
    with running(data, REVERIE_SCRIPT_WAIT="0.3", REVERIE_WORKERS="0", REVERIE_SCRIPT_EGRESS="none") as started:
        yield started


def test_a_call_that_finds_no_place_for_its_script_is_told_when_to_come_back(impatient: Server) -> None:
    make(impatient, "slow", "for (;;) {}", {"limits": {"wall": 3}})
    make(impatient, "quick", "return 1;", {})
    answers: list[Answer] = []

    def call() -> None:
        answers.append(impatient.as_admin("GET", "/api/v2/slow"))

    clients = [threading.Thread(target=call) for _ in range(8)]
    for client in clients:
        client.start()
    quick = impatient.as_admin("GET", "/api/v2/quick")
    for client in clients:
        client.join()

    assert quick.status == 200
    refused = [answer for answer in answers if answer.status == http.client.SERVICE_UNAVAILABLE]
    assert len(refused) == 4
    assert all(answer.headers["retry-after"].isdigit() for answer in refused)
    assert "places for scripts" in refused[0].body.decode()
