"""What whoever queues a call gets from the queue at once."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.model import Job, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """A call that was queued.

    Attributes:
        job: None where the connection keeps nothing.
        response: the answer of a run that has taken place already, on a ``sync`` connection.
    """

    job: Job | None
    response: Response | None = None
