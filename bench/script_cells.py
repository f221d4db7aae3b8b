"""What scripts add to a call, and what the queue does in a second."""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.acceptance.server import Server, wait_for

from bench.load import drive, post
from bench.report import Cell
from reverie.sqlite_connection import driver

LIST = "/api/v2/bench/_table/item?order=id&limit=25&offset=100"
POST_PROCESS = "bench._table.item.get.post_process"
TOUCH = {
    "v8js": "event.response.content.resource[0].seen = true;",
    "nodejs": "event.response.content.resource[0].seen = true;",
    "python3": "event.response.content.resource[0].seen = True",
}


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Kept:
    """Requests one after the other on one connection, in milliseconds."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._headers = {"X-DreamFactory-API-Key": server.key}

    def milliseconds(self, path: str, *, method: str = "GET") -> float:
        began = time.perf_counter()
        self._connection.request(method, path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        took = (time.perf_counter() - began) * 1000
        if response.status not in (200, 202):
            raise SystemExit(f"{response.status}: {body[:300]!r}")
        return took


def added_by_scripts(server: Server, *, calls: int) -> list[Cell]:
    """A post_process script on the list of 25, in each engine: what it adds, against the same call without it."""
    kept = Kept(server)
    cells = []
    for language, content in TOUCH.items():
        plain, scripted = [], []
        for _ in range(4):
            _hang(server, language, content, active=False)
            plain += [kept.milliseconds(LIST) for _ in range(calls // 4)]
            _hang(server, language, content, active=True)
            kept.milliseconds(LIST)
            scripted += [kept.milliseconds(LIST) for _ in range(calls // 4)]
        server.as_admin("DELETE", f"/api/v2/system/event_script/{POST_PROCESS}")
        added = statistics.median(scripted) - statistics.median(plain)
        cells.append(
            Cell(
                f"post_process in {language}",
                f"+{added:.2f} ms p50, +{percentile(scripted, 99) - percentile(plain, 99):.2f} ms p99",
                f"without {statistics.median(plain):.2f} ms",
                note=f"{calls} calls each, turn about",
            )
        )
    return cells


def _hang(server: Server, language: str, content: str, *, active: bool) -> None:
    record = {"type": language, "content": content, "is_active": active, "allow_event_modification": True}
    answer = server.as_admin("POST", f"/api/v2/system/event_script/{POST_PROCESS}", record)
    if answer.status not in (200, 201):
        raise SystemExit(answer.body.decode())


def make_noop(server: Server) -> None:
    """A queued script service that does nothing, open to the key."""
    config = {"queued": True, "content": "", "config": {}}
    body = {"name": "noop", "type": "v8js", "is_active": True, "config": config}
    answer = server.as_admin("POST", "/api/v2/system/service", body)
    service = answer.json["resource"][0]["id"]
    role = server.as_admin("GET", "/api/v2/system/role?fields=id").json["resource"][0]["id"]
    access = {"service_id": service, "component": "*", "verb_mask": 31, "requestor_mask": 3}
    server.as_admin("PATCH", f"/api/v2/system/role/{role}", {"role_service_access_by_role_id": [access]})


def accepting(server: Server, *, seconds: float) -> Cell:
    """202 for a queued call, the job durable before it."""
    measured = drive(server.base, post("/api/v2/noop", server.key), seconds=seconds)
    note = f"p50 {measured.p50:.1f} ms, p99 {measured.p99:.1f} ms, 16 connections, errors {measured.errors}"
    return Cell("202 accepted", f"{measured.rate:,.0f} jobs/s", note=note)


def pick_up(server: Server, *, jobs: int) -> Cell:
    """From the commit of a job to the start of its script, on an idle queue."""
    kept = Kept(server)
    for _ in range(jobs):
        kept.milliseconds("/api/v2/noop", method="POST")
        time.sleep(0.05)
    wait_for(lambda: _waiting(server) == 0, 60)
    rows = _rows(
        server,
        "SELECT (a.started_at - j.created_at) * 1000 FROM job j JOIN job_attempt a ON a.job_id = j.id"
        f" WHERE j.name = 'service:noop' ORDER BY j.created_at DESC LIMIT {jobs}",
    )
    waits = [float(str(row[0])) for row in rows]
    note = f"p99 {percentile(waits, 99):.1f} ms, {jobs} jobs, one every 50 ms"
    return Cell("idle pick-up", f"p50 {statistics.median(waits):.1f} ms", aim="10 ms", note=note)


def burn_down(server: Server, *, jobs: int) -> list[Cell]:
    """Empty JavaScript jobs that wait, worked off by one worker: of `queue work`, and of `reverie up`.

    *server* runs no worker when this begins.
    """
    _queue_up(server, jobs)
    command = [sys.executable, "-m", "reverie", "queue", "work", "--stop-when-empty"]
    subprocess.run(command, env=server.environment, check=True, stdout=subprocess.DEVNULL, timeout=300)
    cells = [_burnt("queue work, one job at a time", server, jobs)]
    _queue_up(server, jobs)
    server.stop()
    server.environment["REVERIE_WORKERS"] = "1"
    server.start()
    wait_for(lambda: _waiting(server) == 0, 300)
    return [*cells, _burnt("the worker of reverie up", server, jobs)]


def _queue_up(server: Server, jobs: int) -> None:
    kept = Kept(server)
    for _ in range(jobs):
        kept.milliseconds("/api/v2/noop", method="POST")


def _burnt(who: str, server: Server, jobs: int) -> Cell:
    rows = _rows(
        server,
        "SELECT max(finished_at) - min(finished_at) FROM (SELECT finished_at FROM job WHERE status = 'done'"
        f" ORDER BY created_at DESC LIMIT {jobs})",
    )
    return Cell(f"empty v8js jobs, {who}", f"{jobs / float(str(rows[0][0])):,.0f} jobs/s", aim="1,000")


def _waiting(server: Server) -> int:
    return int(str(_rows(server, "SELECT count(*) FROM job WHERE status IN ('waiting', 'running')")[0][0]))


def _rows(server: Server, sql: str) -> list[tuple[object, ...]]:
    db = driver.connect(f"{(server.data / 'reverie.sqlite').as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        rows: list[tuple[object, ...]] = db.execute(sql).fetchall()
        return rows
    finally:
        db.close()
