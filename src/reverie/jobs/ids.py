"""Ids of jobs: UUIDs of version 7 (RFC 9562), so that the order of ids is the order of age."""

from __future__ import annotations

import os
import threading
import uuid

from reverie.clock import Clock

_RANDOM_BITS = 62
_STEPS = 4096
"""Parts of a millisecond that an id tells apart: the 12 bits beside the time."""


class JobIds:
    """Makes ids that grow, also within a millisecond and when the clock is set back. Any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def make(self) -> str:
        with self._lock:
            tick = self._last = max(int(self._clock.now() * 1000 * _STEPS), self._last + 1)
        milliseconds, fraction = divmod(tick, _STEPS)
        chance = int.from_bytes(os.urandom(8), "big") >> 2
        number = (milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << _RANDOM_BITS) | chance
        return str(uuid.UUID(int=number))
