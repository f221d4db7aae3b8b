"""The interface that wakes workers. It carries no jobs: a wake-up that is lost or comes twice means nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Broker(Protocol):
    """A server that one connection's wake-ups go through, so that they reach every host. It stores nothing of ours.

    Attributes:
        away: the last attempt to tell it something failed; until it is back, who must be woken needs another way.
    """

    away: bool

    def tell(self, queue: str) -> None:
        """*queue* has work. Never blocks and never raises; while the server is away this is kept until it is back."""
        ...

    async def listen(self, queues: Sequence[str] | None, woken: Callable[[], None]) -> None:
        """Call *woken* for what is told of *queues*, of all for None, from now on until `deafen`.

        Returns before the server has answered, and connects again for ever. Called once more whenever it is heard
        again, since something may have been told meanwhile.
        """
        ...

    async def deafen(self) -> None:
        """Listen no more. Nothing happens when nobody listened."""
        ...

    async def examine(self) -> list[Finding]:
        """Look for what an operator should know. Changes nothing and never raises."""
        ...

    async def close(self) -> None:
        """Tell what was not told yet, if that takes no time, and leave. Twice does nothing."""
        ...
