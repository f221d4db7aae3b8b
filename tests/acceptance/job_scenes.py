"""What tests about jobs share: people, tables for causes and notes, scripts that take notes, and workers."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.php_words import php_of
from tests.acceptance.server import Answer, Server

LANGUAGES = ("v8js", "typescript", "nodejs", "python3", "php")
SOME = ("v8js", "nodejs", "python3")
"""For what is the worker's business and not the language's."""
PASSWORD = "sixteen-letters-or-more"
ALL, BOTH = 31, 3
"""Every verb; a client and a script."""
JSON = Any

_RUN = uuid.uuid4().hex[:6]
_NUMBERS = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other test of this run, or of one before it on the same data, has."""
    return f"{prefix}_{_RUN}_{next(_NUMBERS)}"


# -- tables


def make_tables(server: Server) -> None:
    """`job_cause`, whose events tests hang scripts on, and `job_note`, where scripts write down what they saw."""
    text = {"type": "text", "allow_null": True}
    tables = [
        {"name": name, "field": [{"name": "id", "type": "id"}, {"name": "label", **text}, {"name": "text", **text}]}
        for name in ("job_cause", "job_note")
    ]
    answer = server.as_admin("POST", "/api/v2/db/_schema", {"resource": tables})
    assert answer.status == 200, answer.body


def notes(server: Server, label: str) -> list[JSON]:
    """What scripts wrote down under *label*, in order."""
    answer = server.as_admin("GET", f"/api/v2/db/_table/job_note?filter=label='{label}'&order=id&fields=text")
    assert answer.status == 200, answer.body
    return [json.loads(row["text"]) for row in answer.json["resource"]]


def note(language: str, label: str, seen: str, *, then: str = "") -> str:
    """A script that writes down *seen*, an expression, and then does *then* (one line)."""
    if language == "python3":
        return f"""\
import json
platform.api.post('db/_table/job_note', {{'label': '{label}', 'text': json.dumps({seen})}})
{then}
"""
    if language == "php":
        row = f"['label' => '{label}', 'text' => json_encode({php_of(seen).rstrip(';')})]"
        return f"$platform['api']->post('db/_table/job_note', {row});\n{then}"
    row = f"{{label: '{label}', text: JSON.stringify({seen})}}"
    if language == "nodejs":
        return f"platform.api.post('db/_table/job_note', {row}, function () {{ {then} }});"
    return f"platform.api.post('db/_table/job_note', {row});\n{then}"


def throw(language: str, message: str) -> str:
    if language == "php":
        return f"throw new Exception({message!r});"
    return f"raise ValueError({message!r})" if language == "python3" else f"throw new Error({message!r});"


# -- services and event scripts


@dataclass
class Service:
    id: int
    name: str
    language: str

    @property
    def path(self) -> str:
        return f"/api/v2/{self.name}"


@contextlib.contextmanager
def script_service(
    server: Server, language: str, content: str, *, queued: bool = True, config: Mapping[str, JSON] | None = None
) -> Iterator[Service]:
    """A service answered by a script; *config* holds connection, queue and delay."""
    name = unique(f"job_{language}")
    settings = {"content": content, "queued": queued, "config": dict(config or {})}
    body = {"name": name, "type": language, "is_active": True, "config": settings}
    answer = server.as_admin("POST", "/api/v2/system/service", body)
    assert answer.status == 201, answer.body
    service = Service(answer.json["resource"][0]["id"], name, language)
    try:
        yield service
    finally:
        server.as_admin("DELETE", f"/api/v2/system/service/{service.id}")


def set_script(server: Server, service: Service, content: str) -> None:
    answer = server.as_admin("PATCH", f"/api/v2/system/service/{service.id}", {"config": {"content": content}})
    assert answer.status == 200, answer.body


@contextlib.contextmanager
def event_script(server: Server, name: str, language: str, content: str, **more: JSON) -> Iterator[str]:
    body = {"type": language, "content": content, "is_active": True, **more}
    answer = server.as_admin("POST", f"/api/v2/system/event_script/{name}", body)
    assert answer.status == 201, answer.body
    try:
        yield name
    finally:
        server.as_admin("DELETE", f"/api/v2/system/event_script/{name}")


