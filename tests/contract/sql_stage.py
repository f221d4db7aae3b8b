"""A service on a database that holds the sample's rows, for the suite that every dialect passes."""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec
import pytest

from reverie.demo import sample_sql
from reverie.errors import ReverieError
from reverie.model import JSON, Access, Caller, Context, Request, Requestor, Response, Role
from reverie.services.sql.dialect import Dialect
from reverie.services.sql.dialects.mysql import MysqlDialect
from reverie.services.sql.dialects.postgresql import PostgresqlDialect
from reverie.services.sql.dialects.sqlite import SqliteDialect
from reverie.services.sql.extras import BriefExtras
from reverie.services.sql.service import SqlService
from reverie.store.records import ServiceRecord
from tests.mysql_server import MysqlPlace, mysql_place, shared_mysql
from tests.postgres import SamplePlace, sample_place, shared_server

ADMIN = Caller(is_admin=True, lookups={"town": "Porto", "quote": "x' or 'a'='a"})

DIALECTS: dict[str, Callable[[Path], Dialect]] = {
    "sqlite": SqliteDialect,
    "postgresql": lambda folder: PostgresqlDialect(),
    "mysql": lambda folder: MysqlDialect(),
}
"""By name: how each is made for a folder of its own."""

PLACES: dict[str, Callable[[], SamplePlace | MysqlPlace]] = {"postgresql": sample_place, "mysql": mysql_place}
"""Databases of a server that hold the sample."""

FEATURES: dict[str, frozenset[str]] = {
    "sqlite": frozenset(
        {"texts hold nul", "sums overflow", "views only read", "reserved names", "texts by case", "streams"}
    ),
    "postgresql": frozenset({"texts by case", "routines", "streams"}),
    "mysql": frozenset({"texts hold nul", "routines", "streams"}),
}
"""What one does and another does not; a test that is about it says `needs`."""


class Db:
    """One service on a database with the sample's rows, and short ways to ask it."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, JSON], config: Mapping[str, JSON]) -> None:
        self.name = name
        self.path = folder / "sample.db"
        self._settings = settings
        dialect = DIALECTS[name](folder)
        self.record = ServiceRecord(
            id=1, name="db", label="", description=None, is_active=True, type=dialect.service_type, mutable=True,
            deletable=True, version=1, config={**settings, **config},
        )  # fmt: skip
        self.database = dialect.open(self.record)
        self.extras = BriefExtras()
        self.service = SqlService(self.record, dialect, self.database, self.extras)

    def has(self, feature: str) -> bool:
        return feature in FEATURES[self.name]

    def needs(self, feature: str) -> None:
        if not self.has(feature):
            pytest.skip(f"{self.name} does not have this: {feature}")

    def run(self, *statements: str) -> None:
        """Change the database as another program does."""
        if self.name == "postgresql":
            for statement in statements:
                shared_server().ask(statement, database=str(self._settings["database"]))
            return
        if self.name == "mysql":
            for statement in statements:
                quoted = f"SET SESSION sql_mode=CONCAT(@@sql_mode, ',ANSI_QUOTES'); {statement}"
                shared_mysql().ask(quoted, database=str(self._settings["database"]))
            return
        other = connect(self.path)
        for statement in statements:
            other.execute(statement)
        other.commit()
        other.close()

    async def ask(
        self,
        method: str,
        resource: str,
        body: JSON = None,
        more: Mapping[str, JSON] | None = None,
        *,
        caller: Caller = ADMIN,
        **named: JSON,
    ) -> JSON:
        """The content of the answer; raises what the service raises. Parameters come named, or in *more*."""
        parameters = {**named, **(more or {})}
        request = Request(
            method=method, service="db", resource=resource, payload={} if body is None else body, parameters=parameters
        )
        response = await self.service.handle(request, Context(caller=caller, call=_nobody))
        plain: JSON = msgspec.json.decode(msgspec.json.encode(response.content))
        assert response.encoded is None or msgspec.json.decode(response.encoded) == plain
        return plain

    async def get(self, resource: str, *, caller: Caller = ADMIN, **named: JSON) -> JSON:
        return await self.ask("GET", resource, None, named, caller=caller)

    async def ids(self, resource: str, *, caller: Caller = ADMIN, **named: JSON) -> list[JSON]:
        answer = await self.ask("GET", resource, None, {"fields": "id", "order": "id", **named}, caller=caller)
        return [record["id"] for record in resources(answer)]

    async def refused(
        self,
        method: str,
        resource: str,
        body: JSON = None,
        more: Mapping[str, JSON] | None = None,
        *,
        caller: Caller = ADMIN,
        **named: JSON,
    ) -> ReverieError:
        with pytest.raises(ReverieError) as caught:
            await self.ask(method, resource, body, {**named, **(more or {})}, caller=caller)
        assert "SELECT" not in caught.value.message
        assert "INSERT" not in caught.value.message
        return caught.value


async def _nobody(request: Request) -> Response:
    raise AssertionError(f"nobody is called: {request}")


def resources(answer: JSON) -> list[dict[str, JSON]]:
    return cast("list[dict[str, JSON]]", items(answer))


def items(answer: JSON) -> list[JSON]:
    """What is under `resource`, also where it is not a list of records."""
    assert isinstance(answer, dict)
    assert isinstance(answer["resource"], list)
    return answer["resource"]


def role(*rows: tuple[str, int, list[dict[str, JSON]]]) -> Caller:
    """A caller whose role has these components, verb masks and filters."""
    access = tuple(
        Access(
            id=number, role_id=1, service_id=1, service="db", component=component, verb_mask=mask,
            requestor_mask=int(Requestor.API), filters=tuple(filters),
        )
        for number, (component, mask, filters) in enumerate(rows)
    )  # fmt: skip
    return Caller(role=Role(id=1, name="r", is_active=True, access=access), user={"id": 7, "email": "zed@example.com"})


def fill(path: Path) -> None:
    connection = connect(path)
    # One transaction instead of one for each statement: the sample is loaded for every test.
    connection.executescript(f"BEGIN; {sample_sql()} COMMIT;")
    connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection as another program has it, on the same SQLite engine."""
    driver = importlib.import_module("pysqlite3.dbapi2" if importlib.util.find_spec("pysqlite3") else "sqlite3")
    return cast("sqlite3.Connection", driver.connect(str(path)))


class Opener:
    """Opens the sample, with settings of the test's own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.made: list[Db] = []
        self._place: SamplePlace | MysqlPlace | None = None
        self._settings: Mapping[str, JSON] = {"database": "sample.db"}
        if name in PLACES:
            self._place = PLACES[name]()
            self._settings = self._place.config
        else:
            fill(folder / "sample.db")

    @property
    def settings(self) -> Mapping[str, JSON]:
        """What a service on this database is set to."""
        return self._settings

    def __call__(self, **config: JSON) -> Db:
        self.made.append(Db(self.name, self.folder, self._settings, config))
        return self.made[-1]

    async def close(self) -> None:
        for one in self.made:
            await one.service.close()
        if self._place is not None:
            self._place.drop()
