"""64 clients read and write one SQLite file, and beside them a worker whose scripts write it too."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server, running, wait_for
from tests.acceptance.test_kills import queued_service

FULL = os.environ.get("REVERIE_TEST_PROFILE") == "full"
CLIENTS = 64
SECONDS = 60.0 if FULL else 3.0
CATEGORIES = "/api/v2/db/_table/category"
NOTE = "platform.api.post('db/_table/tag', {label: event.request.payload.label});"


@dataclass
class Client:
    """One that writes rows of its own, changes them, and looks whether they are as it left them."""

    server: Server
    number: int
    until: float
    took: list[float] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    left: dict[int, tuple[str, str]] = field(default_factory=dict)
    queued: list[str] = field(default_factory=list)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            turn = 0
            while time.monotonic() < self.until:
                turn += 1
                self._turn(connection, turn)
        except Exception as error:  # a thread's failure is the test's
            self.mistakes.append(repr(error))
        finally:
            connection.close()

    def _turn(self, connection: http.client.HTTPConnection, turn: int) -> None:
        name = f"c{self.number}-{turn}"
        made = self._ask(connection, "POST", CATEGORIES, {"resource": [{"name": name, "description": "new"}]})
        row = made["resource"][0]["id"]
        self.left[row] = (name, "new")
        for text in ("first", "second"):
            self._ask(connection, "PATCH", f"{CATEGORIES}/{row}", {"description": text})
            self.left[row] = (name, text)
            seen = self._ask(connection, "GET", f"{CATEGORIES}/{row}")
            if seen != {"id": row, "name": name, "description": text}:
                self.mistakes.append(f"left {text}, found {seen}")
        found = self._ask(connection, "GET", f"{CATEGORIES}?filter=name%3D%27{name}%27&fields=id")
        if found != {"resource": [{"id": row}]}:
            self.mistakes.append(f"{name} is not found: {found}")
        if turn % 5 == 1:
            label = f"q{self.number}-{turn}"
            self._ask(connection, "POST", "/api/v2/noter", {"label": label}, status=202)
            self.queued.append(label)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: object = None, *, status: int = 200
    ) -> Any:
        headers = {"X-DreamFactory-Session-Token": self.server.admin, "Content-Type": "application/json"}
        began = time.monotonic()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        self.took.append(time.monotonic() - began)
        if response.status != status:
            raise AssertionError(f"{method} {path}: {response.status} {text[:300]!r}")
        return json.loads(text)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data") as started:
        queued_service(started, "noter", NOTE, language="v8js")
        yield started


def rows_of(server: Server, table: str) -> list[dict[str, Any]]:
    """All of them, page by page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = server.as_admin("GET", f"/api/v2/db/_table/{table}?order=id&limit=1000&offset={len(rows)}")
        assert page.status == 200, page.body
        if not page.json["resource"]:
            return rows
        rows += page.json["resource"]


def test_nothing_is_lost_when_many_write_one_file(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + SECONDS
    clients = [Client(server, number, until) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = sorted(label for client in clients for label in client.queued)

    def noted() -> list[str]:
        return sorted(str(row["label"]) for row in rows_of(server, "tag") if str(row["label"]).startswith("q"))

    wait_for(lambda: len(noted()) >= len(labels), 60 + SECONDS, lambda: f"{len(noted())} of {len(labels)} notes")
    took = sorted(one for client in clients for one in client.took)
    with capsys.disabled():
        p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
        print(f"\n{CLIENTS} clients, {SECONDS:.0f} s: {len(took)} calls, {len(took) / SECONDS:.0f} a second,", end=" ")
        print(f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {len(labels)} jobs; load {os.getloadavg()[0]:.1f}")

    assert [mistake for client in clients for mistake in client.mistakes] == []
    assert noted() == labels
    left = {row: values for client in clients for row, values in client.left.items()}
    stored = {row["id"]: (row["name"], row["description"]) for row in rows_of(server, "category")}
    assert {row: stored.get(row) for row in left} == left
    assert "database is locked" not in server.output()
