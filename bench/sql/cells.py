"""What is measured: each cell is a table whose first contestant is ours."""

from __future__ import annotations

import http.client
import itertools
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from tests.postgres import _apart

from bench.contest import Cell, Contestant, Figures, spread
from bench.load import drive
from bench.sql.places import LONG, PARENTS, ROWS, Stage
from reverie.sqlite_connection import driver

PAGE = 25
DATABASES = {"bench": "SQLite", "benchpg": "PostgreSQL", "benchmy": "MariaDB"}
RECORD = {"resource": [{"name": "Made", "in_stock": 5, "unit_price": 1.5}]}
FLAT = {"name": "Made", "in_stock": 5, "unit_price": 1.5}
BATCH = [{"id": n, "kind": n % 7, "name": f"batch {n}"} for n in range(1, 1001)]
PEERS = {
    ("bench", "list of 25"): "0.25", ("bench", "one row"): "0.40", ("bench", "create"): "0.50",
    ("benchpg", "list of 25"): "0.50", ("benchpg", "one row"): "0.67",
}  # fmt: skip
"""At most so many times ours may a peer be."""
CREATES = {"bench": ("PocketBase", "/api/collections/made/records"), "benchpg": ("PostgREST", "/made")}
"""The peer of a database, and where it takes a record."""


class Plan:
    """One run of all cells.

    Args:
        seconds: of each measurement with wrk.
        big: rows of the large table.
    """

    def __init__(self, stage: Stage, seconds: float, big: int) -> None:
        self.stage = stage
        self.seconds = seconds
        self.big = big
        self.places = ["bench", *(["benchpg"] if stage.postgresql else [])]
        self.beside = [*self.places, *(["benchmy"] if stage.mariadb else [])]
        """Where single reads and creates are measured."""

    def key(self) -> dict[str, str]:
        return {"X-DreamFactory-API-Key": self.stage.server.key}


def _wrk(plan: Plan, base: str, script: str) -> Callable[[Path], Figures]:
    def measure(folder: Path) -> Figures:
        found = drive(base, script, seconds=plan.seconds)
        if found.errors:
            raise RuntimeError(f"{found.errors} answers were errors")
        return {"rate": found.rate, "p50": found.p50, "p99": found.p99}

    return measure


def _lua(path: str, headers: Mapping[str, str], *, most: int, form: str = "%d", body: str = "") -> str:
    """Requests that differ: ``@`` in *path* is a number from 1 to *most* that jumps about, in the form *form*."""
    lines = "".join(f'headers["{name}"] = "{value}"\n' for name, value in headers.items())
    verb = "POST" if body else "GET"
    return f"""
local n = 0
local headers = {{}}
{lines}
local body = {f"[==[{body}]==]" if body else "nil"}
request = function()
  n = n + 1
  local number = string.format("{form}", (n * 7919) % {most} + 1)
  return wrk.format("{verb}", (string.gsub("{path}", "@", number)), headers, body)
end
"""


def _loads(
    path: str, *, most: int, form: str = "%d", body: str = "", more: Mapping[str, str] | None = None
) -> Callable[[Mapping[str, str]], str]:
    """A script, once it is known which headers say who asks."""
    return lambda headers: _lua(path, {**headers, **(more or {})}, most=most, form=form, body=body)


def _peer(plan: Plan, name: str, script: Callable[[Mapping[str, str]], str], how: str) -> Contestant:
    stage = plan.stage
    label = f"{name} {stage.versions[name]}" if name in stage.versions else name

    def measure(folder: Path) -> Figures:
        if name not in stage.bases:
            raise RuntimeError(stage.missing.get(name, "is not there"))
        return _wrk(plan, stage.bases[name], script(stage.headers.get(name, {})))(folder)

    return Contestant(label, measure, how)


def _same_bytes(plan: Plan, base: str, path: str) -> None:
    """The bare handler does the same work, so it must answer the same bytes."""
    for number in ("1", "77", "4321"):
        wanted = plan.stage.server.as_key("GET", path.replace("@", number)).body
        there = urllib.parse.urlsplit(base)
        with closing(http.client.HTTPConnection("127.0.0.1", there.port or 0, timeout=20)) as connection:
            connection.request("GET", path.replace("@", number))
            got = connection.getresponse().read()
        if wanted != got:
            raise SystemExit(f"the bodies differ:\n{wanted[:300]!r}\n{got[:300]!r}")


