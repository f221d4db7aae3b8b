"""What is measured, by name; `CELLS` is the list that ``--only`` chooses from."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contest import Cell, Contestant, Figures, Skip, told
from bench.queue import floors, live, peers
from bench.queue.servers import Running


@dataclass(frozen=True)
class Plan:
    """How much of everything; `scale` 1 is the whole, 0.1 a short look."""

    servers: Running
    cache: peers.Cache
    pairs: Sequence[str]
    scale: float

    def jobs(self, whole: int, *, least: int = 100) -> int:
        return max(least, int(whole * self.scale))

    def seconds(self, whole: float) -> float:
        return max(2.0, whole * self.scale)


def ours(plan: Plan, what: str, pair: str, name: str, how: str = "", **options: object) -> Contestant:
    """One of the measurements of `bench.queue.ours` on a pair, in a process of its own."""

    def measure(folder: Path) -> Figures:
        with _addresses(plan.servers, pair) as addresses:
            words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
            command = [sys.executable, "-m", "bench.queue.ours", what, f"--pair={pair}", f"--folder={folder}"]
            effects = folder / "effects"
            before = plan.servers.cpu_seconds()
            figures = dict(told([*command, *addresses, f"--effects={effects}", *words]))
            jobs = options.get("jobs")
            if what == "burn" and isinstance(jobs, int):
                figures["store cpu"] = (plan.servers.cpu_seconds() - before) / jobs * 1000
                if effects.stat().st_size < jobs:
                    raise RuntimeError(f"{jobs} jobs, {effects.stat().st_size} effects")
            return figures

    return Contestant(name, measure, how)


@contextlib.contextmanager
def _addresses(servers: Running, pair: str) -> Iterator[list[str]]:
    """Options that tell where this pair's servers are."""
    with contextlib.ExitStack() as stack:
        options = []
        if "postgresql" in pair:
            if servers.postgresql is None:
                raise Skip("there is no PostgreSQL")
            options.append(f"--postgresql={stack.enter_context(servers.database())}")
        if "redis" in pair:
            if servers.redis is None:
                raise Skip("there is no Redis")
            options.append(f"--redis=redis://127.0.0.1:{servers.redis}/0")
        yield options


def floor(plan: Plan) -> Iterator[Cell]:
    yield Cell("floor", "L0, durable appends of 4 KiB", [Contestant("fdatasync", floors.fsyncs)], unit="a second")
    jobs = plan.jobs(6000)
    raw = [floors.raw_sqlite(batch, mode, jobs) for mode in ("FULL", "NORMAL") for batch in (50, 1)]
    yield Cell("floor", "L0, claim and finish in SQL alone", raw)
    programs = [
        floors.forks(),
        floors.spawns("node", "-e", ""),
        floors.spawns("php", "-r", ""),
        floors.spawns(sys.executable, "-I", "-S", "-c", ""),
        floors.spawns("deno", "eval", ""),
    ]
    yield Cell("floor", "L0, a process for each job", programs, unit="a second")
    redis = [floors.redis_benchmark(plan.servers.redis or 0, pipeline=pipeline) for pipeline in (16, 1)]
    yield Cell("floor", "L0, Redis", redis, unit="a second")


def ledger(plan: Plan) -> Iterator[Cell]:
    """Each batch beside the raw SQL of the same batch, so that the ratio is the ledger's own cost."""
    for batch, whole in ((50, 20_000), (1, 3000)):
        contestants = [
            ours(plan, "ledger", pair, f"{pair}, batch {batch}", jobs=plan.jobs(whole), batch=batch)
            for pair in plan.pairs
            if pair.endswith("+database")
        ]
        raw = floors.raw_sqlite(batch, "FULL", plan.jobs(whole))
        yield Cell("ledger", f"L1, claim and finish by {batch}, no worker", [raw, *contestants])


def burn(plan: Plan) -> Iterator[Cell]:
    """Jobs that do nothing and wait already; one worker; and the peers with the same effect and durability."""
    jobs, some, few = plan.jobs(50_000), plan.jobs(10_000), plan.jobs(2000)
    size, how = 1024, "50 at one time; lease, epoch, history on"
    mine = [
        ours(plan, "burn", pair, f"Reverie, {pair}", how, jobs=jobs, payload=size, concurrency=50)
        for pair in plan.pairs
    ]
    sqlite = functools.partial(ours, plan, "burn", "sqlite+database", payload=size)
    others = [
        sqlite("Reverie, synchronous NORMAL", "as above", jobs=jobs, concurrency=50, synchronous="NORMAL"),
        sqlite("Reverie, 2 at one time", "as `reverie up`", jobs=jobs, concurrency=2),
        ours(plan, "burn", "sqlite+database", "Reverie, 32 KiB each", how, jobs=some, payload=32 * 1024),
    ]
    rivals = [
        peers.laravel("sqlite", "work", some, size, plan.servers),
        peers.laravel("redis", "work", some, size, plan.servers),
        peers.laravel("sqlite", "listen", plan.jobs(40, least=10), size, plan.servers),
        peers.procrastinate(1, few, size, plan.servers, plan.cache),
        peers.procrastinate(8, few, size, plan.servers, plan.cache),
        peers.graphile("plain", some, size, plan.servers, plan.cache),
        peers.graphile("batched", jobs, size, plan.servers, plan.cache),
        peers.huey(some, size, plan.cache),
        peers.rq("simple", few, size, plan.servers, plan.cache),
        peers.rq("fork", plan.jobs(500), size, plan.servers, plan.cache),
    ]
    marks = {
        "Reverie, sqlite+database": "5,000",
        "Reverie, synchronous NORMAL": "10,000",
        "Reverie, postgresql+database": "8,000",
        "Reverie, postgresql+redis": "0.9 of without",
    }
    yield Cell(
        "burn", f"L2, jobs of {size} bytes that wait, a worker with no script", [*mine, *others, *rivals], marks=marks
    )


