"""What wakes a queue's workers: the store's own transport, and a broker for each connection that has one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from reverie.jobs.finding import Finding
from reverie.jobs.transport import Broker, Transport


class Wakeups:
    """`Transport` of the whole queue.

    Args:
        own: the store's, which finds every job in the end.
        brokers: by the name of their connection.
    """

    def __init__(self, own: Transport, brokers: Mapping[str, Broker]) -> None:
        self._own = own
        self._brokers = brokers
        self._heard: list[Broker] = []
        self._woken = asyncio.Event()

    async def join(self, worker: str, *, connection: str | None = None, queues: Sequence[str] | None = None) -> None:
        """Be woken under a name no other worker has; for the queues of one connection, or of all for None."""
        await self.leave()
        await self._own.join(worker)
        for name, broker in self._brokers.items():
            if connection in (None, name):
                await broker.listen(queues, self._woken.set)
                self._heard.append(broker)

    async def leave(self) -> None:
        heard, self._heard = self._heard, []
        for broker in heard:
            await broker.deafen()
        await self._own.leave()

    async def announce(self, connection: str, queue: str) -> None:
        broker = self._brokers.get(connection)
        if broker is not None:
            broker.tell(queue)
        if broker is None or broker.away:
            await self._own.announce(connection, queue)

    async def wait(self) -> None:
        if not self._heard:
            await self._own.wait()
            return
        waits = [asyncio.ensure_future(self._own.wait()), asyncio.ensure_future(self._woken.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                await one  # what it raises is the caller's
            self._woken.clear()
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def gone(self, worker: str) -> bool:
        return self._own.gone(worker)

    def clear(self, worker: str) -> None:
        self._own.clear(worker)

    async def examine(self) -> list[Finding]:
        found = await self._own.examine()
        for broker in self._brokers.values():
            found += await broker.examine()
        return found

    async def close(self) -> None:
        await self.leave()
        for broker in self._brokers.values():
            await broker.close()
        await self._own.close()
