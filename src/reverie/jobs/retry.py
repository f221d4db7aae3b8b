"""How long until the next attempt, and when there is none."""

from __future__ import annotations

from collections.abc import Sequence

SHORTEST_PAUSE = 1.0
"""Seconds between two runs of a job that may be tried for ever: without it, a broken script is a hot loop."""
WARN_FROM = 20
"""From this attempt on, each further one of a job that is tried for ever is logged as a warning."""


def gives_up(*, attempts: int, tries: int) -> bool:
    """Whether a job that had its say *attempts* times is failed; *tries* 0 means never."""
    return 0 < tries <= attempts


def pause_before_retry(*, attempts: int, tries: int, delay: float | None, backoff: Sequence[float]) -> float:
    """Seconds until the next run.

    Args:
        attempts: runs so far, the one that just failed included.
        tries: 0 for ever.
        delay: the script's own, which beats the worker's list.
        backoff: the worker's, one for each attempt; the last repeats; empty means none.
    """
    if delay is not None:
        pause = delay
    elif backoff:
        pause = backoff[min(attempts, len(backoff)) - 1]
    else:
        pause = 0.0
    return max(pause, SHORTEST_PAUSE) if tries == 0 else max(pause, 0.0)


def backoff_of(backoff: Sequence[float], delay: float) -> tuple[float, ...]:
    """A worker's list: each entry of ``--backoff``, but at least ``--delay``."""
    return tuple(max(pause, delay) for pause in backoff) or ((delay,) if delay > 0 else ())
