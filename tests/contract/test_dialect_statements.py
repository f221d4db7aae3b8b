"""No text of a request is ever a part of a statement: generated requests and attacks, on every database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import pytest

from reverie.errors import NotSupported, ReverieError
from reverie.model import JSON, Context, Request, Response
from reverie.services.sql.service import SqlService
from tests.contract.sql_requests import JUNK, Generator, Made, Recorder, foreign, names_in
from tests.contract.sql_stage import ADMIN, DIALECTS, Db, Opener, resources

pytestmark = pytest.mark.anyio

REQUESTS = 100_000 if os.environ.get("REVERIE_TEST_PROFILE") == "full" else 2_000
SEED = 6


@dataclass
class Watched:
    """A service whose statements are noted, and what they may be made of."""

    db: Db
    recorder: Recorder
    names: frozenset[str]
    fixed: frozenset[str]

    async def refusal(self, made: Made) -> ReverieError | None:
        """Make the request; what refused it. Fails unless that is a clear refusal that shows no statement."""
        request = Request(
            method=made.method, service="db", resource=made.resource, parameters=made.parameters,
            payload={} if made.body is None else made.body,
        )  # fmt: skip
        try:
            await self.db.service.handle(request, Context(caller=ADMIN, call=_nobody))
            refused = None
        except ReverieError as error:
            refused = error
        if refused is not None:
            assert refused.status < 500 or isinstance(refused, NotSupported), (made, refused.__cause__ or refused)
            shown = [sql for sql, _ in self.recorder.statements if sql[:25] in refused.message]
            assert not shown, (made, refused.message)
        return refused

    async def ask(self, made: Made) -> tuple[int, list[str]]:
        """The status of the answer, and the statements that were run for it. Fails for whatever is not in order."""
        refused = await self.refusal(made)
        ran = [sql for sql, _ in self.recorder.take() if sql not in self.fixed]
        for sql in dict.fromkeys(ran):
            assert not (part := foreign(sql, self.names)), (made, part, sql)
            assert not [value for value in made.values if len(value) > 4 and value in sql], (made, sql)
        return 200 if refused is None else refused.status, ran


async def _nobody(request: Request) -> Response:
    raise AssertionError(f"nobody is called: {request}")


@pytest.fixture(params=DIALECTS)
async def watched(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Watched]:
    opener = Opener(request.param, tmp_path)
    db = opener()
    dialect = DIALECTS[request.param](tmp_path)
    recorder = Recorder(db.database)
    db.service = SqlService(db.record, dialect, recorder, db.extras)
    catalogue = await recorder.read(dialect.reflect, quick=False)
    await recorder.read(dialect.version)
    fixed = frozenset(sql for sql, _ in recorder.take())
    yield Watched(db, recorder, names_in(catalogue), fixed)
    await opener.close()


async def generator_of(watched: Watched) -> Generator:
    dialect = DIALECTS[watched.db.name](watched.db.path.parent)
    catalogue = await watched.recorder.read(dialect.reflect, quick=False)
    relations = {
        name: [str(one["name"]) for one in resources(await watched.db.get(f"_schema/{name}/_related"))]
        for name in catalogue.tables
    }
    watched.recorder.take()
    return Generator(catalogue=catalogue, random=Random(SEED), relations=relations)


async def test_statements_depend_on_the_shape_of_a_request_alone(watched: Watched) -> None:
    generator = await generator_of(watched)
    answered = compared = 0

    for _ in range(REQUESTS // 2):
        one, other = generator.twins()
        first, second = await watched.ask(one), await watched.ask(other)
        answered += (first[0] == 200) + (second[0] == 200)
        if one.shape and first[0] == second[0] == 200 and first[1] and second[1]:
            # Further statements depend on what was found, such as related records.
            assert first[1][0] == second[1][0], (one, other)
            compared += 1

    # Most made sense: otherwise nothing was shown.
    assert answered > REQUESTS * 0.5
    assert compared > REQUESTS * 0.2


ATTACKS = (
    "' OR '1'='1", "1 OR 1=1", "1' OR 1=1-- -", "1; DROP TABLE product--", "1) UNION SELECT sql FROM sqlite_master--",
    "' UNION SELECT NULL, version()--", '" OR ""="', "1 AND SLEEP(9)", "1;SELECT pg_sleep(9)--", "(SELECT 1)",
    "CASE WHEN 1=1 THEN id ELSE name END", "id,(SELECT name FROM customer)", "COUNT(*) FROM customer--",
    "SUM((SELECT 1))", "id`; DROP TABLE tag", 'id"; DROP TABLE tag--', "id]--", "\\'", "%27%20OR%201=1", "$1", "?",
    "%s", ":x", "0x31", "1e999", "/**/", "#", "id ASC, (SELECT 1)", "1 LIMIT 1", "1 PROCEDURE ANALYSE()",
    "EXTRACTVALUE(1,CONCAT(0x7e,version()))", "id||(SELECT 1)", "\u02bc OR 1=1",
    "\uff07 OR 1=1", "'; VACUUM; --", "id\nOR 1=1",
    "-1 OR id IN (SELECT id FROM product)", "randomblob(1000000000)", "load_extension('x')", "pg_read_file('/')",
)  # fmt: skip
PLACES = (
    "filter", "where", "order", "sort", "order_by", "group", "group_by", "fields", "select", "ids", "id_field",
    "id_type", "related", "limit", "top", "offset", "skip", "count_only", "include_count", "include_schema", "having",
    "after", "rollback", "product_by_category_id.fields", "product_by_category_id.order",
    "product_by_category_id.limit",
)  # fmt: skip


async def everything(db: Db) -> dict[str, list[dict[str, JSON]]]:
    tables = resources(await db.get("_table"))
    return {str(one["name"]): resources(await db.get(f"_table/{one['name']}", limit="1000")) for one in tables}


def made(method: str, resource: str, body: JSON = None, more: Mapping[str, JSON] | None = None) -> Made:
    return Made(shape="", method=method, resource=resource, parameters=more or {}, body=body)


def attacks_with(text: str) -> list[Made]:
    """Requests that have *text* in one place each."""

    category = "_table/category"
    reads = [made("GET", category, None, {"related": "product_by_category_id", place: text}) for place in PLACES]
    reads += [made("GET", category, None, {"filter": f"{text}=1"}), made("GET", f"_table/{text}")]
    reads += [made("GET", f"{category}/{text}"), made("GET", f"_schema/{text}"), made("GET", text)]
    reads += [made("GET", category, None, {"filter": "id=:x", "params": {":x": text, text: "1"}})]
    reads += [made("GET", category, None, {"filter": f"(name = {text})"}), made("GET", "_schema", None, {"ids": text})]
    reads += [made("GET", category, None, {text: text}), made("GET", f"_schema/category/_related/{text}")]
    row: JSON = {"id": text, text: text}
    never = f"(name = '{text.replace(chr(39), chr(39) * 2)}') and (id=-1)"
    writes = [
        made("PATCH", f"{category}/{text}", {"colour": "x"}),
        made("PATCH", category, {"resource": [row]}, {"id_field": text}),
        made("PATCH", category, {"resource": [{text: "x"}]}, {"filter": f"id={text}"}),
        made("DELETE", category, {"resource": [{"id": f"{text}x"}]}),
        made("DELETE", category, None, {"filter": never}),
        made("POST", category, {"resource": [{f"x{text}": text}]}),
    ]
    return reads + writes


async def test_what_attackers_send_is_a_value_or_a_clear_refusal(watched: Watched) -> None:
    before = await everything(watched.db)
    watched.recorder.take()

    for text in (*ATTACKS, *JUNK):
        for one in attacks_with(text):
            await watched.ask(one)

    assert await everything(watched.db) == before


async def test_a_text_that_looks_like_sql_is_stored_as_it_is(watched: Watched) -> None:
    for text in ATTACKS:
        stored = await watched.db.ask("POST", "_table/category", {"resource": [{"name": text[:50]}]}, fields="id,name")
        [row] = resources(stored)
        assert row["name"] == text[:50]
        found = await watched.db.get("_table/category", filter="name = :n", params={":n": text[:50]}, fields="id")
        assert row["id"] in [one["id"] for one in resources(found)]


@pytest.mark.parametrize("text", [*ATTACKS, "a\0b", "\ud800", "", " ", "ä" * 200, "COUNT_ALL", "select"])
async def test_a_table_of_any_name_is_that_table_or_refused(watched: Watched, text: str) -> None:
    db = watched.db
    before = await everything(db)

    bodies: tuple[JSON, ...] = (
        {"name": text, "field": [{"name": "id", "type": "id"}, {"name": "note", "type": "string", "default": text}]},
        {"name": "plain", "field": [{"name": "id", "type": "id"}, {"name": text, "type": "string"}]},
        {"name": "typed", "field": [{"name": "id", "type": "id"}, {"name": "x", "type": text}]},
    )
    for body in bodies:
        await watched.refusal(made("POST", "_schema", {"resource": [body]}))
    after = await everything(db)

    assert {name: after[name] for name in before} == before
    assert set(after) <= {*before, text.strip(), "plain", "typed"}
    for name in set(after) - set(before):
        assert after[name] == []


async def test_plans_that_are_not_kept_change_no_answer(watched: Watched) -> None:
    db = watched.db
    generator = await generator_of(watched)
    forgetful = SqlService(db.record, DIALECTS[db.name](db.path.parent), watched.recorder, db.extras, keeps_plans=False)

    for _ in range(REQUESTS // 20):
        for one in generator.twins():
            if one.method != "GET":
                continue
            # The second time the plan is there.
            answers = [await answer_of(service, one) for service in (db.service, forgetful, db.service)]
            assert answers[0] == answers[1] == answers[2], one


async def answer_of(service: SqlService, one: Made) -> tuple[int, bytes]:
    request = Request(
        method=one.method, service="db", resource=one.resource, parameters=one.parameters, payload=one.body or {}
    )
    try:
        response = await service.handle(request, Context(caller=ADMIN, call=_nobody))
    except ReverieError as error:
        return error.status, msgspec.json.encode(ascii(error.entry()))
    return response.status, response.encoded or msgspec.json.encode(response.content)
