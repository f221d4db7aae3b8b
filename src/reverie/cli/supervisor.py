"""Child processes that are started again when they die.

The parent holds what must outlive a child, such as the listening socket; it runs no code of the platform itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program to keep running; `descriptors` stay open in it under the same numbers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: before the first new start, the longest wait (it doubles), how long a child must live for its wait to
    begin anew, and what children get to end in."""

    first: float = 0.05
    longest: float = 2.0
    steady: float = 3.0
    grace: float = 40.0


class Supervisor:
    def __init__(self, children: Sequence[Child], patience: Patience = Patience()) -> None:
        self._children = children
        self._patience = patience
        self._stopping = asyncio.Event()
        self._running: dict[str, Process] = {}

    async def run(self) -> None:
        """Keep the children running until `stop`; returns when all have ended, by force after `Patience.grace`."""
        keepers = [asyncio.create_task(self._keep(child)) for child in self._children]
        try:
            await self._stopping.wait()
            _, late = await asyncio.wait(keepers, timeout=self._patience.grace) if keepers else (None, None)
            if late:
                log.warning("child.killed", children=sorted(self._running))
        finally:
            self._signal(signal.SIGKILL)
            await asyncio.gather(*keepers, return_exceptions=True)

    def stop(self) -> None:
        """Ask all children to end, and start none again. A second time ends them at once."""
        self._signal(signal.SIGKILL if self._stopping.is_set() else signal.SIGTERM)
        self._stopping.set()

    def processes(self) -> dict[str, int]:
        """Process ids of the children that run, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, child: Child) -> None:
        wait = self._patience.first
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(child)
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= self._patience.steady:
                wait = self._patience.first
            log.warning("child.ended", child=child.name, status=status, again_in=wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            wait = min(wait * 2, self._patience.longest)

    async def _run_once(self, child: Child) -> int | str:
        """Exit status, negative for a signal; or why it could not be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command, env=dict(child.environment), pass_fds=child.descriptors, stdin=DEVNULL
            )
        except OSError as error:
            return str(error)
        self._running[child.name] = process
        try:
            if self._stopping.is_set():
                process.terminate()
            return await process.wait()
        finally:
            del self._running[child.name]
