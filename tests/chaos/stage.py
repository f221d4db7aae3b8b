"""What every scenario stands on: a queue, workers to hurt, a load, and the check at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reverie.errors import QueueUnavailable
from reverie.jobs.queue import Draft, Queue
from tests.chaos.checker import Accepted, Evidence, Row, Run, Verdict, check
from tests.chaos.effects import BEGIN, Effect, EffectFile
from tests.chaos.places import Ground, Place

SLOWNESS: Final = 3.0 if os.environ.get("CI") else 1.0
"""Shared machines pause; marks that are times are so much wider there."""
SWEEP: Final = 1.0
"""Seconds between two looks for leases that have ended."""
DEFAULTS: Final = {"sleep": 1.0, "concurrency": 2, "max_crashes": 1000, "timeout": 600.0}
"""Options of a host's worker."""
_ORPHANS: Final = """
SELECT (SELECT count(*) FROM job_payload AS part WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = part.job_id))
     + (SELECT count(*) FROM job_attempt AS part WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = part.job_id))
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value; `most` and `least` are its marks, if it has any."""

    name: str
    value: float
    unit: str = "s"
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        slack = SLOWNESS if self.unit == "s" else 1.0
        low = self.least is None or self.value >= self.least / (SLOWNESS if self.unit == "/s" else 1.0)
        return low and (self.most is None or self.value <= self.most * slack)

    def __str__(self) -> str:
        marks = [f"at most {self.most:g}"] if self.most is not None else []
        marks += [f"at least {self.least:g}"] if self.least is not None else []
        mark = f" ({', '.join(marks)})" if marks else ""
        return f"{self.name} {self.value:.4g}{'' if self.unit == 'n' else ' ' + self.unit}{mark}"


