"""The one connection that hears notifications."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

import structlog

from reverie.postgresql.address import Address
from reverie.postgresql.errors import CAUGHT
from reverie.postgresql.pool import connect

LOOK_EVERY: Final = 10.0
"""Seconds between two looks whether the connection is still there; a cable that was cut says nothing."""
ANSWER_WITHIN: Final = 2.0
LONGEST_TROUBLE: Final = 10.0
"""Seconds at most between two attempts to connect."""

log = structlog.get_logger()


class Listener:
    """Calls back what listens on a channel, also after each time the connection was lost: something may be missed.

    Attributes:
        hears: whether notifications arrive at this moment.
    """

    def __init__(self, address: Callable[[], Address]) -> None:
        self._address = address
        self._ears: dict[str, list[Callable[[], object]]] = {}
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.hears = False

    def add(self, channel: str, heard: Callable[[], object]) -> None:
        """Have *heard* called on this loop; *channel* is a name of ours."""
        self._ears.setdefault(channel, []).append(heard)
        self._stirred.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    def remove(self, channel: str, heard: Callable[[], object]) -> None:
        self._ears[channel].remove(heard)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._call(channel)

    def _call(self, channel: str) -> None:
        for heard in tuple(self._ears[channel]):
            heard()

    async def _keep(self) -> None:
        """Connect, listen, look after the connection; again and again, for ever, unless there is a pooler."""
        trouble = 0.1
        while not self._address().pooled:
            try:
                raw = await connect(self._address())
                try:
                    await self._attend(raw)
                finally:
                    # Sooner than for a server that is away: it was there a moment ago.
                    trouble = 0.1
                    self.hears = False
                    raw.terminate()
            except CAUGHT as error:
                log.warning("store.deaf", cause=str(error) or type(error).__name__)
            await asyncio.sleep(random.uniform(0.5, 1) * trouble)
            trouble = min(LONGEST_TROUBLE, trouble * 2)

    async def _attend(self, raw: Any) -> None:
        """Listen until the connection is lost; raises one of `CAUGHT` then."""
        raw.add_termination_listener(lambda _: self._stirred.set())
        listening: set[str] = set()
        while not raw.is_closed():
            self._stirred.clear()
            for channel in self._ears.keys() - listening:
                await raw.add_listener(channel, self._heard)
                listening.add(channel)
                self._call(channel)  # what was notified before
            self.hears = True
            try:
                await asyncio.wait_for(self._stirred.wait(), LOOK_EVERY)
            except TimeoutError:
                await raw.fetchval("SELECT 1", timeout=ANSWER_WITHIN)
        raise ConnectionResetError("the server has closed the connection that hears notifications")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
