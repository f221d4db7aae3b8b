"""A table that event scripts can be hung on, and a journal that they can write into, on a running server.

Scripts say `note(value)`: a function put in front of every text, which keeps the value as JSON in the journal. The
journal is a service of its own, so that writing into it fires no event of the table's service.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.acceptance.php_words import php_of
from tests.acceptance.server import Answer, Server, wait_for

JSONValue = Any
ENGINES: Final = ("v8js", "typescript", "nodejs", "python3", "php")
TABLE: Final = "errand"
ERRAND: Final = f"/api/v2/db/_table/{TABLE}"
EVENT: Final = f"db._table.{TABLE}"
GENERIC: Final = "db._table.{table_name}"
every_engine: Final = pytest.mark.parametrize("engine", ENGINES)

_JOURNAL: Final = "journal"
_TEXT: Final = {"type": "string", "length": 255, "allow_null": True}
_IN_JAVASCRIPT: Final = (
    "function note(value) {{ return platform.api.post('journal/_table/note', "
    "{{ label: '{label}', value: JSON.stringify(value) }}); }} "
)
_IN_PYTHON: Final = (
    "def note(value):\n"
    "    import json\n"
    "    return platform.api.post('journal/_table/note', dict(label='{label}', value=json.dumps(value)))\n"
)


_IN_PHP: Final = (
    "$note = fn ($value) => $platform['api']->post('journal/_table/note', "
    "['label' => '{label}', 'value' => json_encode($value)]); "
)


@dataclass(frozen=True)
class Scene:
    """One script in every language."""

    javascript: str
    python: str
    php: str

    def text(self, engine: str) -> str:
        return {"python3": self.python, "php": self.php}.get(engine, self.javascript)


def scene(javascript: str, python: str | None = None, php: str | None = None) -> Scene:
    """Without *python* the text means the same in both languages; without *php* it is the same in PHP's words."""
    return Scene(javascript, javascript if python is None else python, php_of(javascript) if php is None else php)


NOTE_EVENT: Final = scene("note(event);")
BUILD_TABLES: Final[Mapping[str, JSONValue]] = {
    "db": {
        "name": TABLE,
        "field": [
            {"name": "id", "type": "id"},
            {"name": "name", **_TEXT},
            {"name": "qty", "type": "integer", "allow_null": True},
            {"name": "stamp", **_TEXT},
        ],
    },
    _JOURNAL: {
        "name": "note",
        "field": [
            {"name": "id", "type": "id"},
            {"name": "label", **_TEXT},
            {"name": "value", "type": "text", "allow_null": True},
        ],
    },
}


def build(server: Server) -> None:
    """The table and the journal."""
    file = server.data / f"journal-{uuid.uuid4().hex}.sqlite"
    config = {"database": str(file), "read_only": False}
    service = {"name": _JOURNAL, "type": "sqlite", "is_active": True, "config": config}
    assert server.as_admin("POST", "/api/v2/system/service", service).status == 201
    for name, table in BUILD_TABLES.items():
        answer = server.as_admin("POST", f"/api/v2/{name}/_schema", {"resource": [table]})
        assert answer.status == 200, answer.body


def take_down(server: Server) -> None:
    assert server.as_admin("DELETE", f"/api/v2/db/_schema/{TABLE}").status == 200
    assert server.as_admin("DELETE", f"/api/v2/system/service?filter=name='{_JOURNAL}'").status == 200


@dataclass
class Stage:
    """One test's scripts, services, rows and notes; `clear` takes them all away."""

    server: Server
    label: str = field(default_factory=lambda: uuid.uuid4().hex)
    made: list[str] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def hang(self, name: str, engine: str, script: Scene | str, *, modify: bool = False, **values: object) -> None:
        """An active event script, run from the next call on."""
        path = f"/api/v2/system/event_script/{quote(name)}"
        content = self.told(engine, script)
        record = {"type": engine, "is_active": True, "allow_event_modification": modify, "content": content, **values}
        answer = self.server.as_admin("POST", path, record)
        assert answer.status == 201, answer.body
        self.made.append(path)

    def serve(self, name: str, engine: str, script: Scene | str, *, doc: JSONValue = None, **config: object) -> int:
        """A script service; its id."""
        config = {"content": self.told(engine, script), **config}
        record: JSONValue = {"name": name, "type": engine, "is_active": True, "config": config}
        if doc is not None:
            record["service_doc_by_service_id"] = {"format": 0, "content": json.dumps(doc)}
        return self.make("service", record)

    def make(self, kind: str, record: JSONValue) -> int:
        """A record of a system resource; its id."""
        answer = self.server.as_admin("POST", f"/api/v2/system/{kind}", {"resource": [record]})
        assert answer.status == 201, answer.body
        found = answer.json["resource"][0]["id"]
        assert isinstance(found, int)
        self.made.append(f"/api/v2/system/{kind}/{found}")
        return found

    def told(self, engine: str, script: Scene | str) -> str:
        text = script if isinstance(script, str) else script.text(engine)
        prefix = {"python3": _IN_PYTHON, "php": _IN_PHP}.get(engine, _IN_JAVASCRIPT)
        return prefix.format(label=self.label) + text

    def call(self, method: str, path: str, body: JSONValue = None, **headers: str) -> Answer:
        return self.server.as_admin(method, path, body, **headers)

    def add(self, *rows: JSONValue, query: str = "") -> Answer:
        return self.call("POST", ERRAND + query, {"resource": list(rows)})

    def rows(self) -> list[JSONValue]:
        """The table, read past the server: no event fires."""
        file = self.server.data / "db.sqlite"
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {TABLE} ORDER BY id")]

    def names(self) -> list[JSONValue]:
        return [row["name"] for row in self.rows()]

    def notes(self, at_least: int = 0) -> list[JSONValue]:
        """What the scripts noted, in their order; *at_least* so many, waited for."""
        found: list[JSONValue] = []

        def there() -> bool:
            path = f"/api/v2/journal/_table/note?filter=label='{self.label}'&order=id"
            found[:] = [json.loads(row["value"]) for row in self.call("GET", path).json["resource"]]
            return len(found) >= at_least

        wait_for(there, 15.0, lambda: f"notes: {found}")
        return found

    def jobs(self, script: str) -> list[JSONValue]:
        """The jobs of a script that this test made."""
        answer = self.call("GET", f"/api/v2/system/job?script={quote(script)}")
        assert answer.status == 200, answer.body
        return [job for job in answer.json["resource"] if datetime.fromisoformat(job["created_at"]) > self.began]

    def clear(self) -> None:
        for path in reversed(self.made):
            assert self.call("DELETE", path).status == 200, path
        for path in (ERRAND, "/api/v2/journal/_table/note"):
            assert self.call("DELETE", f"{path}?force=true").status == 200


@contextlib.contextmanager
def built(server: Server) -> Iterator[Server]:
    build(server)
    try:
        yield server
    finally:
        take_down(server)


@contextlib.contextmanager
def staged(server: Server) -> Iterator[Stage]:
    stage = Stage(server)
    try:
        yield stage
    finally:
        stage.clear()