def reads(plan: Plan) -> Iterator[Cell]:
    """One row, and a list of 25, beside the bare handler and the peer of that database, where it has one."""
    for place in plan.beside:
        database = DATABASES[place]
        for what, path, most in (
            ("list of 25", f"/api/v2/{place}/_table/item?order=id&limit={PAGE}&offset=@", ROWS - 100),
            ("one row", f"/api/v2/{place}/_table/item/@", ROWS - 100),
        ):
            bare = plan.stage.bases[f"bare {database}"]
            _same_bytes(plan, bare, path)
            ours = _lua(path, plan.key(), most=most)
            contestants = [
                Contestant("Reverie", _wrk(plan, plan.stage.server.base, ours), "key, role"),
                Contestant("bare handler", _wrk(plan, bare, _lua(path, {}, most=most)), "no access check; same bytes"),
            ]
            some = what == "list of 25"
            if place == "bench":
                there = (
                    f"/api/collections/item/records{f'?sort=id&skipTotal=1&perPage={PAGE}&page=@' if some else '/@'}"
                )
                script = _loads(there, most=ROWS // PAGE - 4) if some else _loads(there, most=most, form="%015d")
                contestants.append(_peer(plan, "PocketBase", script, "signed in, rule; does not count"))
            elif place == "benchpg":
                there = f"/item?order=id&limit={PAGE}&offset=@" if some else "/item?id=eq.@"
                contestants.append(_peer(plan, "PostgREST", _loads(there, most=most), "token, role; pool of 8"))
            yield Cell(
                f"{database} {what}", "16 connections", contestants, unit="requests/s",
                marks=_marks(place, what, contestants),
            )  # fmt: skip


def _marks(place: str, what: str, contestants: list[Contestant]) -> dict[str, str]:
    """What the others may at most be, in our times; MariaDB is only stated."""
    peer = {contestants[-1].name: PEERS[place, what]} if (place, what) in PEERS else {}
    return peer if place == "benchmy" or what == "create" else {"bare handler": "1.25", **peer}


def creates(plan: Plan) -> Iterator[Cell]:
    """One record created by each request; every one is durable before it is answered."""
    for place in plan.beside:
        database = DATABASES[place]
        path = f"/api/v2/{place}/_table/made"
        json_type = {"Content-Type": "application/json"}
        body = json.dumps(RECORD)
        ours = _lua(path, {**plan.key(), **json_type}, most=9, body=body)
        bare = _lua(path, json_type, most=9, body=body)
        contestants = [
            Contestant("Reverie", _wrk(plan, plan.stage.server.base, ours), "key, role; commits of many share a sync"),
            Contestant("bare handler", _wrk(plan, plan.stage.bases[f"bare {database}"], bare), "a commit for each"),
        ]
        if place in CREATES:
            peer, there = CREATES[place]
            script = _loads(there, most=9, body=json.dumps(FLAT), more=json_type)
            contestants.append(_peer(plan, peer, script, "signed in"))
        yield Cell(
            f"{database} create", "16 connections", contestants, unit="requests/s",
            marks=_marks(place, "create", contestants),
        )  # fmt: skip


def related(plan: Plan) -> Iterator[Cell]:
    """25 parents with three relations of three records each."""
    wanted = ",".join(f"part_{name}_by_item_id" for name in "abc")
    contestants = []
    for place in plan.places:
        path = f"/api/v2/{place}/_table/item?order=id&limit={PAGE}&related={wanted}&offset=@"
        script = _lua(path, plan.key(), most=PARENTS - PAGE)
        label = "Reverie, SQLite" if place == "bench" else "Reverie, PostgreSQL"
        contestants.append(Contestant(label, _wrk(plan, plan.stage.server.base, script), "4 statements"))
    embed = f"/item?select=*,part_a(*),part_b(*),part_c(*)&order=id&limit={PAGE}&offset=@"
    contestants.append(_peer(plan, "PostgREST", _loads(embed, most=PARENTS - PAGE), "one statement"))
    yield Cell("related", "25 parents, 3 relations", contestants, unit="requests/s")


def exports(plan: Plan) -> Iterator[Cell]:
    """100,000 records in one answer: how fast, and what the server grows by meanwhile."""
    server = plan.stage.server
    assert server.process is not None
    process = psutil.Process(server.process.pid)

    def grown() -> int:
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))

    def taken(port: int, path: str, headers: Mapping[str, str], memory: Callable[[], int] | None) -> Figures:
        before = memory() if memory else 0
        began = time.perf_counter()
        size, most = 0, before
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {answer.read()[:200]!r}")
            while chunk := answer.read(1 << 20):
                size += len(chunk)
                most = max(most, memory()) if memory else 0
        rate = LONG / (time.perf_counter() - began)
        return {"rate": rate, "MB": size / 1e6} | ({"grown MB": (most - before) / 1e6} if memory else {})

    contestants = []
    for place, (form, more) in itertools.product(plan.places, {"JSON": "", "CSV": "&file=line.csv"}.items()):
        path = f"/api/v2/{place}/_table/line?order=id&limit={LONG}{more}"
        label = f"Reverie, {'SQLite' if place == 'bench' else 'PostgreSQL'}, {form}"
        contestants.append(
            Contestant(label, lambda folder, path=path: taken(server.port, path, plan.key(), grown), "streams")  # type: ignore[misc]
        )
    if "PostgREST" in plan.stage.bases:
        port = urllib.parse.urlsplit(plan.stage.bases["PostgREST"]).port or 0
        headers = plan.stage.headers["PostgREST"]
        contestants.append(
            Contestant("PostgREST, JSON", lambda folder: taken(port, "/line?order=id", headers, None), "whole")
        )
    yield Cell("export", "100,000 records in one answer", contestants, unit="records/s", rounds=3)


