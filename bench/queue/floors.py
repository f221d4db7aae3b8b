"""L0: what the machine and the stores do with none of our code between, so that a lost factor can be located."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.contest import Contestant, Figures, Skip, told
from bench.queue.pairs import Servers, opened, prepare
from reverie.cli.measure import push
from reverie.config import Settings
from reverie.jobs.ledgers import sqlite as ours
from reverie.sqlite import engine_version
from reverie.sqlite_connection import driver


def machine() -> list[str]:
    """The lines that stand above every table."""
    lines = [
        f"{platform.platform()}, {os.cpu_count()} cores, load {', '.join(f'{one:.2f}' for one in os.getloadavg())}"
    ]
    versions = [f"Python {platform.python_version()}", f"SQLite {'.'.join(map(str, engine_version()))}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("uvloop", "reverie")]
    for command in (
        ["node", "--version"],
        ["php", "--version"],
        ["deno", "--version"],
        ["redis-server", "--version"],
        ["postgres", "--version"],
    ):
        program = which(command[0])
        if program is not None:
            said = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False).stdout
            versions.append(" ".join(said.splitlines()[0].split()[:3]) if said else command[0])
    return [*lines, ", ".join(versions)]


def which(name: str) -> str | None:
    """Where a program is, also where Debian keeps PostgreSQL's and pip a binary of a package."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path(sys.prefix) / "bin"]
    return shutil.which(name) or next((str(one / name) for one in places if (one / name).exists()), None)


def fsyncs(folder: Path) -> Figures:
    """Appends of 4 KiB with fdatasync, for a second: the most commits one after the other that can be durable."""
    with (folder / "file").open("wb", buffering=0) as file:
        waits: list[float] = []
        until = time.perf_counter() + 1
        while time.perf_counter() < until:
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            waits.append(time.perf_counter() - began)
    return {"rate": len(waits) / sum(waits), "p99": sorted(waits)[len(waits) * 99 // 100] * 1000}


def raw_sqlite(batch: int, synchronous: str, jobs: int) -> Contestant:
    """Our own SQL for claim and finish on one connection, with nothing around it."""

    def measure(folder: Path) -> Figures:
        settings = prepare("sqlite+database", folder, Servers())
        asyncio.run(_fill(settings, jobs))
        db = driver.connect(str(settings.store_path), isolation_level=None)
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "cache_size=-16384"):
            db.execute(f"PRAGMA {pragma}")
        began = time.perf_counter()
        taken = 0
        while taken < jobs:
            now = time.time()
            db.execute("BEGIN IMMEDIATE")
            values = ("raw", now + 30, "database", "bench", 0, now, batch)
            rows = db.execute(ours._CLAIM, values).fetchall()
            db.execute("COMMIT")
            assert rows, f"only {taken} of {jobs} could be claimed"
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                ended = db.execute(ours._SETTLE, ("done", 1, 0, None, now, now, None, row[0], 1)).fetchall()
                assert len(ended) == 1
                db.execute(ours._KEEP_ATTEMPT, (row[0], 1, 1, "raw", now, now, "done", None, None))
            db.execute("COMMIT")
            taken += len(rows)
        seconds = time.perf_counter() - began
        db.close()
        return {"rate": jobs / seconds}

    return Contestant(f"raw SQL, batch {batch}, {synchronous}", measure, "our claim and finish, one connection")


async def _fill(settings: Settings, jobs: int) -> None:
    async with opened(settings) as queue:
        await push(queue, [], jobs=jobs, payload=1024, at_once=500)


def spawns(name: str, *arguments: str) -> Contestant:
    """Start a program that does nothing and wait for it: the floor of a process for each job."""

    def measure(folder: Path) -> Figures:
        program = which(name)
        if program is None:
            raise Skip(f"{name} is not installed")
        count = 0
        until = time.perf_counter() + 1.0
        began = time.perf_counter()
        while time.perf_counter() < until:
            child = os.posix_spawn(program, [program, *arguments], dict(os.environ))
            os.waitpid(child, 0)
            count += 1
        return {"rate": count / (time.perf_counter() - began)}

    return Contestant(f"posix_spawn {Path(name).name}", measure, "start, do nothing, end")


def forks() -> Contestant:
    """Fork a small warm Python, wait for it."""

    def measure(folder: Path) -> Figures:
        # In a process of its own, so that this one's memory is not copied.
        code = (
            "import json,os,time\nn,b=0,time.perf_counter()\n"
            "while time.perf_counter()<b+1:\n p=os.fork()\n if p==0: os._exit(0)\n os.waitpid(p,0); n+=1\n"
            "print(json.dumps({'rate': n/(time.perf_counter()-b)}))"
        )
        return told([sys.executable, "-I", "-S", "-c", code])

    return Contestant("fork, bare Python", measure, "fork, end, reap")


def redis_benchmark(port: int, *, pipeline: int) -> Contestant:
    def measure(folder: Path) -> Figures:
        program = which("redis-benchmark")
        if program is None or not port:
            raise Skip("redis-benchmark is not installed, or there is no Redis")
        command = [program, "-p", str(port), "-n", "50000", "-c", "16", "-P", str(pipeline), "-q", "-d", "64", "-t"]
        said = subprocess.run([*command, "lpush"], capture_output=True, text=True, check=True, timeout=120).stdout
        found = re.search(r"LPUSH: ([\d.]+) requests per second", said)
        if found is None:
            raise RuntimeError(f"redis-benchmark said {said[-200:]!r}")
        return {"rate": float(found[1])}

    return Contestant(f"redis-benchmark LPUSH, pipeline {pipeline}", measure, "AOF everysec, 16 clients")
