"""How fast the queues are: one measurement for the figures of operators, explanations and what callers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reverie.jobs.ledger import Ledger, Rate

FIVE_MINUTES: Final = 300.0
MINUTE: Final = 60.0
MOMENT: Final = 6.0
"""Seconds back that are looked at; of the last only where enough ended in them."""
ENOUGH: Final = 20
"""Jobs from which on a moment tells more than a minute: a burst after a pause is not spread over the pause."""
SHORTEST_RUN: Final = 0.001
"""Seconds; what ran for less is not taken to go on at that pace."""
LONGEST: Final = 86400.0
LONGEST_GUESS: Final = 60.0
"""Seconds told at most where nothing has ended lately, so that nobody knows."""

Place = tuple[str, str]
"""Connection and queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What ended in a queue within the last `seconds`.

    Attributes:
        failed: of those that `ended`.
        waited, ran: mean seconds of one job; None when nothing is known.
    """

    seconds: float
    ended: int = 0
    failed: int = 0
    waited: float | None = None
    ran: float | None = None

    @property
    def per_second(self) -> float:
        return self.ended / self.seconds

    @property
    def failed_per_second(self) -> float:
        return self.failed / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast one queue is, over three spans that end now."""

    moment: Lately = field(default_factory=lambda: Lately(seconds=MOMENT))
    one_minute: Lately = field(default_factory=lambda: Lately(seconds=MINUTE))
    five_minutes: Lately = field(default_factory=lambda: Lately(seconds=FIVE_MINUTES))

    @property
    def present(self) -> Lately:
        """The shortest span that tells enough."""
        if self.moment.ended >= ENOUGH:
            return self.moment
        return self.one_minute if self.one_minute.ended or not self.five_minutes.ended else self.five_minutes

    @property
    def per_second(self) -> float | None:
        """Jobs a second that may be expected to end; None when none ended within five minutes.

        A queue that had little to do is not slow for that: one job after the other is what it does at least.
        """
        lately = self.present
        if not lately.ended:
            return None
        one_by_one = 0.0 if lately.ran is None else 1 / max(lately.ran, SHORTEST_RUN)
        return max(lately.per_second, one_by_one)

    def until_through(self, waiting: int) -> float:
        """Seconds until a job has ended that is queued behind *waiting* others; 0 when nothing is known of any."""
        if (per_second := self.per_second) is None:
            return min(float(waiting), LONGEST_GUESS)
        return min(waiting / per_second + (self.present.ran or 0.0), LONGEST)


UNKNOWN: Final = Speed()


async def measure(ledger: Ledger, now: float) -> Mapping[Place, Speed]:
    """The queues in which something ended within five minutes.

    Raises:
        QueueUnavailable
    """
    five = _by_place(await ledger.rates(since=now - FIVE_MINUTES), now, FIVE_MINUTES)
    one = five and await _within(ledger, now, MINUTE, five)
    moment = one and await _within(ledger, now, MOMENT, one)
    return {
        place: Speed(
            moment=moment.get(place, UNKNOWN.moment),
            one_minute=one.get(place, UNKNOWN.one_minute),
            five_minutes=lately,
        )
        for place, lately in five.items()
    }


async def _within(ledger: Ledger, now: float, seconds: float, longer: Mapping[Place, Lately]) -> dict[Place, Lately]:
    """A shorter span. Where so many ended that the ledger did not see further back in the longer one, it is that."""
    if all(lately.seconds <= seconds for lately in longer.values()):
        return dict(longer)
    return _by_place(await ledger.rates(since=now - seconds), now, seconds)


def _by_place(rates: Sequence[Rate], now: float, seconds: float) -> dict[Place, Lately]:
    return {
        (one.connection, one.queue): Lately(
            seconds=seconds if one.since is None else max(now - one.since, 0.001),
            ended=one.ended,
            failed=one.failed,
            waited=one.waited,
            ran=one.ran,
        )
        for one in rates
    }