def _offers(plan: Plan, rate: float, seconds: float) -> list[Contestant]:
    return [
        ours(plan, "offer", pair, pair, f"{rate:g} jobs/s for {seconds:g} s", rate=rate, seconds=seconds)
        for pair in plan.pairs
    ]


def pickup(plan: Plan) -> Iterator[Cell]:
    cell = functools.partial(Cell, figure="p50", unit="ms p50", rounds=3)
    yield cell(
        "pickup",
        "L2, from commit in one process to the run in an idle worker in another",
        _offers(plan, 20, plan.seconds(15)),
        marks=dict.fromkeys(plan.pairs, "5"),
    )


def steady(plan: Plan) -> Iterator[Cell]:
    """At rates that one process can offer one by one: the producer takes its part of the same cores."""
    for rate in (250, 500, 1000):
        yield Cell(
            "steady",
            f"L2, waits at {rate} jobs a second",
            _offers(plan, rate, plan.seconds(10)),
            "p99",
            "ms p99",
            rounds=3,
        )


def enqueue(plan: Plan) -> Iterator[Cell]:
    contestants = [ours(plan, "enqueue", pair, pair, jobs=plan.jobs(10_000, least=640)) for pair in plan.pairs]
    yield Cell("enqueue", "L2, durable pushes, 1 KiB", contestants, unit="jobs/s one by one", rounds=3)


def backlog(plan: Plan) -> Iterator[Cell]:
    for pair in plan.pairs:
        if not pair.endswith("+database"):
            continue
        most = {"sqlite+database": "10", "postgresql+database": "25"}.get(pair, "")
        sizes = [plan.jobs(size, least=2500) for size in (10_000, 100_000, 1_000_000)]
        contestants = [ours(plan, "backlog", pair, f"{size:,} wait", jobs=size, payload=64, batch=50) for size in sizes]
        marks = {one.name: most for one in contestants}
        yield Cell(
            "backlog", f"L2, claims of 50 jobs, {pair}", contestants, figure="p99", unit="ms p99", rounds=1, marks=marks
        )


def memory(plan: Plan) -> Iterator[Cell]:
    contestants = [ours(plan, "memory", pair, pair, jobs=plan.jobs(240_000, least=12_000)) for pair in plan.pairs]
    yield Cell(
        "memory",
        "MiB that the worker grows by in 100,000 jobs, after the first of six parts",
        contestants,
        unit="MiB",
        rounds=1,
    )


def idle(plan: Plan) -> Iterator[Cell]:
    contestants = [live.idle(plan.servers, pair, seconds=max(10.0, plan.seconds(60))) for pair in plan.pairs]
    yield Cell(
        "idle", "a worker of ten empty queues", contestants, figure="cpu %", unit="% of a core", rounds=1,
        marks=dict.fromkeys(plan.pairs, "0.5"),
    )  # fmt: skip


def scripts(plan: Plan) -> Iterator[Cell]:
    """Empty scripts, each in a fresh realm or process; beside them what a PHP job costs Laravel."""
    some = plan.jobs(3000)
    rivals = [
        peers.laravel("sqlite", "work", some, 64, plan.servers),
        peers.laravel("sqlite", "listen", plan.jobs(40, least=10), 64, plan.servers),
    ]
    mine = [
        live.scripts(plan.servers, pair, language, who, jobs=some)
        for pair in plan.pairs
        if pair.endswith("+database")
        for language in ("v8js", "nodejs", "python3", "php")
        for who in ("up", "work")
    ]
    floors_of = [floors.forks(), floors.spawns("php", "-r", "")]
    yield Cell("scripts", "L3, empty scripts that wait", [*mine, *rivals, *floors_of], rounds=3)


def accept(plan: Plan) -> Iterator[Cell]:
    contestants = [
        live.accept(plan.servers, pair, rate=500, seconds=plan.seconds(15), workers=workers)
        for pair in plan.pairs
        for workers in (0, 1)
    ]
    yield Cell(
        "accept", "L4, 202 at 500 calls a second, open loop", contestants, figure="p99", unit="ms p99", rounds=3,
        marks=dict.fromkeys((one.name for one in contestants), "10"),
    )  # fmt: skip


def crash(plan: Plan) -> Iterator[Cell]:
    kinds = [("child", "2 s"), ("worker", "45 s")]
    contestants = [live.crash(plan.servers, pair, kind) for pair in plan.pairs for kind, _ in kinds]
    marks = {f"{pair}, {kind} killed": mark for pair in plan.pairs for kind, mark in kinds}
    yield Cell(
        "crash", "from SIGKILL until the job runs again", contestants, figure="s", unit="s", rounds=3, marks=marks
    )


CELLS: dict[str, Callable[[Plan], Iterator[Cell]]] = {
    one.__name__: one
    for one in (floor, ledger, burn, pickup, steady, enqueue, backlog, memory, idle, scripts, accept, crash)
}