@dataclass(slots=True)
class Host:
    """A process that runs `tests.chaos.host`."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.process.wait()

    @property
    def lives(self) -> bool:
        return self.process.returncode is None


@dataclass
class Stage:
    """One scenario's run.

    Attributes:
        full: the whole scenario; else counts are divided by 10, and leases are of 2 s.
        tries, max_crashes: what I5 is checked against; None: not limited.
        accepted: who was promised what, by the job's id. hosts: the worker processes, dead ones too.
    """

    ground: Ground
    folder: Path
    full: bool = False
    tries: int | None = 3
    max_crashes: int | None = 1000
    effects: EffectFile = field(init=False)
    accepted: dict[str, Accepted] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    _queue: Queue | None = None
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.effects = EffectFile(self.folder / "effects")

    @property
    def place(self) -> Place:
        return self.ground.place

    @property
    def queue(self) -> Queue:
        assert self._queue is not None
        return self._queue

    @property
    def lease(self) -> float:
        return 30.0 if self.full else 2.0

    def count(self, number: int) -> int:
        return number if self.full else max(1, number // 10)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The queue of this process, which pushes and looks; hosts that are left end with it."""
        try:
            async with self.place.open() as self._queue:
                yield
        finally:
            for host in self.hosts:
                if host.lives:
                    host.signal(signal.SIGCONT)
                    await host.kill()
            self.effects.close()

    @contextlib.asynccontextmanager
    async def seen_from(self, place: Place) -> AsyncIterator[None]:
        """Push and look by another way to the same queue."""
        before = self._queue
        try:
            async with place.open() as self._queue:
                yield
        finally:
            self._queue = before

    # -- what is measured

    def figure(
        self, name: str, value: float, unit: str = "s", *, most: float | None = None, least: float | None = None
    ) -> None:
        self.figures.append(Figure(name, value, unit, most, least))

    def figures_of(self, name: str, values: Sequence[float], *, most: float | None = None) -> None:
        """The middle one, and the one that only one in a hundred is above, which must hold the mark."""
        ordered = sorted(values)
        self.figure(f"{name} p50", statistics.median(ordered))
        self.figure(f"{name} p99", ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], most=most)

    # -- load

    async def push(self, count: int, *, seconds: float = 0.02, delay: float | None = None) -> list[str]:
        """Jobs that take so long; their ids."""
        return [await self._push_one(seconds, delay) for _ in range(count)]

    async def push_at_once(self, count: int, *, seconds: float) -> list[str]:
        """The same, side by side."""
        return list(await asyncio.gather(*(self._push_one(seconds) for _ in range(count))))

    async def _push_one(self, seconds: float, delay: float | None = None) -> str:
        payload = json.dumps({"seconds": seconds}).encode()
        pushed = time.time()
        job = await self.queue.push(
            Draft(kind="script.service", script="service:1", name="chaos", payload=payload, delay=delay)
        )
        assert job is not None
        self.accepted[job.id] = Accepted(key=job.id, due_at=pushed + (delay or 0.0))
        return job.id

    async def offer(self, rate: float, seconds: float, *, work: float = 0.005) -> list[float]:
        """Push *rate* jobs a second for a while; seconds until each refusal. What is refused is not accepted."""
        refused: list[float] = []
        began = time.monotonic()

        async def one() -> None:
            asked = time.monotonic()
            try:
                await self._push_one(work)
            except QueueUnavailable:
                refused.append(time.monotonic() - asked)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(one())
        return refused

    # -- workers

    async def host(
        self, name: str = "wake", *, place: Place | None = None, faketime: Path | None = None, **options: Any
    ) -> Host:
        """Start a worker process on the host *name*; those on one host see when one of them dies.

        Args:
            faketime: a file that says how wrong its clock is, such as ``+3600s``; it may change.
        """
        number = next(self._numbers)
        log = self.folder / f"host-{number}.log"
        given = {
            "place": (place or self.place).on_host(name).as_text(),
            "effects": str(self.effects.path),
            "offset": self.effects.offset,
            "options": {**DEFAULTS, "lease": self.lease, **options},
        }
        environment = dict(os.environ)
        if faketime is not None:
            environment |= {
                "LD_PRELOAD": libfaketime(),
                "FAKETIME_TIMESTAMP_FILE": str(faketime),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.host", json.dumps(given)),
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env=environment,
                cwd=Path(__file__).parents[2],
            )
        assert process.stdout is not None
        told = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert told, log.read_text()
        host = Host(told, process, log)
        self.hosts.append(host)
        return host

    # -- looking

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self.place.rows, sql)

    def seen(self, what: str = BEGIN) -> list[Effect]:
        return [effect for effect in self.effects.read() if effect.what == what]

    async def until(self, happened: Callable[[], bool | Awaitable[bool]], within: float, why: str = "") -> float:
        """Look again and again; the seconds it took."""
        began = time.monotonic()
        while True:
            found = happened()
            if found if isinstance(found, bool) else await found:
                return time.monotonic() - began
            if time.monotonic() - began > within:
                raise AssertionError(f"{why or 'it'} did not happen within {within:g} s")
            await asyncio.sleep(0.02)

    async def begun(self, ids: Sequence[str], times: int = 1, within: float = 30.0) -> None:
        """Wait until each of *ids* has begun so often."""

        def all_begun() -> bool:
            begins = [effect.job for effect in self.seen()]
            return all(begins.count(one) >= times for one in ids)

        await self.until(all_begun, within * SLOWNESS, f"the beginning of {len(ids)} jobs")

    async def seen_after(self, moment: float, what: str, within: float) -> None:
        """Wait for an effect later than *moment*."""
        await self.until(lambda: any(one.at > moment for one in self.seen(what)), within * SLOWNESS, f"a new {what}")

    async def drained(self, within: float = 60.0) -> float:
        """Wait until no job waits or runs; the seconds it took."""

        async def empty() -> bool:
            return not await self.rows("SELECT 1 FROM job WHERE status IN ('waiting', 'running') LIMIT 1")

        return await self.until(empty, within * SLOWNESS, "the end of all jobs")

    # -- the end

    def evidence(self) -> Evidence:
        rows = self.place.rows("SELECT id, status, epoch, attempts, crashes FROM job")
        runs = self.place.rows("SELECT job_id, epoch, outcome FROM job_attempt")
        return Evidence(
            accepted=self.accepted,
            effects=self.effects.read(),
            rows=[Row(id=a, status=b, epoch=c, attempts=d, crashes=e) for a, b, c, d, e in rows],
            runs=[Run(job_id=a, epoch=b, outcome=c) for a, b, c in runs],
            orphans=self.place.rows(_ORPHANS)[0][0],
            tries=self.tries,
            max_crashes=self.max_crashes,
        )

    def verdict(self) -> Verdict:
        return check(self.evidence())


def libfaketime() -> str:
    """The library that lies about the time."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise MissingProgram("libfaketime is not installed; scripts/services installs it")
    return str(found[0])


class MissingProgram(Exception):
    """A scenario needs something that this machine does not have; the text says what."""
