"""How many jobs a worker claims ahead of those it runs."""

from __future__ import annotations

from typing import Final

AHEAD_FOR: Final = 0.05
"""Seconds of work that may wait in a worker's hands: so little that nobody else would have been much sooner."""
MOST_AHEAD: Final = 128
_WEIGHT: Final = 0.2


class Pace:
    """Learns how long runs take. Short ones are claimed in batches, since a claim costs a commit; long ones are not."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._seconds: float | None = None

    def note(self, seconds: float) -> None:
        """A run took so long."""
        known = self._seconds
        self._seconds = seconds if known is None else known + _WEIGHT * (seconds - known)

    def ahead(self) -> int:
        """Jobs to hold beside those that run; none until a run has ended."""
        if self._seconds is None:
            return 0
        return min(MOST_AHEAD, int(AHEAD_FOR * self._places / max(self._seconds, 1e-6)))
