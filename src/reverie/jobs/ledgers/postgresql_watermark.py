"""Where the next claim may begin.

Claimed jobs leave dead entries at the beginning of their lane, and while somebody holds an old snapshot (a report, a
dump, a forgotten transaction) vacuum cannot remove them: each look at everything walks past all of them. A look that
took long for that reason is therefore not repeated at once; for a while, claims and questions for the next due time
begin at the last job that was taken from each lane. What they miss (a job of a lane that was not known, one given back
to its old place, the end of a lease) is found by the next full look.

That holds for whoever takes many at a time, as workers do. Who takes few looks at everything: a test of the order is
not fooled by a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from reverie.model import Job

SLOW: Final = 0.01
"""Seconds of a full look after which it is not repeated at once."""
SLOW_LOOKS: Final = 2
"""So many slow looks in a row, when they found few: one may be the machine's doing."""
REST: Final = 20
"""So many times as long as the look took."""
LONGEST_REST: Final = 3.0
FEWEST: Final = 8
"""Jobs asked for."""
MARGIN: Final = 0.1
"""Seconds of due time before the last job: others commit in another order."""

Lanes = tuple[list[str], list[str], list[int], list[float]]


class Watermark:
    """Of the claims of one connection and its queues: where each lane was left, and until when that may be used."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str, int], float] = {}
        self._until = 0.0
        self._slow = 0

    def lanes(self, limit: int = FEWEST) -> Lanes | None:
        """Connections, queues, priorities, and due times to begin at; None when a full look is due."""
        if limit < FEWEST or not self._left or time.monotonic() >= self._until:
            return None
        names = list(self._left)
        return [one[0] for one in names], [one[1] for one in names], [one[2] for one in names], [*self._left.values()]

    def seconds_left(self) -> float:
        """Until a full look is due."""
        return max(0.0, self._until - time.monotonic())

    def note_look(self, jobs: Sequence[Job], limit: int, seconds: float) -> None:
        """A full look has found *jobs* in so many *seconds*."""
        self._slow = self._slow + 1 if seconds >= SLOW and limit >= FEWEST else 0
        if not self._slow:
            self._left.clear()
        rests = self._slow >= (1 if len(jobs) >= limit else SLOW_LOOKS)
        self._until = time.monotonic() + min(REST * seconds, LONGEST_REST) if rests else 0.0
        self._move(jobs)

    def note_claim(self, jobs: Sequence[Job], limit: int) -> None:
        """A claim that began at the marks has found *jobs*; few are the end of the lanes, and worth a full look.

        Unless such looks were slow again and again.
        """
        self._move(jobs)
        if len(jobs) < limit and self._slow < SLOW_LOOKS:
            self._until = 0.0

    def _move(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._left[job.connection, job.queue, job.priority] = job.due_at - MARGIN