def batches(plan: Plan) -> Iterator[Cell]:
    """1,000 records in one request, beside the driver's own executemany in one transaction."""
    server = plan.stage.server
    numbers = itertools.count(1)

    def posted(place: str) -> Figures:
        start = 10_000_000 + next(numbers) * 1000
        records = [{**one, "id": start + n} for n, one in enumerate(BATCH)]
        began = time.perf_counter()
        answer = server.as_key("POST", f"/api/v2/{place}/_table/big", {"resource": records})
        if answer.status != 200:
            raise RuntimeError(answer.body[:200].decode())
        return {"milliseconds": (time.perf_counter() - began) * 1000}

    def sqlite() -> Figures:
        rows = _rows(next(numbers))
        with closing(driver.connect(str(plan.stage.sqlite), timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=FULL")
            began = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO big VALUES (?, ?, ?)", rows)
            db.execute("COMMIT")
            return {"milliseconds": (time.perf_counter() - began) * 1000}

    def postgresql() -> Figures:
        async def work() -> float:
            db: Any = await asyncpg.connect(plan.stage.postgresql)
            began = time.perf_counter()
            async with db.transaction():
                await db.executemany("INSERT INTO big VALUES ($1, $2, $3)", _rows(next(numbers)))
            spent = time.perf_counter() - began
            await db.close()
            return spent

        return {"milliseconds": _apart(work) * 1000}

    for place, bare in {"bench": sqlite, "benchpg": postgresql}.items():
        if place in plan.places:
            yield Cell(
                f"batch, {'SQLite' if place == 'bench' else 'PostgreSQL'}", "1,000 records in one request",
                [
                    Contestant("executemany", lambda folder, bare=bare: bare(), "one transaction"),  # type: ignore[misc]
                    Contestant("Reverie", lambda folder, place=place: posted(place), "over HTTP, key, role"),  # type: ignore[misc]
                ],
                figure="milliseconds", unit="ms", marks={"Reverie": "1.5"},
            )  # fmt: skip


def _rows(number: int) -> list[tuple[int, int, str]]:
    start = 10_000_000 + number * 1000
    return [(start + n, n % 7, f"batch {n}") for n in range(1000)]


def cursors(plan: Plan) -> Iterator[Cell]:
    """All pages of 1,000 records of the large table, behind one another, at its beginning, middle and end."""
    server = plan.stage.server

    def walked(place: str, order: str) -> Figures:
        path = f"/api/v2/{place}/_table/big?filter=id%3C10000000&order={order}&limit=1000&after="
        after, seconds = "", []
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            while after is not None:
                began = time.perf_counter()
                connection.request("GET", path + after, headers=plan.key())
                page = json.loads(connection.getresponse().read())
                seconds.append(time.perf_counter() - began)
                after = page.get("meta", {}).get("after")
            connection.request("GET", path.replace("&after=", f"&offset={plan.big - 1000}"), headers=plan.key())
            began = time.perf_counter()
            connection.getresponse().read()
            last = time.perf_counter() - began
        part = max(1, len(seconds) // 10)
        return {
            "first": spread(seconds[1 : part + 1])["p50"],
            "middle": spread(seconds[len(seconds) // 2 : len(seconds) // 2 + part])["p50"],
            "last": spread(seconds[-part - 1 : -1] or seconds)["p50"],
            "pages": len(seconds),
            "last by offset": last * 1000,
        }

    contestants = [
        Contestant(
            f"{'SQLite' if place == 'bench' else 'PostgreSQL'}, order={order}",
            lambda folder, place=place, order=order: walked(place, order),  # type: ignore[misc]
        )
        for place in plan.places
        for order in ("id", "kind", "kind%20desc")
    ]
    yield Cell(
        "cursor", f"{plan.big:,} rows, pages of 1,000", contestants, figure="last", unit="ms at the end", rounds=1
    )


CELLS: Mapping[str, Callable[[Plan], Iterator[Cell]]] = {
    "reads": reads, "creates": creates, "related": related, "exports": exports, "batches": batches, "cursors": cursors,
}  # fmt: skip
