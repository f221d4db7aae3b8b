"""Hand over together what arrives while the last batch is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items of one event loop and flushes them, one batch at a time.

    Nothing waits for a timer: the first item goes with whatever was added in the same turn of the loop, and what comes
    during a flush makes the next batch. So an idle system is quick and a busy one is efficient.

    Args:
        flush: takes the items of a batch, gives one result for each, in order. What it raises goes to all of them.
        most: items in one batch.
    """

    def __init__(self, flush: Callable[[list[T]], Awaitable[Sequence[R]]], *, most: int = 256) -> None:
        self._flush = flush
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """Have *item* flushed; its result. Giving up the wait does not take the item back."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        await asyncio.sleep(0)
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                results = await self._flush([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001, RUF100 - it belongs to those who wait, not to this task
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
        self._task = None
