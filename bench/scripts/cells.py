"""The tables of ``scripts/bench scripts``."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.acceptance.server import Server

from bench.contest import Cell, Contestant, Figures, Skip, percentile
from bench.load import Measured, drive
from bench.queue import floors
from bench.script_cells import LIST, POST_PROCESS, Kept
from bench.scripts.forks import forks_per_second
from reverie.app.drivers import script_engines
from reverie.config import Settings
from reverie.errors import ScriptError

LANGUAGES = ("v8js", "nodejs", "typescript", "python3", "php")
TOUCH = dict.fromkeys(LANGUAGES, "event.response.content.resource[0].seen = true;") | {
    "python3": "event.response.content.resource[0].seen = True",
    "php": "$event['response']['content']['resource'][0]['seen'] = true;",
}
ROW = "bench/_table/item/77"
GETS = 50
LOOP = {
    "v8js": f"for (var i = 0; i < {GETS}; i++) platform.api.get('{ROW}');",
    "typescript": f"for (let i = 0; i < {GETS}; i++) platform.api.get('{ROW}');",
    "nodejs": f"return (async () => {{ for (let i = 0; i < {GETS}; i++) await platform.api.get('{ROW}'); }})();",
    "python3": f"for _ in range({GETS}):\n    platform.api.get('{ROW}')",
    "php": f"$get = $platform['api']->get; for ($i = 0; $i < {GETS}; $i++) {{ $get('{ROW}'); }}",
}
READY = 0.005
"""Seconds between two calls, in which the next realm or fork is made ready."""
FORKING = ("python3", "php")
WARM_UP = 1.0
"""Seconds in which as many children start as the load needs."""
STORED = 10_000
REST = 3.0


@dataclass(frozen=True)
class Plan:
    """What is measured: a server on a table with rows, a bare handler of the same table, and how long."""

    server: Server
    bare: str
    calls: int
    seconds: float

    def save(self, name: str, language: str, content: str, *, active: bool = True) -> None:
        """An event script. Raises Skip where this host lacks the language."""
        known = {one["name"] for one in self.server.as_admin("GET", "/api/v2/system/script_type").json["resource"]}
        if language not in known:
            raise Skip(f"this host does not run {language}")
        record = {"type": language, "content": content, "is_active": active, "allow_event_modification": True}
        answer = self.server.as_admin("POST", f"/api/v2/system/event_script/{name}", record)
        if answer.status not in (200, 201):
            raise Skip(answer.body.decode()[:200])

    def save_many(self, texts: Mapping[str, str]) -> None:
        """Active v8js scripts by name."""
        records = [{"name": name, "type": "v8js", "content": text, "is_active": True} for name, text in texts.items()]
        answer = self.server.as_admin("POST", "/api/v2/system/event_script", {"resource": records})
        if answer.status not in (200, 201):
            raise Skip(answer.body.decode()[:200])

    @contextlib.contextmanager
    def post_process(self, language: str) -> Iterator[None]:
        """The script of that language on the list, taken away afterwards."""
        self.save(POST_PROCESS, language, TOUCH[language])
        try:
            yield
        finally:
            self.server.as_admin("DELETE", f"/api/v2/system/event_script/{POST_PROCESS}")

    @contextlib.contextmanager
    def service(self, language: str, content: str) -> Iterator[str]:
        """A script service that the key may call; its path."""
        name = f"direct_{language}"
        self.save("bench._table.nothing.get", language, "", active=False)
        body = {"name": name, "type": language, "is_active": True, "config": {"content": content}}
        made = self.server.as_admin("POST", "/api/v2/system/service", body)
        number = made.json["resource"][0]["id"]
        role = self.server.as_admin("GET", "/api/v2/system/role?fields=id").json["resource"][0]["id"]
        access = {"service_id": number, "component": "*", "verb_mask": 31, "requestor_mask": 3}
        self.server.as_admin("PATCH", f"/api/v2/system/role/{role}", {"role_service_access_by_role_id": [access]})
        try:
            yield f"/api/v2/{name}"
        finally:
            self.server.as_admin("DELETE", f"/api/v2/system/service/{number}")

    def children(self) -> dict[str, list[int]]:
        """Process ids of the warm children of the API, by language."""
        told = self.server.as_admin("GET", "/api/v2/system/environment").json["runtime"]["engines"]
        return {name: one["pids"] for name, one in told.items() if "alias" not in one}


def get(path: str, key: str) -> str:
    """A wrk script that asks for the same path again and again."""
    return f'wrk.path = "{path}"\nwrk.headers["X-DreamFactory-API-Key"] = "{key}"\n'


def added(plan: Plan) -> Iterator[Cell]:
    """A post_process script on the list of 25, and the same call without it, turn about."""

    def contestant(language: str) -> Contestant:
        def measure(folder: Path) -> Figures:
            kept = Kept(plan.server)
            plain: list[float] = []
            scripted: list[float] = []
            for _ in range(4):
                for active, found in ((False, plain), (True, scripted)):
                    plan.save(POST_PROCESS, language, TOUCH[language], active=active)
                    for _ in range(5):
                        kept.milliseconds(LIST)
                    for _ in range(plan.calls // 4):
                        time.sleep(READY)
                        found.append(kept.milliseconds(LIST))
            plan.server.as_admin("DELETE", f"/api/v2/system/event_script/{POST_PROCESS}")
            return {
                "added": statistics.median(scripted) - statistics.median(plain),
                "added p99": percentile(scripted, 99) - percentile(plain, 99),
                "without": statistics.median(plain),
            }

        return Contestant(language, measure, "one connection, the next realm or fork ready")

    marks = dict.fromkeys(LANGUAGES, "1, p99 3") | {"v8js": "0.5, p99 1.5", "typescript": ""}
    yield Cell(
        "added", "post_process on a list of 25", [contestant(one) for one in LANGUAGES],
        figure="added", unit="ms p50 added", rounds=3, marks=marks,
    )  # fmt: skip


def crowd(plan: Plan) -> Iterator[Cell]:
    """The same at 16 connections."""

    def wrk(base: str) -> Figures:
        return _rate(drive(base, get(LIST, plan.server.key), seconds=plan.seconds))

    def contestant(language: str) -> Contestant:
        def measure(folder: Path) -> Figures:
            with plan.post_process(language):
                drive(plan.server.base, get(LIST, plan.server.key), seconds=WARM_UP)
                return wrk(plan.server.base)

        return Contestant(language, measure, "post_process")

    none = Contestant("without a script", lambda folder: wrk(plan.server.base), "key and role")
    bare = Contestant("bare handler", lambda folder: wrk(plan.bare), "same rows, no platform")
    everyone = [none, bare, *(contestant(one) for one in LANGUAGES)]
    yield Cell("crowd", "list of 25, 16 connections", everyone, unit="calls/s", rounds=3)


def inside(plan: Plan) -> Iterator[Cell]:
    """`platform.api.get` of one row, beside the same call over HTTP without a script."""

    def contestant(language: str) -> Contestant:
        def measure(folder: Path) -> Figures:
            kept = Kept(plan.server)
            outside = statistics.median([kept.milliseconds(f"/api/v2/{ROW}") for _ in range(200)])
            with plan.service(language, "") as path:
                nothing = statistics.median([kept.milliseconds(path) for _ in range(60)])
            with plan.service(language, LOOP[language]) as path:
                many = statistics.median([kept.milliseconds(path) for _ in range(40)])
            call = (many - nothing) / GETS
            return {"over": call - outside, "call": call, "over HTTP": outside}

        return Contestant(language, measure, f"{GETS} calls in a run")

    yield Cell(
        "inside", "platform.api.get of a row, less the same call without a script",
        [contestant(one) for one in LANGUAGES],
        figure="over", unit="ms p50 over", rounds=3, marks=dict.fromkeys(LANGUAGES, "0.2"),
    )  # fmt: skip


def direct(plan: Plan) -> Iterator[Cell]:
    """A script service that does nothing, called straight; beside it a fork, and a process for each run.

    Where each run is a fork, a run takes at least one fork and one call of ours: that is what is allowed.
    """

    def contestant(language: str) -> Contestant:
        def measure(folder: Path) -> Figures:
            with plan.service(language, "") as path:
                drive(plan.server.base, get(path, plan.server.key), seconds=WARM_UP)
                found = _rate(drive(plan.server.base, get(path, plan.server.key), seconds=plan.seconds))
            if language not in FORKING:
                return found
            forks = forks_per_second(language)
            call = drive(plan.server.base, get(f"/api/v2/{ROW}", plan.server.key), seconds=plan.seconds).rate
            allowed = 1 / (1 / forks + 1 / call)
            return {**found, "of what is allowed": found["rate"] / allowed, "forks": forks, "calls of a row": call}

        return Contestant(language, measure, "16 connections, isolation instance")

    rivals = [
        floors.forks(),
        floors.spawns("node", "-e", ""),
        floors.spawns("python3", "-c", ""),
        floors.spawns("php", "-r", ""),
    ]
    marks = {"v8js": "1,500", "nodejs": "1,500"} | dict.fromkeys(FORKING, "0.8 of what is allowed")
    everyone = [*(contestant(one) for one in LANGUAGES), *rivals]
    yield Cell("direct", "empty script services", everyone, unit="runs/s", rounds=3, marks=marks)


def cold(plan: Plan) -> Iterator[Cell]:
    """From nothing to a child that can take a run."""

    async def start(language: str, folder: Path) -> float:
        engine = script_engines(Settings(data_dir=folder), 1)[language]
        if engine.missing:
            raise Skip(engine.missing)
        began = time.perf_counter()
        try:
            await engine.start()
            return (time.perf_counter() - began) * 1000
        except ScriptError as error:
            raise Skip(error.message) from error
        finally:
            await engine.close()

    def contestant(language: str) -> Contestant:
        return Contestant(
            language, lambda folder: {"start": asyncio.run(start(language, folder))}, "process, sandbox, runner"
        )

    yield Cell(
        "cold", "start of an engine", [contestant(one) for one in LANGUAGES], figure="start", unit="ms", rounds=7,
        marks=dict.fromkeys(LANGUAGES, "150"),
    )  # fmt: skip


def memory(plan: Plan) -> Iterator[Cell]:
    """Warm children at rest, after some runs."""

    def contestant(language: str) -> Contestant:
        def measure(folder: Path) -> Figures:
            with plan.service(language, "") as path:
                kept = Kept(plan.server)
                for _ in range(50):
                    kept.milliseconds(path)
                time.sleep(REST)
                held = [psutil.Process(pid).memory_full_info() for pid in plan.children()[language]]
            if not held:
                raise Skip("it has no warm child")
            shares, resident = [one.pss / 2**20 for one in held], [one.rss / 2**20 for one in held]
            return {"MiB": max(shares), "resident": max(resident), "children": len(held)}

        return Contestant(language, measure, "the largest, its share of shared pages (PSS)")

    everyone = [contestant(one) for one in LANGUAGES]
    yield Cell(
        "memory", "warm children", everyone, figure="MiB", unit="MiB", rounds=1, marks=dict.fromkeys(LANGUAGES, "60")
    )


def many(plan: Plan) -> Iterator[Cell]:
    """The list with a script on it, before and after 10,000 other scripts are stored."""

    def look(folder: Path) -> Figures:
        with plan.post_process("v8js"):
            kept = Kept(plan.server)
            waits = [kept.milliseconds(LIST) for _ in range(plan.calls)]
        return {"p50": statistics.median(waits), "p99": percentile(waits, 99)}

    def stored(folder: Path) -> Figures:
        total = int(
            plan.server.as_admin("GET", "/api/v2/system/event_script?limit=1&include_count=true").json["meta"]["count"]
        )
        for first in range(total, STORED, 500):
            numbers = range(first, min(first + 500, STORED))
            names = {f"bench._table.other{n}.get.post_process": f"event.number = {n};" for n in numbers}
            plan.save_many(names)
        return look(folder)

    everyone = [Contestant("one script", look), Contestant(f"{STORED:,} scripts", stored, "each another text")]
    yield Cell("many", "list of 25 with a v8js script, one connection", everyone, figure="p50", unit="ms p50", rounds=1)


def _rate(measured: Measured) -> Figures:
    return {"rate": measured.rate, "p50": measured.p50, "p99": measured.p99, "errors": measured.errors}


CELLS: dict[str, Callable[[Plan], Iterator[Cell]]] = {
    one.__name__: one for one in (added, crowd, inside, direct, cold, memory, many)
}
