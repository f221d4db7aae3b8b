"""What a worker waits for when it has nothing to do: many ring, one hears it, and waits no longer than it must."""

from __future__ import annotations

import asyncio

from reverie.clock import Clock


class Bell:
    """Rung and heard on one event loop.

    Args:
        clock: whose seconds a wait is measured in.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._heard: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who will wait before the next `hush`."""
        self._rung = True
        if self._heard is not None:
            _end(self._heard)

    def hush(self) -> None:
        """Forget that it was rung."""
        self._rung = False

    async def within(self, seconds: float) -> bool:
        """Wait until it rings, at most so long; whether it did."""
        if self._rung:
            return True
        self._heard = heard = asyncio.get_running_loop().create_future()
        nap = asyncio.ensure_future(self._clock.sleep(seconds))
        nap.add_done_callback(lambda _: _end(heard))
        try:
            await heard
        finally:
            nap.cancel()
        return self._rung


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
