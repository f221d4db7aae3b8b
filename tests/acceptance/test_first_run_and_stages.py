"""A first run with nothing configured, the stages of a call, and the worker that takes up what was queued."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.event_scenes import ERRAND, EVENT, Stage, built, every_engine, scene, staged
from tests.acceptance.server import Server, running, wait_for

SEED = json.loads((Path(__file__).parent / "queued_script.json").read_bytes())
QUEUED = f"{EVENT}.get.queued"
PASSWORD = "Harbour-Pantry-user-16"
SLEEP = 3.0
"""Seconds that a listener waits by default before it looks again."""


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An instance with nothing configured and nobody who takes up jobs, with the table and the journal."""
    with running(tmp_path_factory.mktemp("idle") / "data", REVERIE_WORKERS="0") as started, built(started) as ready:
        yield ready


@pytest.fixture
def waiting(idle: Server) -> Iterator[Stage]:
    """A stage where what is queued waits until a test starts a worker."""
    with staged(idle) as made:
        yield made


@pytest.fixture(scope="module")
def theatre(server: Server) -> Iterator[Server]:
    with built(server) as ready:
        yield ready


@pytest.fixture
def stage(theatre: Server) -> Iterator[Stage]:
    with staged(theatre) as made:
        yield made


def reverie(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reverie", *arguments]
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, check=True, timeout=60)


def drain(server: Server) -> None:
    reverie(server, "queue", "work", "--stop-when-empty")


# -- the first run


@every_engine
def test_without_settings_a_job_is_on_the_default_connection_and_queue_and_due_now(stage: Stage, engine: str) -> None:
    content = scene(SEED["config"]["content"].replace("todo", "errand")).text(engine)
    stage.make("service", {**SEED, "type": engine, "config": {"queued": True, "content": content}})

    answer = stage.call("GET", f"/api/v2/{SEED['name']}")

    assert (answer.status, answer.body) == (202, b'{"success":true}')
    job = stage.server.wait_for_job(answer.headers["x-reverie-job"])
    assert (job["connection"], job["queue"]) == ("database", "default")
    assert job["due_at"] == job["created_at"]
    assert stage.names() == ["queue_test"]


def test_a_fresh_instance_has_its_lists_of_jobs_and_failed_jobs(data: Path) -> None:
    with running(data, REVERIE_WORKERS="0") as fresh:
        assert fresh.as_admin("GET", "/api/v2/system/job").json == {"resource": []}
        assert reverie(fresh, "queue", "failed").stdout == "No failed jobs found.\n"


@every_engine
def test_a_queued_event_script_on_a_fresh_instance_waits_on_the_default_connection(waiting: Stage, engine: str) -> None:
    waiting.hang(QUEUED, engine, scene("note('ran');"))

    assert waiting.call("GET", ERRAND).status == 200

    [job] = waiting.jobs(QUEUED)
    assert (job["status"], job["connection"], job["queue"]) == ("waiting", "database", "default")
    assert waiting.notes() == []


