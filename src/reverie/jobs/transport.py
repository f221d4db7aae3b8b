"""The interface that wakes workers. It carries no jobs: a wake-up that is lost or comes twice means nothing."""

from __future__ import annotations

from typing import Protocol

from reverie.jobs.finding import Finding


class Transport(Protocol):
    """Says *look* to workers of other processes and of this one.

    A driver that cannot wake somebody at once wakes him within a quarter of a second by looking at the store itself.
    """

    async def join(self, worker: str) -> None:
        """Be one that is woken, under a name no other worker has. Before it, `wait` only looks at the store."""
        ...

    async def leave(self) -> None:
        """Be woken no more. Nothing happens to who never joined."""
        ...

    async def announce(self, connection: str, queue: str) -> None:
        """*queue* of *connection* has work. Never blocks and never raises."""
        ...

    async def wait(self) -> None:
        """Return when there may be work, or nobody knows better. One caller at a time; giving up loses nothing."""
        ...

    def gone(self, worker: str) -> bool:
        """Whether the process of *worker* is known to have ended; False when it lives, and when nobody knows."""
        ...

    def clear(self, worker: str) -> None:
        """Remove what a worker that is gone has left."""
        ...

    async def examine(self) -> list[Finding]:
        """Look for what an operator should know. Changes nothing and never raises."""
        ...

    async def close(self) -> None:
        """Leave. Twice does nothing."""
        ...
