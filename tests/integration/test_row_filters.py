"""The row filter of a role holds whichever way a row is reached: every role, requestor and route of `guarded`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from reverie.app import build
from reverie.config import read_settings
from reverie.errors import ReverieError
from reverie.model import JSON, Access, Caller, Request, Requestor, Response, Role
from reverie.platform import Platform
from reverie.store.migrate import migrate
from tests.contract.sql_stage import DIALECTS, Opener
from tests.integration.guarded import (
    API,
    CHANGES,
    FOR_SPEC,
    GET,
    NESTED,
    READS,
    ROWS,
    SCHEMA,
    SCRIPT,
    SHAPES,
    TABLES,
    TIED,
    Route,
    Sees,
    Shape,
)

pytestmark = pytest.mark.anyio

ADMIN = Caller(is_admin=True, user={"id": 1, "is_sys_admin": True})
Rows = dict[str, list[dict[str, JSON]]]


@dataclass
class Guarded:
    """A platform with the service `db`."""

    platform: Platform

    async def ask(
        self,
        caller: Caller,
        requestor: int,
        method: str,
        path: str,
        body: JSON = None,
        query: dict[str, JSON] | None = None,
    ) -> tuple[int, JSON]:
        """Status and content: through the gate, and as scripts call for the other requestor."""
        service, _, resource = path.partition("/")
        request = Request(
            method=method, service=service, resource=resource, payload={} if body is None else body,
            parameters=query or {},
        )  # fmt: skip
        context = self.platform.dispatcher.context(caller)
        if requestor == SCRIPT:
            return _plain(await context.call(request))
        try:
            self.platform.auth.check(caller, request, Requestor.API)
            return _plain(await self.platform.dispatcher.dispatch(request, context))
        except ReverieError as error:
            return _plain(error.response())

    async def must(self, method: str, path: str, body: JSON = None, **query: JSON) -> JSON:
        status, content = await self.ask(ADMIN, API, method, path, body, query)
        assert status < 300, content
        return content

    async def rows(self) -> Rows:
        found: Rows = {}
        for name in TABLES:
            answer = cast("dict[str, JSON]", await self.must("GET", f"db/_table/{name}", order="id"))
            found[name] = cast("list[dict[str, JSON]]", answer["resource"])
        return found

    async def as_before(self) -> None:
        """Every row as it was in the beginning."""
        if await self.rows() == ROWS:
            return
        for name in reversed(TABLES):
            await self.must("DELETE", f"db/_table/{name}", force="true")
        for name in TABLES:
            await self.must("POST", f"db/_table/{name}", {"resource": cast("JSON", ROWS[name])})


def _plain(response: Response) -> tuple[int, JSON]:
    content: JSON = msgspec.json.decode(msgspec.json.encode(response.content))
    return response.status, content


@pytest.fixture(scope="module", params=DIALECTS)
async def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    opener = Opener(request.param, folder)
    settings = read_settings({"REVERIE_DATA_DIR": str(folder), "REVERIE_SECRET_KEY": "s" * 32})
    migrate(settings.store)
    async with build(settings, scripts=False) as platform:
        stage = Guarded(platform)
        kind = DIALECTS[request.param](folder).service_type
        record: JSON = {"name": "db", "type": kind, "is_active": True, "config": dict(opener.settings)}
        await stage.must("POST", "system/service", {"resource": [record]})
        await stage.must("POST", "db/_schema", {"resource": SCHEMA})
        # In order and without ids: later ones continue the count.
        for name in TABLES:
            numberless: JSON = [{key: value for key, value in row.items() if key != "id"} for row in ROWS[name]]
            await stage.must("POST", f"db/_table/{name}", {"resource": numberless})
        assert await stage.rows() == ROWS
        yield stage
    await opener.close()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def caller_with(shape: Shape, *more: Access) -> Caller:
    role = Role(id=1, name=shape.name, is_active=True, access=(*shape.rows, *more))
    return Caller(role=role, user={"id": 7, "email": "zed@example.com"}, api_key="k", lookups={"who": "me"})


def wrong(route: Route, shape: Shape, requestor: int, status: int, content: JSON) -> str:
    """What is wrong with an answer by the table of the contract; ``""`` when nothing is."""
    sees = shape.of(requestor, route.verb)
    if (otherwise := shape.otherwise.get(route.name)) is not None:
        return "" if status == otherwise else f"status {status} instead of {otherwise}"
    if sees == "denied":
        # To tie a record is no write on it: who may do nothing with notes may do that.
        return "" if route is TIED or status in (401, 403) or _all_denied(content) else "not refused"
    if sees == "broken":
        return "" if 400 <= status < 500 else "not refused"
    wanted, exactly = route.of(sees)
    if status not in (wanted if isinstance(wanted, frozenset) else (wanted,)):
        return f"status {status} instead of {wanted}"
    return "" if exactly is None or content == exactly else f"not {exactly}"


def _all_denied(content: JSON) -> bool:
    """Inside a batch a refusal is the record's."""
    text = msgspec.json.encode(content).decode()
    return '"code":1000' in text and '"code":403' in text


@pytest.mark.parametrize("requestor", [API, SCRIPT], ids=["API", "SCRIPT"])
@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
async def test_no_way_leads_around_the_row_filter(guarded: Guarded, shape: Shape, requestor: int) -> None:
    caller = caller_with(shape)
    mistakes = []

    for route in (*READS, *CHANGES, *NESTED, TIED):
        await guarded.as_before()
        status, content = await guarded.ask(
            caller, requestor, route.method, f"db/{route.resource}", route.body, dict(route.query)
        )
        about = f"{route.name}: {status} {msgspec.json.encode(content).decode()[:300]}"
        if said := wrong(route, shape, requestor, status, content):
            mistakes.append(f"{about}: {said}")
        hidden = shape.of(requestor, GET) != "all" and shape.of(requestor, route.verb) != "all"
        if hidden and "HIDDEN" in msgspec.json.encode(content).decode():
            mistakes.append(f"{about}: shows a hidden one")
        may = shape.of(requestor, route.verb) == "all" or route.name in shape.otherwise
        if not may and await changed(guarded, route, shape.of(requestor, GET)):
            mistakes.append(f"{about}: changed a hidden one")

    assert not mistakes, "\n" + "\n".join(mistakes)


async def changed(guarded: Guarded, by: Route, seen: Sees) -> bool:
    """Whether a note that is not mine is another one than before, or there is a new one; or a hidden one was tied."""
    if by.method == "GET":
        return False
    rows = await guarded.rows()
    theirs = [row for row in rows["note"] if row["owner"] != "me"]
    return theirs != ROWS["note"][2:] or (by is TIED and seen != "denied" and rows["tie"] != ROWS["tie"])


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
async def test_the_description_counts_and_shows_what_the_role_sees(guarded: Guarded, shape: Shape) -> None:
    caller = caller_with(shape, FOR_SPEC)

    status, content = await guarded.ask(caller, API, "GET", "db/_spec", None, {"model": "true"})

    assert status == 200, content
    model: Any = msgspec.json.decode(content) if isinstance(content, str) else content
    notes = [table for table in model["tables"] if table["name"] == "note"]
    sees = shape.of(API, GET)
    counts = {"all": 4, "mine": 2, "nothing": 0}
    if sees == "denied":
        assert not notes or "row_count" not in notes[0]
    elif sees == "broken":
        assert isinstance(notes[0]["row_count"], dict)
    else:
        assert notes[0]["row_count"] == counts[sees]
        assert len(notes[0]["samples"]) == min(counts[sees], 3)
    if sees != "all":
        assert "HIDDEN" not in msgspec.json.encode(model).decode()
