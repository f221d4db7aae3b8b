"""Places for runs: shared fairly between services, and waited for within limits."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from reverie.errors import ScriptsBusy

_LONGEST: Final = 60  # seconds that a client is told to wait at most
_WEIGHT: Final = 0.1  # of the newest run in the mean time of a run


@dataclass(slots=True)
class _Depth:
    """The runs at one depth of nesting, and those that wait, by owner; who waits first has its turn first."""

    taken: int = 0
    running: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)
    waiters: int = 0


class Places:
    """*size* places at each depth of nesting. A run waits only for others of its depth, and those only for deeper ones.

    A free place goes to the owner who has the fewest, so a slow one cannot keep it from the others. One who has none at
    all need not even wait for a place to become free: there are as many again for such.

    Args:
        patience: seconds after which a run that waits is refused.
        most_waiting: how many may wait at each depth; one more is refused at once.
    """

    def __init__(self, size: int, *, patience: float, most_waiting: int) -> None:
        self._size = size
        self._patience = patience
        self._most_waiting = most_waiting
        self._depths: dict[int, _Depth] = {}
        self._mean = 0.1
        self.refused = 0

    @property
    def waiting(self) -> int:
        return sum(depth.waiters for depth in self._depths.values())

    async def take(self, depth: int, owner: str) -> None:
        """Wait for a place.

        Raises:
            ScriptsBusy: too many wait already, or this run has waited for too long.
        """
        place = self._depths.setdefault(depth, _Depth())
        if self._may(place, owner):
            self._enter(place, owner)
            return
        if place.waiters >= self._most_waiting:
            raise self._busy(place)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        place.waiting.setdefault(owner, deque()).append(turn)
        place.waiters += 1
        timer = loop.call_later(self._patience, self._give_up, place, owner, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(depth, owner)  # it had come in the same moment
            else:
                self._leave(place, owner, turn)
            raise
        finally:
            timer.cancel()

    def give(self, depth: int, owner: str, *, seconds: float | None = None) -> None:
        """Give a place back.

        Args:
            seconds: how long it was held, from which the time to wait is guessed.
        """
        place = self._depths[depth]
        place.taken -= 1
        place.running[owner] -= 1
        if not place.running[owner]:
            del place.running[owner]
        if seconds is not None:
            self._mean += _WEIGHT * (seconds - self._mean)
        while place.waiting:
            owner = min(place.waiting, key=lambda one: place.running.get(one, 0))
            if not self._may(place, owner):
                break
            turn = place.waiting[owner].popleft()
            self._count_out(place, owner)
            self._enter(place, owner)
            turn.set_result(None)

    def _may(self, place: _Depth, owner: str) -> bool:
        return place.taken < self._size or (owner not in place.running and place.taken < 2 * self._size)

    @staticmethod
    def _enter(place: _Depth, owner: str) -> None:
        place.taken += 1
        place.running[owner] = place.running.get(owner, 0) + 1

    @staticmethod
    def _count_out(place: _Depth, owner: str) -> None:
        """One of them waits no longer; those of one owner who still do stand behind the others' now."""
        place.waiters -= 1
        left = place.waiting.pop(owner)
        if left:
            place.waiting[owner] = left

    def _leave(self, place: _Depth, owner: str, turn: asyncio.Future[None]) -> None:
        if turn in place.waiting.get(owner, ()):
            place.waiting[owner].remove(turn)
            self._count_out(place, owner)

    def _give_up(self, place: _Depth, owner: str, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._leave(place, owner, turn)
            turn.set_exception(self._busy(place))

    def _busy(self, place: _Depth) -> ScriptsBusy:
        self.refused += 1
        wait = math.ceil((place.waiters + 1) * self._mean / self._size)
        return ScriptsBusy(retry_after=max(1, min(wait, _LONGEST)))
