"""What pools of connections share: a place for who wants one, and whether a connection that lay idle can be trusted."""

from __future__ import annotations

import asyncio
import select
from typing import Any, Final

from reverie.database import DatabaseBusy

TRUSTED_FOR: Final = 10.0
"""Seconds after its last use in which a connection is believed to lead somewhere: a network that broke says nothing."""


async def take_place(places: asyncio.Semaphore, give_up: float) -> None:
    """Wait for a place until *give_up*, by the loop's clock.

    Raises:
        DatabaseBusy: none was free in time.
    """
    if not places.locked():
        await places.acquire()  # at once: a timer for it would cost more than all else here
        return
    try:
        async with asyncio.timeout_at(give_up):
            await places.acquire()
    except TimeoutError:
        raise DatabaseBusy("every connection to the database is in use") from None


class Watch:
    """One connection, from its first use to its end; `used` is when the last one ended, by the loop's clock.

    Args:
        transport: of asyncio.
    """

    __slots__ = ("_poll", "_transport", "used")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.used = 0.0

    def trusts(self, now: float) -> bool:
        """Whether it was used a moment ago, is open, and nothing came in unasked: no end and no word before one.

        It asks the system and not the event loop, which may not have looked yet.
        """
        return now - self.used < TRUSTED_FOR and not self._transport.is_closing() and not self._poll.poll(0)