def queued(answer: Answer) -> str:
    """The job's id, of an answer that promises one."""
    assert answer.status == 202, answer.body
    return answer.headers["x-reverie-job"]


# -- people


@dataclass
class Person:
    """A user with a role of his own in an app of his own."""

    server: Server
    email: str
    ids: dict[str, int]
    key: str
    token: str = field(repr=False)

    def ask(self, method: str, path: str, body: JSON = None, **headers: str) -> Answer:
        mine = {"X-DreamFactory-API-Key": self.key, "X-DreamFactory-Session-Token": self.token}
        return self.server.call(method, path, body, headers={**mine, **headers})


@contextlib.contextmanager
def person(server: Server, *services: int, lookups: Mapping[str, str] | None = None) -> Iterator[Person]:
    """Somebody whose role may do everything with *services*, and nothing else."""
    name = unique("person")
    access = [{"service_id": one, "component": "*", "verb_mask": ALL, "requestor_mask": BOTH} for one in services]
    ids: dict[str, int] = {}
    try:
        ids["role"] = _made(server, "role", name=name, is_active=True, role_service_access_by_role_id=access)
        ids["app"] = _made(server, "app", name=name, is_active=True, role_id=ids["role"])
        mapping = [{"app_id": ids["app"], "role_id": ids["role"]}]
        email = f"{name}@example.test"
        ids["user"] = _made(
            server,
            "user",
            name=name,
            email=email,
            password=PASSWORD,
            is_active=True,
            user_to_app_to_role_by_user_id=mapping,
            lookup_by_user_id=[{"name": key, "value": value} for key, value in (lookups or {}).items()],
        )
        key = server.as_admin("GET", f"/api/v2/system/app/{ids['app']}").json["api_key"]
        session = server.call("POST", "/api/v2/user/session", {"email": email, "password": PASSWORD})
        assert session.status == 200, session.body
        yield Person(server, email, ids, key, session.json["session_token"])
    finally:
        for kind in reversed(ids):
            server.as_admin("DELETE", f"/api/v2/system/{kind}/{ids[kind]}")


def _made(server: Server, kind: str, **record: JSON) -> int:
    answer = server.as_admin("POST", f"/api/v2/system/{kind}", {"resource": [record]})
    assert answer.status == 201, answer.body
    return int(answer.json["resource"][0]["id"])


def take_away_db(server: Server, someone: Person) -> None:
    """Leave his role without any access."""
    path = f"/api/v2/system/role/{someone.ids['role']}"
    rows = server.as_admin("GET", f"{path}?related=role_service_access_by_role_id").json
    gone = [{"id": row["id"], "role_id": None} for row in rows["role_service_access_by_role_id"]]
    answer = server.as_admin("PATCH", path, {"role_service_access_by_role_id": gone})
    assert answer.status == 200, answer.body


def service_id(server: Server, name: str) -> int:
    answer = server.as_admin("GET", f"/api/v2/system/service?filter=name='{name}'&fields=id")
    return int(answer.json["resource"][0]["id"])


# -- workers


@dataclass
class Worked:
    """What a worker process did: an entry for each step of a job, and its log."""

    code: int
    steps: list[dict[str, JSON]]
    log: str

    def of(self, job_id: str) -> list[tuple[str, int]]:
        return [(step["status"], step["attempts"]) for step in self.steps if step["id"] == job_id]


def command(verb: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "reverie", "queue", verb, *arguments]


def work(server: Server, queue: str, *options: str) -> Worked:
    """Run ``reverie queue work`` on one queue until it is empty, or as *options* say."""
    ending = options if any(option.startswith("--max") for option in options) else ("--stop-when-empty", *options)
    ran = subprocess.run(
        command("work", "database", f"--queue={queue}", "--json", *ending),
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Worked(ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr)


def failed_list(server: Server) -> list[JSON]:
    """``reverie queue failed --json``."""
    ran = subprocess.run(
        command("failed", "--json"), env=server.environment, capture_output=True, text=True, check=True, timeout=60
    )
    found: list[JSON] = json.loads(ran.stdout)
    return found
