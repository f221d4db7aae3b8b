"""Warm children of one language: who runs what, and what replaces those that died."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from reverie.errors import CannotIsolate, ScriptCrashed, ScriptError
from reverie.scripting.child import Child, NotStarted
from reverie.scripting.engine import Outcome, Run, StopWatch
from reverie.scripting.folder import sweep
from reverie.scripting.places import Places
from reverie.scripting.program import Program
from reverie.scripting.walls import Rules, described, missing_for, walls_here

_ATTEMPTS: Final = 4  # children that may be found dead before a run is given up
RULES: Final = Rules()
"""What holds where nobody says otherwise."""


class Pool:
    """Runs scripts side by side in up to *size* children, and keeps a spare one warm.

    Children belong to a domain from their first run on; the spare belongs to nobody yet.

    Args:
        size: most runs at one time, at each depth of nesting; more wait, see `Places`.
        recycle: runs after which a child is replaced.
        missing: a sentence: why there is no program.
        rules: what the instance wants of children.
    """

    name: str

    def __init__(
        self,
        program: Program | None,
        *,
        missing: str = "",
        size: int = 2,
        recycle: int = 1000,
        rules: Rules = RULES,
    ) -> None:
        self._program = program
        self.missing = "" if program is not None else missing
        self._size = size
        self._recycle = recycle
        self._rules = rules
        self._places = Places(size, patience=rules.patience, most_waiting=rules.most_waiting)
        self._idle: list[Child] = []
        self._settling: list[Child] = []
        self._spares: list[Child] = []
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._arrival: asyncio.Event = asyncio.Event()
        self._hoping = 0  # runs that wait for a child which settles
        self._wanted = 1  # spares
        self._warming = False
        self._version = ""
        self._closed = False
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        if self._starting is None:
            self._closed = self._warming = False
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        sweep()
        try:
            self._spares.append(await self._spawn(self._rules.memory))
        except ScriptError:
            self._starting = None  # the first run says why

    async def run(self, run: Run) -> Outcome:
        self._must_hold(run)
        if run.fresh:
            self._wanted = self._size  # each run takes one for good
        clock = StopWatch(run.times)
        await self._places.take(run.depth, run.owner)
        clock.lap("wait")
        seconds: float | None = None
        try:
            for _ in range(_ATTEMPTS):
                child = await self._pick(run)
                clock.lap("start")
                try:
                    outcome = await child.run(run)
                except NotStarted:
                    child.kill()
                else:
                    seconds = outcome.seconds
                    return outcome
                finally:
                    clock.lap("run")
                    self._put_back(child, run)
            raise ScriptCrashed("The script's processes end before they begin.")
        finally:
            self._places.give(run.depth, run.owner, seconds=seconds)

    def _must_hold(self, run: Run) -> None:
        if self._program is None:
            return
        apart = run.fresh or run.domain != ""
        why = missing_for(self._program.tier, apart=apart, rules=self._rules, walls=walls_here())
        if why:
            raise CannotIsolate(self.name, why)

    def facts(self) -> Mapping[str, Any]:
        tier = "process" if self._program is None else self._program.tier
        pids = sorted(child.pid for child in self._children if child.alive)
        return {
            "version": self._version,
            "children": len(pids),
            "pids": pids,
            "size": self._size,
            "waiting": self._places.waiting,
            "refused": self._places.refused,
            **described(tier, self._rules, walls_here()),
        }

    async def close(self) -> None:
        self._closed = True
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for child in self._children:  # also those that just came up, of which nobody else knows
            child.kill()
        await asyncio.gather(*(child.gone() for child in self._children))
        for some in (self._idle, self._settling, self._spares):
            some.clear()
        self._tell()

    # Which child.

    async def _pick(self, run: Run) -> Child:
        """A child that may run this: one of its domain, else one of nobody, else whichever is ready first, a new one or
        one that another run gives back."""
        if self._starting is not None and not self._starting.done():
            await asyncio.shield(self._starting)
        memory = self._memory(run)
        spawning: asyncio.Task[Child] | None = None
        try:
            while (child := self._ready(run, memory)) is None:
                hope = spawning is None and self._may_hope(run, memory)
                if spawning is None and not hope:
                    spawning = self._begin(self._spawn(memory))
                self._hoping += hope
                try:
                    await self._wait_for(spawning)
                finally:
                    self._hoping -= hope
                if spawning is not None and spawning.done():
                    child, spawning = spawning.result(), None
                    break
        finally:
            if spawning is not None:
                spawning.add_done_callback(self._adopt)
        child.domain = run.domain
        return child

    def _memory(self, run: Run) -> int:
        """MiB for which a child must have been started. Where each run is a process, it limits itself."""
        forks = self._program is not None and self._program.forks
        return self._rules.memory if forks else run.limits.memory

    def _ready(self, run: Run, memory: int) -> Child | None:
        if not run.fresh:
            child = self._take(self._idle, memory, run.domain)
            if child is not None or self._may_hope(run, memory):
                return child
        child = self._take(self._spares, memory, None)
        if child is not None:
            self._warm()
        return child

    def _may_hope(self, run: Run, memory: int) -> bool:
        """Whether a child is about to be free that nobody else waits for. That takes less than any other way."""
        if run.fresh:
            return False
        fit = (child for child in self._settling if (child.memory, child.domain) == (memory, run.domain))
        return sum(1 for _ in fit) > self._hoping

    def _take(self, children: list[Child], memory: int, domain: str | None) -> Child | None:
        for index in range(len(children) - 1, -1, -1):
            child = children[index]
            if child.memory == memory and child.domain == domain:
                del children[index]
                if child.alive:
                    return child
        return None

    async def _wait_for(self, spawning: asyncio.Task[Child] | None) -> None:
        """Until a child may be had that was not there before."""
        arrival = asyncio.ensure_future(self._arrival.wait())
        try:
            await asyncio.wait({arrival, *([spawning] if spawning else [])}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()

    def _tell(self) -> None:
        self._arrival.set()
        self._arrival = asyncio.Event()

    # What becomes of children.

    def _put_back(self, child: Child, run: Run) -> None:
        if not child.alive or self._closed or run.fresh or self._is_spent(child):
            if child.alive:
                child.kill()
                self._follow(child, run)
            self._warm()
            self._tell()
        elif child.settled:
            self._rest(child)
        else:
            self._settling.append(child)
            child.when_settled(lambda: self._settled(child))
            self._trim()

    def _is_spent(self, child: Child) -> bool:
        """Whether another should take its place. One that has only run often waits until the other is warm."""
        if child.is_spent(self._rules.growth):
            return True
        if child.runs < self._recycle or self._spares:
            return child.runs >= self._recycle
        self._warm()
        return child.runs >= 2 * self._recycle

    def _follow(self, child: Child, run: Run) -> None:
        """Let a spare follow a child that has run often: two that end together would count on the same one."""
        if run.fresh or self._closed:
            return
        follower = self._take(self._spares, child.memory, None)
        if follower is not None:
            follower.domain = child.domain
            self._idle.append(follower)
            self._trim()

    def _settled(self, child: Child) -> None:
        if child in self._settling:
            self._settling.remove(child)
            self._rest(child)

    def _rest(self, child: Child) -> None:
        """Keep it for the next run of its domain."""
        if not child.alive or self._closed:
            if not self._spares:
                self._warm()
        elif child.has_litter():
            self._settling.append(child)
            self._begin(self._tidy(child))
            return
        else:
            self._idle.append(child)
            self._trim()
        self._tell()

    def _trim(self) -> None:
        if len(self._idle) + len(self._settling) > self._size:
            (self._idle or self._settling).pop(0).kill()  # of a domain that was not called for longest

    async def _tidy(self, child: Child) -> None:
        await child.tidy()
        self._settled(child)

    def _adopt(self, spawning: asyncio.Task[Child]) -> None:
        """A child that came later than another way to run what it was started for."""
        if spawning.cancelled() or spawning.exception() is not None:
            return
        child = spawning.result()
        if child.memory != self._rules.memory:
            child.kill()
        else:
            self._keep(child)

    def _keep(self, child: Child) -> None:
        """Keep a new child as a spare, unless there are enough meanwhile."""
        if self._closed or len(self._spares) >= self._wanted:
            child.kill()
            return
        self._spares.append(child)
        self._tell()

    async def _spawn(self, memory: int) -> Child:
        if self._program is None:
            raise ScriptError(self.missing)
        child = Child.start(self._program, memory=memory, sockets=self._rules.sockets)
        self._children = {other for other in self._children if not other.ended}
        self._children.add(child)
        await child.up()
        if self._closed:
            raise ScriptCrashed("The engine is closed.")
        self._version = child.version
        return child

    def _begin(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _warm(self) -> None:
        """Start spares, beside whatever goes on."""
        if not self._closed and not self._warming:
            self._warming = True
            self._begin(self._add_spares())

    async def _add_spares(self) -> None:
        try:
            while True:
                self._spares = [child for child in self._spares if child.alive]
                if len(self._spares) >= self._wanted:
                    return
                self._keep(await self._spawn(self._rules.memory))
        except ScriptError:
            return  # the next run tries again, and says why
        finally:
            self._warming = False
