"""What the queue counts, and what it measures of its store.

Workers run in other processes than the API, on other hosts even. Each counts in memory and adds what has changed to
sums in the store, about once a second and when it ends; the API reads the sums. A worker that is killed takes with it
what it had not yet added: a second's worth.

`SERIES` is every series with its labels. Labels are bounded: scripts by `MOST_SCRIPTS`, the rest is ``other``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec
import structlog

from reverie.clock import Clock
from reverie.errors import Unavailable
from reverie.jobs.ledger import Count, Lease, Swept, WorkerRecord
from reverie.jobs.settle import lease_of
from reverie.jobs.work import Report, Step
from reverie.store.store import Store
from reverie.store.tallies import Place, add_sums, forget_turns, sums

MOST_SCRIPTS: Final = 200
OTHER: Final = "other"
TELL_EVERY: Final = 1.0
"""Seconds between two times that a worker adds its counts, when there are any."""
TURN_EVERY: Final = 10.0
"""Seconds between two times that an idle worker says that it went round."""
BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the buckets of every histogram, in seconds; one without end follows."""
_SUM: Final = "sum"
_SIGNAL: Final = re.compile(r"killed by signal (\d+)")

log = structlog.get_logger()


class Series(NamedTuple):
    kind: str
    labels: tuple[str, ...]
    meaning: str


SERIES: Final[Mapping[str, Series]] = {
    "queue_wait_seconds": Series("histogram", (), "From when a job was due to the beginning of its run"),
    "queue_run_seconds": Series("histogram", ("script",), "A run, from its beginning until it was settled"),
    "queue_claim_seconds": Series("histogram", (), "A claim that took jobs"),
    "queue_attempts": Series("counter", ("outcome",), "Runs that ended, by what became of them"),
    "queue_crashes": Series("counter", ("cause",), "Runs lost with their process"),
    "queue_lost_lease": Series("counter", (), "Runs given up because the job was another's, or was cancelled"),
    "queue_stale_finish_rejected": Series("counter", (), "Results that came after the job was another's"),
}
"""What workers count; a histogram's sums are stored by bucket, each without those below it."""


@runtime_checkable
class Measured(Protocol):
    """A ledger that knows numbers of its store, such as ``wal_bytes`` or ``store_xmin_age_seconds``."""

    async def measures(self) -> Mapping[str, float]:
        """Name without ``queue_``, to value. Cheap, and never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The queue at one moment.

    Attributes:
        now: Unix seconds.
        turns: worker, to when it last went round.
        store: see `Measured`.
    """

    now: float
    counts: list[Count] = field(default_factory=list)
    workers: list[WorkerRecord] = field(default_factory=list)
    turns: Mapping[str, float] = field(default_factory=dict)
    sums: Mapping[Place, float] = field(default_factory=dict)
    store: Mapping[str, float] = field(default_factory=dict)


