"""The checklist of the data plane, line by line, over HTTP; see checklist/README.md."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reverie.demo import sample_sql
from tests.acceptance.checklist.cases import Case, Step, cases, differences
from tests.acceptance.server import Answer, Server, running
from tests.mysql_server import MysqlPlace, mysql_place
from tests.postgres import SamplePlace, sample_place

ENGINES = {"s": "sqlite", "p": "pgsql", "m": "mysql"}
PLACES: dict[str, Callable[[], SamplePlace | MysqlPlace]] = {"p": sample_place, "m": mysql_place}
CASES = [case for case in cases() if not case.prefix.startswith("cred:")]
OTHER_SERVICES = ("/files", "/cache")
LACKING: dict[str, str] = {}
"""What is not there yet, and the numbers of the cases that fail for want of it."""
NOT_YET = {number: what for what, numbers in LACKING.items() for number in numbers.split()}
CONFIG: dict[str, dict[str, object]] = {"cfg:max3": {"max_records": 3}, "cfg:upsert": {"allow_upsert": True}}
CALLER = ("zed@example.com", "Rolled-Oats-and-Rye-16")
CALLER_ID = 7
ROLES = {
    "role:A": [
        {
            "component": "_table/product/*",
            "verb_mask": 1,
            "filter_op": "AND",
            "filters": [
                {"name": "in_stock", "operator": ">", "value": 50},
                {"name": "discontinued", "operator": "=", "value": "false"},
            ],
        },
        {"component": "_table/category/*", "verb_mask": 1},
        {
            "component": "_table/tag/*",
            "verb_mask": 15,
            "filter_op": "AND",
            "filters": [{"name": "label", "operator": "CONTAINS", "value": "i"}],
        },
    ],
    "role:B": [{"component": "*", "verb_mask": 31}],
}


@dataclass
class Stage:
    """A server whose service `db` can be given a fresh copy of the sample."""

    server: Server
    folder: Path
    places: dict[str, SamplePlace | MysqlPlace] = field(default_factory=dict)
    service_id: int = 0
    token: str = ""
    keys: dict[tuple[int, str], str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def set_up(self, case: Case, engine: str) -> dict[str, str]:
        """A fresh `db`; the headers of who asks."""
        place = self._file() if engine == "s" else self._database(engine)
        config: dict[str, object] = {**place, **CONFIG.get(case.prefix, {})}
        if self.service_id:
            self.made("DELETE", f"service/{self.service_id}", None)
        record = {"name": "db", "label": "Sample", "type": ENGINES[engine], "is_active": True, "config": config}
        self.service_id = self.made("POST", "service", {"resource": [record]})
        if not case.prefix.startswith("role:"):
            return {"X-DreamFactory-Session-Token": self.server.admin}
        return {"X-DreamFactory-API-Key": self.key(case.prefix), "X-DreamFactory-Session-Token": self.token}

    def _file(self) -> dict[str, object]:
        file = self.folder / f"{next(self._numbers)}.sqlite"
        shutil.copy(self.folder / "sample.sqlite", file)
        return {"database": str(file)}

    def _database(self, engine: str) -> dict[str, object]:
        for old in list(self.places):
            self.places.pop(old).drop()
        place = PLACES[engine]()
        self.places[place.name] = place
        return {**place.config}

    def key(self, role: str) -> str:
        access = [{"service_id": self.service_id, "requestor_mask": 1, **one} for one in ROLES[role]]
        name = f"{role} {self.service_id}"
        role_id = self.made(
            "POST",
            "role",
            {"resource": [{"name": name, "is_active": True, "role_service_access_by_role_id": access}]},
        )
        app = self.server.as_admin(
            "POST",
            "/api/v2/system/app?fields=api_key",
            {"resource": [{"name": name, "is_active": True, "role_id": role_id}]},
        )
        return str(app.json["resource"][0]["api_key"])

    def made(self, method: str, path: str, body: object) -> int:
        answer = self.server.as_admin(method, f"/api/v2/system/{path}", body)
        assert answer.status < 300, answer.body
        return int(answer.json["resource"][0]["id"]) if method == "POST" else 0

    def ask(self, step: Step, headers: dict[str, str]) -> Answer:
        path = step.path
        if not path.startswith("/"):
            path = "/db/" + path
        path, _, query = path.partition("?")
        pairs = [one.partition("=") for one in query.split("&")] if query else []
        encoded = "&".join(f"{name}={urllib.parse.quote(_plain(value), safe='')}" for name, _, value in pairs)
        return self.server.call(
            step.method,
            f"/api/v2{path}" + (f"?{encoded}" if encoded else ""),
            step.body and step.body.replace(b'"ref_service_id":1,', b'"ref_service_id":%d,' % self.service_id),
            headers=headers | step.headers,
        )


def _plain(value: str) -> str:
    return value.replace("%26", "&")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("checklist")
    with sqlite3.connect(folder / "sample.sqlite") as file:
        file.executescript(sample_sql())
    file.close()
    with running(folder / "data", REVERIE_WORKERS="0", REVERIE_DEMO="0") as server:
        stage = Stage(server, folder)
        made = 0
        while made < CALLER_ID:
            email = CALLER[0] if made == CALLER_ID - 1 else f"user{made}@example.com"
            record = {"name": "Zed", "email": email, "password": CALLER[1], "is_active": True}
            made = stage.made("POST", "user", {"resource": [record]})
        assert made == CALLER_ID
        session = server.call("POST", "/api/v2/user/session", {"email": CALLER[0], "password": CALLER[1]})
        stage.token = session.json["session_token"]
        yield stage
    for place in stage.places.values():
        place.drop()


LINES = [
    pytest.param(engine, case, id=f"{ENGINES[engine]} {case.number} {case.text}"[:120])
    for engine in ENGINES
    for case in CASES
    if case.runs_on(engine)
]


@pytest.mark.parametrize(("engine", "case"), LINES)
def test_a_line_of_the_checklist_holds(stage: Stage, engine: str, case: Case, request: pytest.FixtureRequest) -> None:
    if any(step.path.startswith(OTHER_SERVICES) for step in case.steps):
        pytest.skip("there are no file and cache services yet")
    if case.number in NOT_YET:
        request.applymarker(pytest.mark.xfail(strict=True, reason=f"not there yet: {NOT_YET[case.number]}"))
    headers = stage.set_up(case, engine)
    for step in case.steps:
        if step.expect == "405":
            assert stage.ask(step, headers).status == 405
        elif step.expect == "400":
            assert stage.ask(step, headers).status == 400
        else:
            said = differences(stage.ask(step, headers), step.expect, case.note)
            assert said == "", f"{step.method} {step.path}: {said}"
