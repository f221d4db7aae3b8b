"""When the next job is due, as a worker that has nothing to do asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

SHORTEST: Final = 0.05
"""Seconds of a pause. What is due now and was not taken is held by somebody's ended lease, and a sweep comes soon."""


class Outlook:
    """Asks once for each pause: after one that nothing cut short, a claim need not find out that there is nothing.

    Args:
        ask: seconds until a job is due; None when none will be.
    """

    def __init__(self, ask: Callable[[], Awaitable[float | None]]) -> None:
        self._ask = ask
        self._dozed = False
        self._known: tuple[float | None, ...] = ()

    async def may_find(self) -> bool:
        """Whether a claim may find a job."""
        if not self._dozed:
            return True
        self._dozed = False
        due = await self._ask()
        self._known = (due,)
        return due is not None and due <= 0

    async def pause(self, longest: float) -> float:
        """Seconds to wait until a job is due, at most *longest*."""
        due = self._known[0] if self._known else await self._ask()
        self._known = ()
        self._dozed = due is None or due > longest
        return longest if due is None else min(longest, max(due, SHORTEST))

    def stirred(self) -> None:
        """Something has happened: a claim may find anything."""
        self._dozed = False
