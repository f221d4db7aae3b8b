"""Scripts, their children and workers die or misbehave, under the real commands: D1, D4, D11, D12."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.acceptance.server import Server, running, wait_for
from tests.acceptance.test_kills import part, queued_service
from tests.chaos.checker import Accepted
from tests.chaos.effects import BEGIN, sink
from tests.chaos.scenarios import scenario
from tests.chaos.stage import SLOWNESS, Stage


@dataclass(slots=True)
class Real:
    """A running `reverie up`, and scripts that tell the sink what they do."""

    stage: Stage
    server: Server
    sink: str
    _count: int = 0

    def script(self, name: str, body: str, *, language: str = "python3") -> None:
        """A queued service whose script says that it begins, does *body*, and says that it ends."""
        if language == "v8js":
            tell = f"platform.api.post('{self.sink}/' + event.request.parameters.n + '/%s', '');"
        else:
            tell = f"platform.api.post('{self.sink}/' + event['request']['parameters']['n'] + '/%s', '')"
        queued_service(self.server, name, f"{tell % 'begin'}\n{body}\n{tell % 'end'}", language=language)

    def call(self, name: str) -> tuple[str, str]:
        """Queue a run; its job and the name of its effects."""
        self._count += 1
        key = f"n{self._count}"
        due = time.time()
        answer = self.server.as_admin("POST", f"/api/v2/{name}?n={key}")
        assert answer.status == 202, answer.body
        job_id = answer.headers["x-reverie-job"]
        self.stage.accepted[job_id] = Accepted(key=key, due_at=due)
        return job_id, key

    def begins(self, key: str) -> list[float]:
        return [effect.at for effect in self.stage.effects.read() if effect.job == key and effect.what == BEGIN]

    def begun(self, keys: Sequence[str], times: int = 1) -> None:
        """Wait until each of *keys* has begun so often."""
        wait_for(lambda: all(len(self.begins(key)) >= times for key in keys), 60 * SLOWNESS, self.server.output)

    def worker(self) -> psutil.Process:
        found = part(self.server, "worker")
        assert found is not None
        return found

    def drained(self, within: float = 60.0) -> None:
        left = "SELECT status, name FROM job WHERE status IN ('waiting', 'running') LIMIT 5"
        wait_for(lambda: not self.stage.place.rows(left), within * SLOWNESS, lambda: str(self.stage.place.rows(left)))


@contextlib.contextmanager
def real(stage: Stage, **settings: str) -> Iterator[Real]:
    given = {**stage.place.settings(), "REVERIE_DEMO": "0", **settings}
    with sink(stage.effects) as address, running(Path(stage.place.folder), **given) as server:
        yield Real(stage, server, address)


@scenario("D1", "a script's child is killed", "begun again within 2 s, one crash, no try, 0 lost", quick=True)
async def d1(stage: Stage) -> None:
    await asyncio.to_thread(kill_children, stage)


def kill_children(stage: Stage) -> None:
    again: list[float] = []
    with real(stage) as up:
        up.script("nap", "import time\ntime.sleep(1.0)")
        for _ in range(stage.count(100) // 2):  # both children at a time
            keys = [up.call("nap")[1] for _ in range(2)]
            up.begun(keys)
            killed_at = time.time()
            for child in up.worker().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            up.begun(keys, times=2)
            again += [up.begins(key)[1] - killed_at for key in keys]
            up.drained()
    stage.figures_of("begun again", again, most=2.0)
    counts = {(row.crashes, row.attempts) for row in stage.evidence().rows}
    stage.figure("jobs with other counts than one crash and one run", len(counts - {(1, 1)}), "n", most=0)


@scenario(
    "D4", "SIGTERM under load", "exit within the grace + 5 s, no counter moves, nobody waits for a lease", quick=True
)
async def d4(stage: Stage) -> None:
    await asyncio.to_thread(stop_workers, stage)
    draining = await stage.host(grace=1.0, concurrency=2)
    ids = await stage.push(2, seconds=4.0)
    await stage.begun(ids)
    told = time.time()
    draining.signal(signal.SIGTERM)
    await draining.process.wait()
    stage.figure("exit with long runs and 1 s of grace", time.time() - told, most=6.0)
    freed = await stage.rows("SELECT status, attempts, crashes FROM job WHERE status <> 'done'")
    stage.figure("given back at no cost", freed.count(("waiting", 0, 0)), "n", least=2)
    await stage.host(concurrency=2)
    await stage.drained()


def stop_workers(stage: Stage) -> None:
    took: list[float] = []
    command = [sys.executable, "-m", "reverie", "queue", "work", "--sleep=1", "--tries=3"]
    with real(stage, REVERIE_WORKERS="0") as up:
        up.script("nap", "import time\ntime.sleep(0.2)")
        for _ in range(stage.count(50)):
            log = stage.folder / "work.log"
            with log.open("ab") as output:
                work = subprocess.Popen(command, env=up.server.environment, stdout=output, stderr=output)
            try:
                keys = [up.call("nap")[1] for _ in range(8)]
                up.begun(keys[:1])
                time.sleep(0.3)
            finally:
                told = time.monotonic()
                work.send_signal(signal.SIGTERM)
                code = work.wait(60)
            assert code == 0, log.read_text()
            took.append(time.monotonic() - told)
            assert stage.place.rows("SELECT 1 FROM job WHERE status = 'running'") == []
        last = [*command, "--stop-when-empty"]
        subprocess.run(last, env=up.server.environment, stdout=subprocess.DEVNULL, check=True, timeout=120)
    stage.figures_of("exit", took, most=35.0)
    counts = stage.place.rows("SELECT DISTINCT crashes, attempts FROM job")
    stage.figure("jobs with other counts than one run", len([one for one in counts if one != (0, 1)]), "n", most=0)


POISON: Final = {
    "segfault": "import ctypes\nctypes.string_at(0)",
    "exit": "import os\nos._exit(3)",
    "forks": "import os, socket, time\npulse = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(40):\n"
    "    if os.fork() == 0:\n        while True:\n            pulse.sendto(b'.', ('127.0.0.1', PULSE))\n"
    "            time.sleep(0.1)\ntime.sleep(600)",
    "alloc": "x = []\nwhile True:\n    x.append(bytearray(10_000_000))",
    "loop": "while True:\n    pass",
    "blocked": "import os\nr, w = os.pipe()\nos.read(r, 1)",
    "deaf": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
    "shout": "print('x' * 10_000_000)",
    "babble": "import os\nos.write(1, b'{not json')",
}
LIMIT: Final = 2.0
"""Seconds that a script may run here."""
CAUSES: Final = {
    "segfault": "crash 3",
    "exit": "3",
    "forks": "timed out|MiB",
    "alloc": "MiB",
    "loop": "timed out",
    "blocked": "timed out",
    "deaf": "timed out",
    "spin": "timed out",
}
"""What the error of each must match; the others may end either way. All processes of a script count for its memory."""


@scenario("D11", "poisonous scripts", "each ends within its limit + 10 s with its cause; others still run", quick=True)
async def d11(stage: Stage) -> None:
    """`nobody` may have 512 processes, counted over all that run under that name: a bomb that takes them all is the end
    of whatever else the machine runs as `nobody`, so a smaller one stands for it."""
    stage.notes.append("smaller than the plan: 40 forks stand for a fork bomb")
    await asyncio.to_thread(poison, stage)


def poison(stage: Stage) -> None:
    # By themselves scripts open no sockets; here they may, so that what they leave behind is heard.
    settings = {"REVERIE_QUEUE_TIMEOUT": f"{LIMIT:g}", "REVERIE_QUEUE_TRIES": "1", "REVERIE_SCRIPT_SOCKETS": "open"}
    with real(stage, **settings) as up, pulses() as pulse:
        up.script("fine", "")
        for name, body in POISON.items():
            up.script(name, body.replace("PULSE", str(pulse.getsockname()[1])))
        up.script("spin", "while (true) {}", language="v8js")
        up.call("fine")
        up.drained()
        with Neighbours(up) as quiet:
            time.sleep(4)
        with Neighbours(up) as disturbed:
            ends = {name: ends_of(up, name) for name in [*POISON, "spin"]}
        up.drained()
        stage.figure("neighbours' wait p99, alone", quiet.p99())
        stage.figure("neighbours' wait p99, beside poison", disturbed.p99(), most=2.0)
        stage.figure("beats of forks", heard(pulse), "n", least=10)
        time.sleep(0.5)
        stage.figure("beats after the end", heard(pulse), "n", most=0)
    for name, (seconds, error) in ends.items():
        stage.figure(f"{name} ended", seconds, most=LIMIT + 10)
        wrong = re.search(CAUSES.get(name, ""), error) is None
        stage.figure(f"{name}: wrong cause", float(wrong), "n", most=0)
        if wrong:
            stage.notes.append(f"{name}: {error}")


def pulses() -> socket.socket:
    """Where the processes that a script forked tell that they live: they must end with the script."""
    pulse = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pulse.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    pulse.bind(("127.0.0.1", 0))
    pulse.setblocking(False)
    return pulse


def heard(pulse: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while pulse.recv(16):
            count += 1
    return count


def ends_of(up: Real, name: str) -> tuple[float, str]:
    """Run a poison; seconds until it ended, and its error."""
    job_id, _ = up.call(name)
    began = time.monotonic()
    wait_for(
        lambda: up.server.job(job_id)["status"] in ("done", "failed"),
        (LIMIT + 20) * SLOWNESS,
        lambda: str(up.server.job(job_id)),
    )
    error = up.server.job(job_id).get("error") or {}
    return time.monotonic() - began, f"{error.get('type')}: {error.get('message')}"


class Neighbours(threading.Thread):
    """Harmless calls, five a second."""

    def __init__(self, up: Real) -> None:
        super().__init__(daemon=True)
        self._up = up
        self._enough = threading.Event()
        self._keys: set[str] = set()

    def __enter__(self) -> Neighbours:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()

    def run(self) -> None:
        while not self._enough.wait(0.2):
            self._keys.add(self._up.call("fine")[1])

    def p99(self) -> float:
        stage = self._up.stage
        asked = {one.key: one.due_at for one in stage.accepted.values()}
        waits = sorted(one.at - asked[one.job] for one in stage.seen() if one.job in self._keys)
        return waits[min(len(waits) - 1, int(len(waits) * 0.99))]


@scenario(
    "D12", "scripts that want more memory than they may", "only they fail, the cause is named, the worker stays small"
)
async def d12(stage: Stage) -> None:
    await asyncio.to_thread(hungry, stage)


def hungry(stage: Stage) -> None:
    with real(stage, REVERIE_QUEUE_TIMEOUT="20", REVERIE_QUEUE_TRIES="1") as up:
        up.script("fine", "import time\ntime.sleep(0.05)")
        up.script("alloc", POISON["alloc"])
        up.call("fine")
        up.drained()
        before = up.worker().memory_info().rss / 1e6
        hungry_ones = [up.call("alloc")[0] for _ in range(stage.count(50)) if up.call("fine")]
        up.drained(120)
        after = up.worker().memory_info().rss / 1e6
        errors = [str((up.server.job(one).get("error") or {}).get("message")) for one in hungry_ones]
        stage.figure("hungry ones with their cause", sum("MiB" in one for one in errors), "n", least=len(errors))
        fine = stage.place.rows("SELECT status FROM job WHERE name = 'service:fine'")
        stage.figure("others that failed", sum(one != ("done",) for one in fine), "n", most=0)
        stage.figure("worker grew by", after - before, "MB", most=30)