class Meter:
    """Counts for one worker, as changes that were not added to the sums yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changes: dict[tuple[str, tuple[str, ...]], float] = {}
        self._begun: dict[Lease, float] = {}
        self._scripts: set[str] = set()

    # -- what happens

    def passing(self, then: Callable[[Report], None]) -> Callable[[Report], None]:
        """A listener for a worker that counts, and tells *then*."""

        def told(report: Report) -> None:
            self.report(report)
            then(report)

        return told

    def report(self, report: Report) -> None:
        """A step of a job, as `Worker` tells it."""
        job = report.job
        if report.step is Step.RUNNING:
            self._begun[lease_of(job)] = report.seconds
            self._observe("queue_wait_seconds", (), self._clock.now() - job.due_at)
            return
        self._add("queue_attempts", (str(report.step),))
        begun = self._begun.pop(lease_of(job), None)
        if begun is not None:
            self._observe("queue_run_seconds", (self._script(job.name),), report.seconds - begun)
        if report.step is Step.LOST:
            self._add("queue_lost_lease" if report.settlement is None else "queue_stale_finish_rejected", ())
        elif report.step is Step.CRASHED and report.settlement is not None:
            self._add("queue_crashes", (_cause(report.settlement.error),))

    def claimed(self, seconds: float) -> None:
        """A claim took jobs. One that finds nothing changes nothing, here too: telling of it would wake the others."""
        self._observe("queue_claim_seconds", (), seconds)

    def swept(self, swept: Swept) -> None:
        if lost := swept.crashed + swept.failed:
            self._add("queue_crashes", ("worker",), lost)

    # -- what is told

    def know(self, known: Mapping[Place, float]) -> None:
        """The scripts that stand in the sums already count against their limit."""
        for series, labels in known:
            if series == "queue_run_seconds":
                self._scripts.update(_texts(labels)[:1])

    @property
    def changed(self) -> bool:
        return bool(self._changes)

    def take(self) -> dict[Place, float]:
        """What has changed since the last time."""
        changes, self._changes = self._changes, {}
        return {(series, msgspec.json.encode(labels).decode()): value for (series, labels), value in changes.items()}

    def put_back(self, changes: Mapping[Place, float]) -> None:
        """What could not be added after all."""
        for (series, labels), value in changes.items():
            self._add(series, tuple(_texts(labels)), value)

    def _add(self, series: str, labels: tuple[str, ...], value: float = 1.0) -> None:
        key = (series, labels)
        self._changes[key] = self._changes.get(key, 0.0) + value

    def _observe(self, series: str, labels: tuple[str, ...], seconds: float) -> None:
        seconds = max(seconds, 0.0)  # clocks of two hosts
        self._add(series, (*labels, str(bisect_left(BOUNDS, seconds))))
        self._add(series, (*labels, _SUM), seconds)

    def _script(self, name: str) -> str:
        if name not in self._scripts:
            if len(self._scripts) >= MOST_SCRIPTS:
                return OTHER
            self._scripts.add(name)
        return name


@contextlib.asynccontextmanager
async def telling(meter: Meter, store: Store, worker: str, turned_at: Callable[[], float]) -> AsyncIterator[None]:
    """Add the counts of *worker* to the sums while the block runs, and what is left when it ends.

    Args:
        turned_at: monotonic seconds of its last turn.
    """
    at_rest = asyncio.Lock()
    task = asyncio.create_task(_keep_telling(meter, store, worker, turned_at, at_rest))
    try:
        yield
    finally:
        async with at_rest:  # what is on its way to the store is neither lost nor told twice
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with _tolerant(worker):
            await _tell(meter, store, worker, turned_at())
            await forget_turns(store, worker)


async def _keep_telling(
    meter: Meter, store: Store, worker: str, turned_at: Callable[[], float], at_rest: asyncio.Lock
) -> None:
    clock = store.clock
    known, told_at = False, float("-inf")
    while True:
        async with at_rest:
            with _tolerant(worker):
                if not known:
                    meter.know(await sums(store))
                    known = True
                if meter.changed or clock.monotonic() - told_at >= TURN_EVERY:
                    await _tell(meter, store, worker, turned_at())
                    told_at = clock.monotonic()
        await clock.sleep(TELL_EVERY)


@contextlib.contextmanager
def _tolerant(worker: str) -> Iterator[None]:
    """A store that is away is no reason to stop."""
    try:
        yield
    except Unavailable as error:
        log.warning("metrics.not_told", worker=worker, cause=str(error.__cause__ or error))


async def _tell(meter: Meter, store: Store, worker: str, turned_at: float) -> None:
    changes = meter.take()
    try:
        since = store.clock.monotonic() - turned_at
        await add_sums(store, changes, worker=worker, turned_at=store.clock.now() - since)
    except Unavailable:
        meter.put_back(changes)
        raise


def histogram(values: Mapping[str, float]) -> tuple[list[tuple[str, float]], float]:
    """Buckets as Prometheus wants them, each with those below it, and the sum.

    Args:
        values: by the last of a histogram's labels: the number of a bucket, or ``sum``.
    """
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for number, bound in enumerate((*map(str, BOUNDS), "+Inf")):
        total += values.get(str(number), 0.0)
        buckets.append((bound, total))
    return buckets, values.get(_SUM, 0.0)


def labels_of(place: Place) -> list[str]:
    return _texts(place[1])


def _texts(labels: str) -> list[str]:
    return msgspec.json.decode(labels, type=list[str])


def _cause(error: object) -> str:
    """``signal_9``, or ``child`` where nobody knows how it ended."""
    message = error.get("message") if isinstance(error, dict) else None
    found = _SIGNAL.search(str(message))
    return f"signal_{found[1]}" if found else "child"
