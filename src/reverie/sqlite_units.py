"""Units of work that wait for SQLite's writer thread, and how those who gave them learn what became of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

from reverie.database import Connection

T = TypeVar("T")


class Unit(Generic[T]):
    """One unit; `result` or `error` is told with `settle`.

    Args:
        single: it is one statement.
        loop: where somebody awaits it; None: a thread without an event loop waits.
    """

    __slots__ = ("begun", "done", "error", "loop", "result", "single", "work")

    def __init__(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        single: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.work = work
        self.single = single
        self.loop = loop
        self.done: Any = Future() if loop is None else loop.create_future()
        self.begun = False
        self.result: Any = None
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """Whether it is to be done: nobody may wait for it any more."""
        self.begun = self.done.set_running_or_notify_cancel() if self.loop is None else not self.done.cancelled()
        return self.begun

    def settle(self) -> None:
        """Where it is awaited."""
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


def settle(units: Sequence[Unit[Any]]) -> None:
    """Tell all of them, from the writer thread: each event loop is woken once, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Unit[Any]]] = {}
    for unit in units:
        by_loop.setdefault(unit.loop, []).append(unit)
    for loop, some in by_loop.items():
        if loop is None:
            _settle_all(some)
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed, so nobody waits
                loop.call_soon_threadsafe(_settle_all, some)


def _settle_all(units: Sequence[Unit[Any]]) -> None:
    for unit in units:
        unit.settle()


def step(work: Awaitable[T]) -> T:
    """Run a coroutine that never waits, here and now."""
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("a unit of work awaited something other than its connection")
