"""How many jobs a worker claims ahead of those it runs."""

from __future__ import annotations

from typing import Final

AHEAD_FOR: Final = 0.02
"""Seconds of work that may wait in a worker's hands: so little that nobody else would have been much sooner."""
MOST_AHEAD: Final = 128
_WEIGHT: Final = 0.2


class Pace:
    """Learns how long runs and claims take.

    Short runs are claimed in batches, since a claim costs a commit; long ones are not. What is held lasts for one claim
    more, so that a slow store does not leave the places empty.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._seconds: float | None = None
        self._claim = 0.0

    def note(self, seconds: float) -> None:
        """A run took so long."""
        known = self._seconds
        self._seconds = seconds if known is None else known + _WEIGHT * (seconds - known)

    def note_claim(self, seconds: float) -> None:
        """A claim took so long."""
        self._claim += _WEIGHT * (seconds - self._claim)

    def ahead(self) -> int:
        """Jobs to hold beside those that run; none until a run has ended."""
        if self._seconds is None:
            return 0
        lasting = AHEAD_FOR + self._claim
        return min(MOST_AHEAD, int(lasting * self._places / max(self._seconds, 1e-6)))
