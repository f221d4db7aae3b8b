"""Warm children of one language: who runs what, and what replaces those that died."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

from reverie.errors import ScriptCrashed, ScriptError
from reverie.scripting.child import Child, NotStarted
from reverie.scripting.engine import Limits, Outcome, Run, StopWatch
from reverie.scripting.program import Program, landlocked, sweep

_ATTEMPTS: Final = 4  # children that may be found dead before a run is given up
_MEMORY: Final = Limits().memory


class Pool:
    """Runs scripts side by side in up to *size* children, and keeps a spare one warm.

    Children belong to a domain from their first run on; the spare belongs to nobody yet.

    Args:
        size: most runs at one time, at each depth of nesting; more wait. A run waits only for others of its depth, and
            those only for deeper ones, so it is its turn some day; the depth is bounded by who calls.
        recycle: runs after which a child is replaced.
    """

    def __init__(self, program: Program | None, *, missing: str = "", size: int = 2, recycle: int = 1000) -> None:
        self._program = program
        self._missing = missing
        self._size = size
        self._recycle = recycle
        self._places: dict[int, asyncio.Semaphore] = {}
        self._idle: list[Child] = []
        self._spares: list[Child] = []
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._version = ""
        self._closed = False
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        if self._starting is None:
            self._closed = False
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        sweep()
        try:
            self._spares.append(await self._spawn(_MEMORY))
        except ScriptError:
            self._starting = None  # the first run says why

    async def run(self, run: Run) -> Outcome:
        clock = StopWatch(run.times)
        async with self._places.setdefault(run.depth, asyncio.Semaphore(self._size)):
            clock.lap("wait")
            for _ in range(_ATTEMPTS):
                child = await self._pick(run)
                clock.lap("start")
                try:
                    return await child.run(run)
                except NotStarted:
                    child.kill()
                finally:
                    clock.lap("run")
                    self._put_back(child, run)
        raise ScriptCrashed("The script's processes end before they begin.")

    def facts(self) -> Mapping[str, Any]:
        return {
            "version": self._version,
            "children": sum(1 for child in self._children if child.alive),
            "pids": sorted(child.pid for child in self._children if child.alive),
            "size": self._size,
            "user": "nobody" if os.geteuid() == 0 else "same",
            "files": "landlock" if landlocked() else "owner",
        }

    async def close(self) -> None:
        self._closed = True
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        for task in self._tasks:
            task.cancel()
        children = list(self._children)
        for child in children:
            child.kill()
        await asyncio.gather(*self._tasks, *(child.gone() for child in children), return_exceptions=True)
        self._idle.clear()
        self._spares.clear()

    async def _pick(self, run: Run) -> Child:
        """A child that may run this: one of its domain, else one of nobody, else a new one."""
        memory = run.limits.memory
        child = None if run.fresh else self._take(self._idle, memory, run.domain)
        if child is None:
            child = self._take(self._spares, memory, None)
            if child is not None:
                self._warm()
        if child is None:
            child = await self._spawn(memory)
        child.domain = run.domain
        return child

    def _take(self, children: list[Child], memory: int, domain: str | None) -> Child | None:
        for index in range(len(children) - 1, -1, -1):
            child = children[index]
            if child.memory == memory and child.domain == domain:
                del children[index]
                if child.alive:
                    return child
        return None

    def _put_back(self, child: Child, run: Run) -> None:
        if not child.alive or self._closed or run.fresh or child.runs >= self._recycle:
            if child.alive:
                child.kill()
            if not self._spares:
                self._warm()
            return
        self._idle.append(child)
        if len(self._idle) > self._size:
            self._idle.pop(0).kill()  # of a domain that was not called for longest

    async def _spawn(self, memory: int) -> Child:
        if self._program is None:
            raise ScriptError(self._missing)
        child = await Child.spawn(self._program, memory=memory)
        if self._closed:
            child.kill()
            raise ScriptCrashed("The engine is closed.")
        self._version = child.version
        self._children = {other for other in self._children if other.alive}
        self._children.add(child)
        return child

    def _warm(self) -> None:
        """Start a spare, beside whatever goes on."""
        if self._closed or self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._add_spare())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add_spare(self) -> None:
        self._spares = [child for child in self._spares if child.alive]
        if self._spares:
            return
        try:
            self._spares.append(await self._spawn(_MEMORY))
        except ScriptError:
            return  # the next run tries again, and says why
