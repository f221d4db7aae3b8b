"""What operators tell workers: restart, drain, maintenance mode. Kept as facts of the store, whichever that is.

    queue_maintenance     there: workers take nothing, but those that were started with --force
    queue_restart         the time of the last order to restart; a worker that has seen another one before ends
    queue_drain:<worker>  this worker takes nothing more, ends what it runs, and ends
    queue_can:<worker>    the languages that this worker runs, with commas

An order moves the settings, so a worker hears of it at once; it looks when it tends to its queue, and when it is woken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import QueueUnavailable, StoreUnavailable
from reverie.jobs.ledger import WorkerRecord
from reverie.jobs.work import Stop
from reverie.store.facts import facts_named, get_fact, put_fact
from reverie.store.store import Store

T = TypeVar("T")

MAINTENANCE: Final = "queue_maintenance"
RESTART: Final = "queue_restart"
DRAIN: Final = "queue_drain:"
CAN: Final = "queue_can:"
_ALL: Final = "queue_"

LOOK_AT_LEAST: Final = 15.0
"""Seconds after which a worker looks even where the database shows no change."""
LOOK_AT_MOST: Final = 0.25
"""Seconds between two looks, however often a worker is woken."""

log = structlog.get_logger()


class Signals:
    """Says and hears what operators want.

    Raises:
        QueueUnavailable: (every method) the store cannot be reached.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def maintenance(self) -> bool:
        return await self._reached(lambda: get_fact(self._store, MAINTENANCE)) is not None

    async def set_maintenance(self, on: bool) -> None:
        value = f"{self._clock.now():.6f}" if on else None
        await self._reached(lambda: put_fact(self._store, MAINTENANCE, value, told=True))

    async def restart(self) -> None:
        """Have every worker but listeners end after its current job."""
        await self._reached(lambda: put_fact(self._store, RESTART, f"{self._clock.now():.6f}", told=True))

    async def drain(self, workers: Sequence[str]) -> None:
        """Have these workers end what they run, and end."""
        for name in workers:
            await self._reached(partial(put_fact, self._store, DRAIN + name, f"{self._clock.now():.6f}", told=True))

    async def languages(self) -> dict[str, frozenset[str]]:
        """What each worker runs, as far as workers have said so."""
        facts = await self._reached(lambda: facts_named(self._store, CAN))
        return {name.removeprefix(CAN): frozenset(value.split(",")) for name, value in facts.items()}

    async def told(self) -> dict[str, str]:
        """Every fact at once."""
        return await self._reached(lambda: facts_named(self._store, _ALL))

    async def arrive(self, worker: str, languages: Sequence[str]) -> None:
        """A worker is there, and runs these languages."""
        await self._reached(lambda: put_fact(self._store, CAN + worker, ",".join(languages)))

    async def depart(self, worker: str) -> None:
        """Forget what was kept of a worker that has ended. Twice does nothing."""
        for prefix in (CAN, DRAIN):
            await self._reached(partial(put_fact, self._store, prefix + worker, None))

    async def tidy(self, workers: Callable[[], Awaitable[Sequence[WorkerRecord]]]) -> None:
        """Forget what was kept of workers that are gone; *workers* tells who is there."""
        known = {name.partition(":")[2] for name in await self.told() if name.startswith((CAN, DRAIN))}
        # In this order: who is known here had said before that he is there.
        for worker in known - {one.name for one in await workers()}:
            await self.depart(worker)

    def changes(self) -> int:
        """`Database.changes`: the same number means that nobody has said anything new."""
        try:
            return self._store.database.changes()
        except DatabaseError as error:
            raise QueueUnavailable from error

    async def _reached(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except (StoreUnavailable, DatabaseError) as error:
            raise QueueUnavailable from error


@dataclass(slots=True)
class Orders:
    """What one worker was told, as far as it knows.

    Attributes:
        idle: it takes nothing.
        leave: why it ends after what it runs; None: it stays.
    """

    idle: bool = False
    leave: Stop | None = None


class Obedience:
    """Keeps `orders` of one worker up to date.

    Args:
        signals: None: nobody tells it anything.
        force: it works in maintenance mode too. `restarts`: an order to restart ends it.
        languages: what it runs.
    """

    def __init__(
        self,
        signals: Signals | None,
        worker: str,
        clock: Clock,
        *,
        force: bool,
        restarts: bool,
        languages: Sequence[str] = (),
    ) -> None:
        self.orders = Orders()
        self._signals = signals
        self._worker = worker
        self._clock = clock
        self._force = force
        self._restarts = restarts
        self._languages = languages
        self._restart: str | None = None
        self._changes: int | None = None
        self._looked_at = float("-inf")

    async def begin(self, workers: Callable[[], Awaitable[Sequence[WorkerRecord]]]) -> None:
        """Arrive, and know what was said before; *workers* tells who is there. Raises QueueUnavailable."""
        if self._signals is not None:
            await self._signals.tidy(workers)
            await self._signals.arrive(self._worker, self._languages)
            self._changes = self._signals.changes()
            self._restart = (await self._signals.told()).get(RESTART)
            await self._hear(self._signals)

    async def look(self, *, woken: bool = False) -> bool:
        """Whether the orders are others now. A store that is away says nothing new.

        Args:
            woken: somebody said *look*, so an unmoved `changes` proves nothing: it may count only changes of settings.
        """
        now = self._clock.monotonic()
        if self._signals is None or now - self._looked_at < LOOK_AT_MOST:
            return False
        before = (self.orders.idle, self.orders.leave)
        with contextlib.suppress(QueueUnavailable):
            changes = self._signals.changes()
            if woken or changes != self._changes or now - self._looked_at >= LOOK_AT_LEAST:
                await self._hear(self._signals)
                self._changes = changes
        after = (self.orders.idle, self.orders.leave)
        if after != before:
            log.info("worker.told", worker=self._worker, idle=after[0], leave=after[1])
        return after != before

    async def end(self) -> None:
        """Depart, as far as the store can be reached; the next worker tidies up what stays."""
        if self._signals is not None:
            with contextlib.suppress(QueueUnavailable):
                await self._signals.depart(self._worker)

    async def _hear(self, signals: Signals) -> None:
        facts = await signals.told()
        self._looked_at = self._clock.monotonic()
        self.orders.idle = MAINTENANCE in facts and not self._force
        if DRAIN + self._worker in facts:
            self.orders.leave = Stop.DRAINED
        elif self._restarts and facts.get(RESTART) not in (None, self._restart):
            self.orders.leave = Stop.RESTART
