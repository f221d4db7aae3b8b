"""What is measured of the real commands: `reverie up`, `reverie queue work`, HTTP and SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.acceptance.server import Server, running, wait_for

from bench.contest import Contestant, Figures, Skip, percentile
from bench.queue.pairs import Servers, environment
from bench.queue.servers import Running
from bench.script_cells import Kept
from reverie.sqlite_connection import driver

QUIET = 5.0
"""Seconds in which a process that has just started settles down."""
CONNECTIONS = 64


@dataclass
class Stage:
    """A running instance on a pair; `ask` reads its store."""

    server: Server
    servers: Running
    database: str

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        if self.database:
            assert self.servers.postgresql is not None
            return [tuple(row) for row in self.servers.postgresql.ask(sql, database=self.database)]
        store = driver.connect(f"{(self.server.data / 'reverie.sqlite').as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            rows: list[tuple[object, ...]] = store.execute(sql).fetchall()
            return rows
        finally:
            store.close()

    def number(self, sql: str) -> float:
        return float(str(self.ask(sql)[0][0]))

    def waiting(self) -> bool:
        return self.number("SELECT count(*) FROM job WHERE status IN ('waiting', 'running')") > 0

    def add_script(self, name: str, language: str, content: str = "") -> None:
        """A queued script service that the key may call.

        Raises:
            Skip: this host cannot run that language.
        """
        known = self.server.as_admin("GET", "/api/v2/system/script_type").json["resource"]
        if language not in {one["name"] for one in known}:
            raise Skip(f"no engine for {language} on this host")
        body = {"name": name, "type": language, "is_active": True, "config": {"queued": True, "content": content}}
        answer = self.server.as_admin("POST", "/api/v2/system/service", body)
        assert answer.status == 201, answer.body
        service = answer.json["resource"][0]["id"]
        role = self.server.as_admin("GET", "/api/v2/system/role?fields=id").json["resource"][0]["id"]
        access = {"service_id": service, "component": "*", "verb_mask": 31, "requestor_mask": 3}
        self.server.as_admin("PATCH", f"/api/v2/system/role/{role}", {"role_service_access_by_role_id": [access]})


@contextlib.contextmanager
def stage(servers: Running, pair: str, folder: Path, **settings: str) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        url = ""
        if "postgresql" in pair:
            if servers.postgresql is None:
                raise Skip("there is no PostgreSQL")
            url = stack.enter_context(servers.database())
        redis = f"redis://127.0.0.1:{servers.redis}/0" if servers.redis else ""
        told = environment(pair, folder, Servers(url, redis))
        data = Path(told.pop("REVERIE_DATA_DIR"))
        server = stack.enter_context(running(data, **told, **settings))
        yield Stage(server, servers, url.rsplit("/", 1)[-1].partition("?")[0])
        server.stop()


def scripts(servers: Running, pair: str, language: str, who: str, *, jobs: int) -> Contestant:
    """Empty scripts that wait, run by the worker of `reverie up` or by one `queue work`: jobs a second."""

    def measure(folder: Path) -> Figures:
        with stage(servers, pair, folder, REVERIE_WORKERS="0") as at:
            at.add_script("empty", language)
            kept = Kept(at.server)
            for _ in range(jobs):
                kept.milliseconds("/api/v2/empty", method="POST")
            before = _cpu_of_children()
            if who == "up":
                at.server.stop()
                at.server.environment["REVERIE_WORKERS"] = "1"
                at.server.start()
                wait_for(lambda: not at.waiting(), 300, pause=0.2)
            else:
                words = [sys.executable, "-m", "reverie", "queue", "work", "--stop-when-empty"]
                subprocess.run(words, env=at.server.environment, check=True, capture_output=True, timeout=300)
            done = at.number("SELECT count(*) FROM job WHERE status = 'done'")
            assert done == jobs, f"{done} of {jobs} are done"
            seconds = at.number("SELECT max(finished_at) - min(finished_at) FROM job WHERE status = 'done'")
            figures = {"rate": (jobs - 1) / seconds}
            if who == "work":
                figures["cpu"] = (_cpu_of_children() - before) / jobs * 1000
            return figures

    worker = "the worker of `reverie up`" if who == "up" else "`queue work`, one at a time"
    return Contestant(f"{pair}, {language}, {who}", measure, worker)


def _cpu_of_children() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def idle(servers: Running, pair: str, *, seconds: float) -> Contestant:
    """A worker of ten queues with nothing in them: percent of a core, and transactions a second on PostgreSQL."""

    def measure(folder: Path) -> Figures:
        with stage(servers, pair, folder, REVERIE_WORKERS="0") as at:
            at.server.stop()
            queues = ",".join(f"queue{number}" for number in range(10))
            words = [sys.executable, "-m", "reverie", "queue", "work", *_connection(pair), f"--queue={queues}"]
            worker = subprocess.Popen(
                words, env=at.server.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                time.sleep(QUIET)
                process = psutil.Process(worker.pid)
                cpu, transactions, began = _cpu(process), _transactions(at), time.perf_counter()
                time.sleep(seconds)
                took = time.perf_counter() - began
                figures = {"cpu %": (_cpu(process) - cpu) / took * 100}
                if at.database:
                    figures["queries/s"] = (_transactions(at) - transactions) / took
                figures["MiB"] = process.memory_info().rss / 2**20
                return figures
            finally:
                worker.send_signal(signal.SIGTERM)
                worker.wait(40)

    return Contestant(pair, measure, "`queue work`, its script children included")


def _connection(pair: str) -> list[str]:
    return ["redis"] if pair.endswith("+redis") else ["database"]


def _cpu(process: psutil.Process) -> float:
    """Of a process and its children, in seconds."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def _transactions(at: Stage) -> float:
    if not at.database:
        return 0.0
    assert at.servers.postgresql is not None
    sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
    return float(at.servers.postgresql.ask(sql, at.database)[0][0])


