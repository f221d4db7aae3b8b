"""Wake-ups between hosts through Redis or Valkey, 6.2 or newer.

    reverie:{<connection>}:<db>   a channel: workers subscribe to it; a message is the names of queues, a line for each

Nothing is ever stored: jobs are in the ledger, so a server that is flushed, restarted or evicts loses none. Publish and
subscribe are the only commands needed, and need no database to be selected, so any node of a Cluster will do.

The protocol is redis-py's; connecting again is ours, since a worker tries for ever and a producer never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import structlog

from reverie.jobs.address import RedisAddress
from reverie.jobs.finding import Finding
from reverie.jobs.transports.redis_session import TIMEOUT, TROUBLE, Session, Silent, cause_of, open_session

GAP: Final = 0.005
"""Seconds between two messages of one process; what is told in between goes into one."""
LONGEST_PAUSE: Final = 10.0
"""Seconds at most between two attempts to reach the server."""
PING_EVERY: Final = 10.0
"""Seconds of silence after which a worker asks whether the server still lives."""
MOST_UNTOLD: Final = 1000
"""Queues remembered while the server is away. When it is back each worker looks once anyway."""
LAST_WORDS: Final = 1.0
"""Seconds for telling what is untold when the process ends."""
OLDEST: Final = (6, 2)

log = structlog.get_logger()


class RedisBroker:
    """`Broker` on the server at *address*, for the connection called *name*.

    Args:
        longest_pause, ping_every: seconds; for tests.
    """

    def __init__(
        self,
        name: str,
        address: RedisAddress,
        *,
        longest_pause: float = LONGEST_PAUSE,
        ping_every: float = PING_EVERY,
    ) -> None:
        self.away = False
        self.channel = f"reverie:{{{name}}}:{address.db}"
        self._name = name
        self._address = address
        self._longest_pause = longest_pause
        self._ping_every = ping_every
        self._untold: set[str] = set()
        self._teller: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._listener: asyncio.Task[None] | None = None
        self._deaf = False
        self._closed = False

    # -- telling

    def tell(self, queue: str) -> None:
        if self._closed:
            return
        if len(self._untold) < MOST_UNTOLD:
            self._untold.add(queue)
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell_all())

    async def _tell_all(self) -> None:
        failures = 0
        while self._untold:
            queues, self._untold = self._untold, set()
            try:
                await self._publish("\n".join(queues))
            except TROUBLE as error:
                self._untold |= queues
                failures += 1
                self._note_away(error)
                await asyncio.sleep(self._pause(failures))
            else:
                failures = 0
                self._note_back()
                await asyncio.sleep(GAP)

    async def _publish(self, message: str) -> None:
        """On the connection that is there, else on a new one; servers close connections that were idle."""
        if self._session is not None:
            try:
                await self._session.ask("PUBLISH", self.channel, message)
                return
            except TROUBLE:
                await self._drop_session()
        self._session = await open_session(self._address)
        try:
            await self._session.ask("PUBLISH", self.channel, message)
        except BaseException:
            await self._drop_session()
            raise

    async def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _note_away(self, error: Exception) -> None:
        if not self.away:
            self.away = True
            log.warning("queue.not_told", connection=self._name, server=str(self._address), cause=cause_of(error))

    def _note_back(self) -> None:
        if self.away:
            self.away = False
            log.info("queue.told_again", connection=self._name, server=str(self._address))

    # -- listening

    async def listen(self, queues: Sequence[str] | None, woken: Callable[[], None]) -> None:
        await self.deafen()
        self._listener = asyncio.create_task(self._listen(None if queues is None else frozenset(queues), woken))

    async def deafen(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await _end(listener)

    async def _listen(self, queues: frozenset[str] | None, woken: Callable[[], None]) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                async with self._subscribed() as session:
                    self._note_heard()
                    woken()
                    await self._hear(session, queues, woken)
            except TROUBLE as error:
                self._note_deaf(error)
            failures = 1 if time.monotonic() - began > self._longest_pause else failures + 1
            await asyncio.sleep(self._pause(failures))

    @contextlib.asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[Session]:
        session = await open_session(self._address)
        try:
            await session.ask("SUBSCRIBE", self.channel)
            yield session
        finally:
            await session.close()

    async def _hear(self, session: Session, queues: frozenset[str] | None, woken: Callable[[], None]) -> None:
        """Until the connection breaks, or the server is silent even when it is asked."""
        asked = False
        while True:
            message = await session.next_message(TIMEOUT if asked else self._ping_every)
            if message is None and asked:
                raise Silent(f"silent for {self._ping_every + TIMEOUT:g} s")
            asked = message is None
            if message is None:
                await session.ping()
            elif message and (queues is None or not queues.isdisjoint(message.split("\n"))):
                woken()

    def _note_deaf(self, error: Exception) -> None:
        if not self._deaf:
            self._deaf = True
            log.warning("worker.broker_away", connection=self._name, server=str(self._address), cause=cause_of(error))

    def _note_heard(self) -> None:
        if self._deaf:
            self._deaf = False
            log.info("worker.broker_back", connection=self._name, server=str(self._address))

    def _pause(self, failures: int) -> float:
        """A tenth of a second at first, then longer and longer, and never twice the same for many processes."""
        return random.uniform(0.5, 1) * min(self._longest_pause, 0.1 * 2.0 ** min(failures, 10))

    # -- the whole

    async def examine(self) -> list[Finding]:
        subject = f"Redis {self._name}"
        try:
            async with self._subscribed() as listening:
                session = await open_session(self._address)
                try:
                    took = await self._round_trip(session, listening)
                    facts = await session.facts()
                finally:
                    await session.close()
        except TROUBLE as error:
            cause = cause_of(error).rstrip(".")
            message = (
                f"{self._address} cannot be used: {cause}. No job is lost and jobs are accepted and run all "
                "the same; until it is back, workers find them by looking at the store, which can take seconds on "
                "other hosts."
            )
            return [Finding(level="error", subject=subject, message=message)]
        return [
            Finding(
                level="ok", subject=subject, message=f"{self._address} passed a wake-up on in {took * 1000:.1f} ms"
            ),
            *_findings(subject, facts),
        ]

    async def _round_trip(self, session: Session, listening: Session) -> float:
        """Seconds that a wake-up takes to come back. One without a name wakes nobody."""
        began = time.monotonic()
        await session.ask("PUBLISH", self.channel, "")
        while (message := await listening.next_message(TIMEOUT)) != "":
            if message is None:
                raise Silent("it takes messages and does not pass them on")
        return time.monotonic() - began

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.deafen()
        if self._teller is not None:
            if not self.away:
                await asyncio.wait([self._teller], timeout=LAST_WORDS)
            await _end(self._teller)
        await self._drop_session()


async def _end(task: asyncio.Task[None]) -> None:
    # Until Python 3.12 `wait_for`, with which redis-py sends, loses a cancellation that comes as its work is done.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


def _findings(subject: str, facts: dict[str, str]) -> list[Finding]:
    """What the server says of itself; nothing where it does not tell."""
    found = []
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers:
        name = "Valkey" if "valkey_version" in facts else "Redis"
        if numbers >= OLDEST:
            found.append(Finding(level="ok", subject=subject, message=f"{name} {version}"))
        else:
            wanted = f"{name} {version} is older than 6.2, with which this is tested: install a newer one"
            found.append(Finding(level="warning", subject=subject, message=wanted))
    if policy := facts.get("maxmemory_policy"):
        message = f"maxmemory-policy is {policy}; any will do, since nothing is stored there"
        found.append(Finding(level="ok", subject=subject, message=message))
    if facts.get("role", "master") != "master" and facts.get("cluster_enabled") != "1":
        message = (
            "it is a replica: what is told here reaches only its own listeners; name the master, or Sentinel with "
            "redis+sentinel://"
        )
        found.append(Finding(level="warning", subject=subject, message=message))
    return found
