"""When a worker stops, and how much it may take until then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reverie.jobs.work import Stop, WorkerOptions

MOST_UNSETTLED: Final = 256
"""Runs that may wait for the store beside those that run."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a worker stands; times are monotonic seconds.

    Attributes:
        born, last_job: when it began to serve, and when a job ended last.
        next_start: no job begins before it.
        busy: runs being performed; those that only wait for the store leave their place to others.
        taken, performed, ended: jobs since it began to serve: claimed, run, and settled or lost.
        empty: the last claim found nothing. `slept`: it waited once as long as it may.
    """

    born: float
    last_job: float
    next_start: float
    busy: int = 0
    taken: int = 0
    performed: int = 0
    ended: int = 0
    empty: bool = False
    slept: bool = False


def reason_to_stop(
    options: WorkerOptions, tally: Tally, now: float, *, quiet: bool, leave: Stop | None, memory: Callable[[], float]
) -> Stop | None:
    """The first that holds, in the contract's order.

    Args:
        quiet: nothing is in its hands. `leave`: what it was told. `memory`: MiB in use.
    """
    looped = tally.performed > 0 or (tally.slept and not options.listens)
    nothing = quiet and tally.empty
    if leave is Stop.DRAINED:
        return leave
    if options.memory > 0 and looped and memory() >= options.memory:
        return Stop.MEMORY
    if leave is not None:
        return leave
    reasons = (
        (options.once and quiet and (tally.taken > 0 or tally.slept), Stop.ONCE),
        (options.stop_when_empty and nothing, Stop.EMPTY),
        (0 < options.stop_when_empty_for <= now - tally.last_job and nothing, Stop.EMPTY),
        (0 < options.max_time <= now - tally.born, Stop.MAX_TIME),
        (0 < options.max_jobs <= tally.ended, Stop.MAX_JOBS),
    )
    return next((stop for holds, stop in reasons if holds), None)


def room(options: WorkerOptions, tally: Tally, now: float, *, runs: int, ahead: int, most_ahead: int) -> int:
    """How many jobs to claim now.

    Args:
        runs: jobs in its hands, *ahead* of them not begun; *most_ahead* may be.
    """
    free = options.concurrency - tally.busy
    if free < 1 and ahead > most_ahead // 2:
        return 0
    # Runs that wait for the store do not hold a place, but they do not pile up without end either.
    most = min(free + most_ahead - ahead, options.concurrency + MOST_UNSETTLED - runs)
    if options.max_jobs:
        most = min(most, options.max_jobs - tally.taken)
    if options.once:
        most = min(most, 1 - tally.taken)
    if options.rest > 0:
        most = min(most, 1 if now >= tally.next_start else 0)
    return most


def counts_each(options: WorkerOptions) -> bool:
    """Whether nothing may be claimed ahead: each job counts, or another queue may come first at any moment."""
    strict = options.queues is not None and len(options.queues) > 1
    return bool(options.once or options.max_jobs or options.rest or strict)