def crash(servers: Running, pair: str, kind: str) -> Contestant:
    """SIGKILL for what runs a job, or for the worker: seconds until the job is taken again."""

    def measure(folder: Path) -> Figures:
        with stage(servers, pair, folder) as at:
            at.add_script("long", "python3", "import time\ntime.sleep(20)")
            job = at.server.as_admin("POST", "/api/v2/long").headers["x-reverie-job"]
            begun = f"SELECT count(*) FROM job WHERE id = '{job}' AND status = 'running' AND started_at IS NOT NULL"
            wait_for(lambda: at.number(begun) == 1, 30)
            time.sleep(0.3)
            worker = _worker(at.server)
            victims = worker.children(recursive=True) if kind == "child" else [worker]
            for one in victims:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            killed = time.perf_counter()
            wait_for(lambda: at.number(f"{begun} AND crashes = 1") == 1, 60, pause=0.005)
            seconds = time.perf_counter() - killed
            at.server.kill_group()
            return {"s": seconds}

    return Contestant(f"{pair}, {kind} killed", measure, "worker of `reverie up`, lease 30 s")


def _worker(server: Server) -> psutil.Process:
    assert server.process is not None
    return next(one for one in psutil.Process(server.process.pid).children() if "worker" in one.cmdline())


# -- calls at an even rate


def accept(servers: Running, pair: str, *, rate: int, seconds: float, workers: int) -> Contestant:
    """Calls at an even rate, whatever the server does; each is timed from the moment it was due."""

    def measure(folder: Path) -> Figures:
        with stage(servers, pair, folder, REVERIE_WORKERS=str(workers)) as at:
            at.add_script("empty", "v8js")
            asyncio.run(_call(at.server, rate=rate, seconds=2.0))
            waits, errors, offered = asyncio.run(_call(at.server, rate=rate, seconds=seconds))
            figures = {f"p{share:g}": percentile(waits, share) * 1000 for share in (50, 99, 99.9)}
            return {**figures, "offered": offered, "errors": errors}

    how = "a worker runs the jobs meanwhile" if workers else "no worker runs them"
    return Contestant(f"{pair}, {workers} workers", measure, how)


async def _call(server: Server, *, rate: int, seconds: float) -> tuple[list[float], int, float]:
    """Seconds of each call, errors, calls a second."""
    request = (
        f"POST /api/v2/empty HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 0\r\n"
        f"X-DreamFactory-API-Key: {server.key}\r\nAccept: application/json\r\n\r\n"
    ).encode()
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", server.port))
    waits: list[float] = []
    errors = 0

    async def one(due: float) -> None:
        nonlocal errors
        reader, writer = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        waits.append(time.perf_counter() - due)
        errors += b" 202 " not in head.split(b"\r\n", 1)[0]
        free.put_nowait((reader, writer))

    calls = int(rate * seconds)
    began = time.perf_counter() + 0.05
    tasks = []
    for number in range(calls):
        due = began + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    offered = calls / (time.perf_counter() - began)
    while not free.empty():
        _, writer = free.get_nowait()
        writer.close()
        await writer.wait_closed()
    return waits, errors, offered
