"""A change of settings is in force in the next answer, however busy the URL is."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.server import Server, running

URL = "/api/v2/db/_table/tag?order=id&limit=25"
SCRIPT = "/api/v2/system/event_script/db._table.tag.get.post_process"
CLIENTS = 8


@contextmanager
def load(server: Server) -> Iterator[list[int]]:
    """Keeps the URL busy; yields a list that grows by a status for every answer."""
    stop = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while not stop.is_set():
            connection.request("GET", URL, headers={"X-DreamFactory-API-Key": server.key})
            response = connection.getresponse()
            response.read()
            answers.append(response.status)
        connection.close()

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        stop.set()
        for client in clients:
            client.join()


def labels(server: Server) -> list[str]:
    return [row["label"] for row in server.as_key("GET", URL).json["resource"]]


def test_a_new_script_and_a_new_row_filter_are_in_force_in_the_next_answer(data: Path) -> None:
    with running(data) as server:
        role = server.as_admin("GET", "/api/v2/system/role?related=role_service_access_by_role_id").json["resource"][0]
        access = role["role_service_access_by_role_id"][0]
        with load(server) as answers:
            for _ in range(5):
                assert labels(server) == ["organic", "gift", "new"]

                script = "event.response.content.resource.forEach(function (row) { row.label += '!'; });"
                record = {"type": "v8js", "content": script, "is_active": True, "allow_event_modification": True}
                assert server.as_admin("POST", SCRIPT, record).status in (200, 201)
                assert labels(server) == ["organic!", "gift!", "new!"]

                only_gift = [{"name": "label", "operator": "=", "value": "gift"}]
                change = {"role_service_access_by_role_id": [{"id": access["id"], "filters": only_gift}]}
                assert server.as_admin("PATCH", f"/api/v2/system/role/{role['id']}", change).status == 200
                assert labels(server) == ["gift!"]

                change["role_service_access_by_role_id"][0]["filters"] = []
                assert server.as_admin("PATCH", f"/api/v2/system/role/{role['id']}", change).status == 200
                assert server.as_admin("DELETE", SCRIPT).status == 200

        assert len(answers) > 50
        assert set(answers) == {200}
