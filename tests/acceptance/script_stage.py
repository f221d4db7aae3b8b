"""What the tests about scripts put on the shared server, and take away again."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.php_words import php_of
from tests.acceptance.server import Answer, JSONValue, Server

LANGUAGES = ("v8js", "typescript", "nodejs", "python3", "php")
Scene = dict[str, str]
TABLE = "stage_note"
ROWS = f"/api/v2/db/_table/{TABLE}"
SCRIPTS = "/api/v2/system/event_script"
PASSWORD = "a-long-passphrase-of-tests"
EVERYTHING = 31
CLIENT, SCRIPT = 1, 2
"""Bits of a role's requestor mask."""
FIELDS = [
    {"name": "id", "type": "id"},
    {"name": "name", "type": "string", "allow_null": True},
    {"name": "qty", "type": "integer", "allow_null": True},
]


def scene(v8js: str, python3: str, nodejs: str | None = None, php: str | None = None) -> Scene:
    """One scene in all languages; all kinds of JavaScript share a text unless told otherwise, and PHP its words."""
    return {
        "v8js": v8js,
        "typescript": v8js,
        "nodejs": v8js if nodejs is None else nodejs,
        "python3": python3,
        "php": php_of(v8js) if php is None else php,
    }


def asking(call: str, then: str) -> Scene:
    """A scene that returns *then*, in which ``r`` is the result of *call*, such as ``get('db/_table/x')``."""
    return scene(
        f"var r = platform.api.{call}; return {then};",
        f"r = platform.api.{call}\nreturn {then}",
        f"return platform.api.{call}.then(function (r) {{ return {then}; }});",
        php_of(f"r = platform.api.{call}; return {then};"),
    )


class Stage:
    """Makes scripts, services and accounts for one test; `clear` takes them away, the newest first."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._undo: list[Callable[[], Answer]] = []

    @staticmethod
    def name(word: str = "stage") -> str:
        return f"{word}_{uuid.uuid4().hex[:8]}"

    def clear(self) -> None:
        while self._undo:
            answer = self._undo.pop()()
            assert answer.status in (200, 404), answer.body

    def ask(self, method: str, path: str, body: JSONValue = None, *, expect: int | None = None) -> Answer:
        """As the administrator; *path* below ``/api/v2/``."""
        answer = self.server.as_admin(method, f"/api/v2/{path}", body)
        assert expect is None or answer.status == expect, (answer.status, answer.body)
        return answer

    def event_script(self, event: str, language: str, text: str | Scene, **fields: JSONValue) -> str:
        """A script that may modify its event, on the event of that name."""
        content = text if isinstance(text, str) else text[language]
        record = {"type": language, "content": content, "is_active": True, "allow_event_modification": True, **fields}
        answer = self.server.as_admin("POST", f"{SCRIPTS}/{event}", record)
        assert answer.status in (200, 201), answer.body
        self.undo("DELETE", f"system/event_script/{event}")
        return event

    def on_table(self, event: str, language: str, text: str | Scene, **fields: JSONValue) -> str:
        """A script on the stage's table; *event* such as ``post.pre_process``."""
        return self.event_script(f"db._table.{TABLE}.{event}", language, text, **fields)

    def service(self, language: str, text: str | Scene, *, name: str = "", **config: JSONValue) -> str:
        """A service answered by a script; its name."""
        name = name or self.name("svc")
        content = text if isinstance(text, str) else text[language]
        self.record("service", {"name": name, "type": language, "config": {"content": content, **config}})
        return name

    def run(self, language: str, text: str | Scene, *, by: str = "admin") -> Answer:
        """What a service with this script answers to a GET."""
        name = self.service(language, text)
        call = self.server.as_admin if by == "admin" else self.server.as_key
        return call("GET", f"/api/v2/{name}")

    def value(self, language: str, text: str | Scene) -> JSONValue:
        """What a script returned to an administrator."""
        answer = self.run(language, text)
        assert answer.status == 200, answer.body
        return answer.json

    def record(self, resource: str, body: JSONValue) -> int:
        """A record of ``system/<resource>``; its id."""
        found = self.ask("POST", f"system/{resource}", {"is_active": True, **body}, expect=201)
        made = int(found.json["resource"][0]["id"])
        self.undo("DELETE", f"system/{resource}/{made}")
        return made

    def lookup(self, name: str, value: str, *, private: bool = False) -> None:
        body = {"resource": [{"name": name, "value": value, "private": private}]}
        made = self.ask("POST", "system/lookup", body, expect=201).json["resource"][0]["id"]
        self.undo("DELETE", f"system/lookup/{made}")

    def role(self, *rows: JSONValue, **fields: JSONValue) -> int:
        return self.record("role", {"name": self.name("role"), "role_service_access_by_role_id": list(rows), **fields})

    def service_id(self, name: str) -> int:
        found = self.ask("GET", f"system/service?filter=name%3D%27{name}%27&fields=id", expect=200)
        return int(found.json["resource"][0]["id"])

    def access(
        self, service: str, component: str = "*", verbs: int = EVERYTHING, requestor: int = CLIENT | SCRIPT
    ) -> JSONValue:
        """A row of a role."""
        where = {"service_id": self.service_id(service), "component": component}
        return {**where, "verb_mask": verbs, "requestor_mask": requestor}

    def app(self, role_id: int | None = None, **fields: JSONValue) -> tuple[int, str]:
        """An application; its id and key."""
        app_id = self.record("app", {"name": self.name("app"), "role_id": role_id, **fields})
        return app_id, self.ask("GET", f"system/app/{app_id}", expect=200).json["api_key"]

    def user(self, app_id: int, role_id: int, **fields: JSONValue) -> tuple[int, str]:
        """A user with a role for an application; his id and session token."""
        email = f"{self.name('user')}@example.test"
        mapping = [{"app_id": app_id, "role_id": role_id}]
        body = {"name": email, "email": email, "password": PASSWORD, **fields}
        user_id = self.record("user", {**body, "user_to_app_to_role_by_user_id": mapping})
        answer = self.server.call("POST", "/api/v2/user/session", {"email": email, "password": PASSWORD})
        assert answer.status == 200, answer.body
        return user_id, answer.json["session_token"]

    def undo(self, method: str, path: str) -> None:
        self._undo.append(lambda: self.ask(method, path))

    # rows

    def rows(self, query: str = "") -> list[JSONValue]:
        answer = self.server.as_key("GET", f"{ROWS}?order=id{query}")
        assert answer.status == 200, answer.body
        return list(answer.json["resource"])

    def names(self) -> list[JSONValue]:
        return [row["name"] for row in self.rows()]

    def add(self, *names: str) -> list[int]:
        answer = self.server.as_key("POST", ROWS, {"resource": [{"name": name} for name in names]})
        assert answer.status == 200, answer.body
        return [row["id"] for row in answer.json["resource"]]


def error(answer: Answer) -> JSONValue:
    return answer.json["error"]


def envelope(message: str, status: int, code: int | None = None) -> JSONValue:
    return {"code": status if code is None else code, "context": None, "message": message, "status_code": status}


@pytest.fixture
def each_stage(server: Server) -> Iterator[Stage]:
    """An empty table, and nothing left behind; test modules call it `stage`."""
    made = server.as_admin("POST", "/api/v2/db/_schema", {"resource": [{"name": TABLE, "field": FIELDS}]})
    assert made.status == 200, made.body
    one = Stage(server)
    one.undo("DELETE", f"db/_schema/{TABLE}")
    yield one
    one.clear()