def test_a_listener_runs_what_waits_and_what_comes(waiting: Stage) -> None:
    for engine in ("v8js", "nodejs", "python3"):
        waiting.hang(f"db._table.{engine}.get.queued", engine, scene(f"note('{engine}');"))
        waiting.call("GET", f"/api/v2/db/_table/{engine}")
    command = [sys.executable, "-m", "reverie", "queue:listen"]
    listener = subprocess.Popen(
        command, env=waiting.server.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert waiting.notes(at_least=3) == ["v8js", "nodejs", "python3"]

        waiting.call("GET", "/api/v2/db/_table/python3")
        wait_for(lambda: len(waiting.notes()) == 4, SLEEP + 2)

        wait_for(lambda: not unfinished(waiting.server), 5.0)
        listener.send_signal(signal.SIGTERM)
        assert listener.wait(30) == 0
    finally:
        listener.kill()
        listener.wait()


def unfinished(server: Server) -> list[Any]:
    jobs = server.as_admin("GET", "/api/v2/system/job").json["resource"]
    return [job for job in jobs if job["status"] in ("waiting", "delayed", "running")]


# -- the stages


@every_engine
def test_pre_process_comes_before_post_process_and_queued_when_a_worker_runs(waiting: Stage, engine: str) -> None:
    for name in ("queued", "post_process", "pre_process"):
        waiting.hang(f"{EVENT}.get.{name}", engine, scene(f"note('{name}');"))

    assert waiting.call("GET", ERRAND).status == 200
    assert waiting.notes() == ["pre_process", "post_process"]

    drain(waiting.server)
    assert waiting.notes() == ["pre_process", "post_process", "queued"]


@every_engine
def test_a_queued_script_cannot_change_the_answer(stage: Stage, engine: str) -> None:
    stage.add({"name": "a"})
    path = f"{ERRAND}?fields=name"
    before = stage.call("GET", path)
    stage.hang(QUEUED, engine, scene("event.response.content = {}; note(event.response);"), modify=True)

    answer = stage.call("GET", path)

    assert (answer.status, answer.body) == (before.status, before.body)
    assert answer.json == {"resource": [{"name": "a"}]}
    [response] = stage.notes(at_least=1)
    assert response["content"] == ([] if engine == "php" else {})


class Receiver:
    """An HTTP server elsewhere that remembers what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[tuple[dict[str, str], Any]] = []
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posted.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/told"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        thread.join()
        found.server.server_close()


TELL = {
    "v8js": """
        var got = platform.api.get('db/_table/errand?fields=name');
        var body = {got: got.content, user: platform.session.user.email, role: platform.session.role.name};
        var told = platform.api.post('URL', JSON.stringify(body), {headers: {'Content-Type': 'application/json'}});
        platform.api.post('db/_table/errand', {name: 'told', qty: told.status_code});
    """,
    "nodejs": """
        platform.api.get('db/_table/errand?fields=name', '', function (got, response) {
          var body = {got: JSON.parse(got), user: platform.session.user.email, role: platform.session.role.name};
          var options = {headers: {'Content-Type': 'application/json'}};
          platform.api.post('URL', JSON.stringify(body), options, function (nothing, told) {
            platform.api.post('db/_table/errand', {name: 'told', qty: told.statusCode}, '', function () {});
          });
        });
    """,
    "python3": """
import json
got = platform.api.get('db/_table/errand?fields=name')
body = {'got': got.content, 'user': platform.session.user.email, 'role': platform.session.role.name}
told = platform.api.post('URL', json.dumps(body), {'headers': {'Content-Type': 'application/json'}})
platform.api.post('db/_table/errand', {'name': 'told', 'qty': told.status_code})
""",
    "php": """
$got = $platform['api']->get('db/_table/errand?fields=name');
$session = $platform['session'];
$body = ['got' => $got['content'], 'user' => $session['user']['email'], 'role' => $session['role']['name']];
$options = ['headers' => ['Content-Type' => 'application/json']];
$told = $platform['api']->post('URL', json_encode($body), $options);
$platform['api']->post('db/_table/errand', ['name' => 'told', 'qty' => $told['status_code']]);
""",
}
TELL["typescript"] = TELL["v8js"]


@every_engine
def test_a_queued_script_calls_within_and_elsewhere_as_who_queued_it(
    stage: Stage, engine: str, receiver: Receiver
) -> None:
    """Also when the session has ended meanwhile. The script's own calls fire other events than the one it hangs on."""
    added = stage.add({"name": "a"}).json["resource"][0]["id"]
    queued = f"{EVENT}.{{id}}.get.queued"
    stage.hang(queued, engine, TELL[engine].replace("URL", receiver.url), config={"delay": 1})
    email = f"{engine}@example.test"
    with session_of_a_user(stage, email, role="tellers") as headers:
        assert stage.server.call("GET", f"{ERRAND}/{added}", headers=headers).status == 200
    assert stage.server.call("GET", f"{ERRAND}/{added}", headers=headers).status in (401, 403)

    [job] = stage.jobs(queued)
    stage.server.wait_for_job(job["id"])

    [(sent, body)] = receiver.posted
    assert body == {"got": {"resource": [{"name": "a"}]}, "user": email, "role": "tellers"}
    assert [name for name in sent if name.startswith("x-dreamfactory")] == []
    assert [(row["name"], row["qty"]) for row in stage.rows()] == [("a", None), ("told", 201)]


@contextlib.contextmanager
def session_of_a_user(stage: Stage, email: str, *, role: str) -> Iterator[dict[str, str]]:
    """Headers of a user whose role may do everything with the table; logged out afterwards."""
    services = stage.call("GET", "/api/v2/system/service?filter=name='db'&fields=id").json["resource"]
    grant = {"service_id": services[0]["id"], "component": "_table/errand/*", "verb_mask": 31, "requestor_mask": 3}
    made = stage.make("role", {"name": role, "is_active": True, "role_service_access_by_role_id": [grant]})
    app = stage.make("app", {"name": role, "is_active": True, "role_id": made})
    stage.make("user", {"name": "Teller", "email": email, "password": PASSWORD, "is_active": True})
    key = stage.call("GET", f"/api/v2/system/app/{app}?fields=api_key").json["api_key"]
    session = stage.server.call("POST", "/api/v2/user/session", {"email": email, "password": PASSWORD})
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": session.json["session_token"]}
    try:
        yield headers
    finally:
        assert stage.server.call("DELETE", "/api/v2/user/session", headers=headers).status == 200
