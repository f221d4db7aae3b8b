"""Nothing is decided from what somebody remembers: what was saved a moment ago is there for everybody."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections import Counter
from pathlib import Path

from tests.acceptance.server import Server, running, wait_for

TIMES = 1000


class Client:
    """An administrator on one connection that stays open."""

    def __init__(self, server: Server) -> None:
        self._headers = {"X-DreamFactory-Session-Token": server.admin, "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def post(self, path: str, body: object) -> http.client.HTTPResponse:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        response.read()
        return response

    def close(self) -> None:
        self._connection.close()


def statuses(server: Server) -> Counter[str]:
    """How many jobs are in which state."""
    count: Counter[str] = Counter()
    while page := server.as_admin("GET", f"/api/v2/system/job?fields=status&offset={count.total()}").json["resource"]:
        count.update(job["status"] for job in page)
    return count


def test_a_service_called_queued_the_moment_it_was_saved_is_never_missed(data: Path) -> None:
    with running(data) as server, contextlib.closing(Client(server)) as client:
        for number in range(TIMES):
            name = f"fresh_{number}"
            config = {"queued": True, "content": f"return {number};"}
            saved = client.post(
                "/api/v2/system/service", {"name": name, "type": "v8js", "is_active": True, "config": config}
            )
            called = client.post(f"/api/v2/{name}", {})
            assert (saved.status, called.status) == (201, 202), name

        wait_for(lambda: statuses(server)["done"] == TIMES, 60, lambda: str(statuses(server)), pause=0.2)
        assert statuses(server) == {"done": TIMES}
