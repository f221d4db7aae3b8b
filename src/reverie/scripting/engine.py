"""The interface to a language: run a script on an event, in a child process, within limits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from reverie.model import JSON, Script


class _Nothing:
    """The type of `NOTHING`."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""A script returned nothing at all, as against ``null``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use; seconds, seconds of a processor, MiB, bytes. Breaking one is a clear ScriptError."""

    wall: float = 60.0
    cpu: float = 60.0
    memory: int = 256
    output: int = 1024 * 1024
    calls: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a script.

    Attributes:
        event: the ``event`` of the script; edited in the child, never here.
        platform: ``session`` and ``config`` of the script's ``platform``.
        host: answers what the script asks of the platform: ``host("api", {"verb", "path", "payload", "options"})``
            gives the result map ``{"status_code", "content", "content_type", "format", "headers"}``,
            ``host("store.get", {"key", "default"})`` a value, ``host("store.set", {"key", "value"})`` None,
            ``host("require", {"name", "from", "known"})`` what `Library.module` says. It never raises ReverieError.
        domain: scripts of one domain may share a child; another domain gets another child.
        owner: who waits: places are shared fairly between owners, such as services.
        fresh: True for a process of its own, ended after the run.
        depth: how many runs wait for this one, one inside the other. The pool's size counts at each depth apart, so a
            run never waits for a child that belongs to one above it.
        check: True to parse the script and run nothing of it; what it returns is then what is wrong with it.
        times: is given the seconds it waited for its turn (``wait``), for a child (``start``), and ran (``run``).
    """

    script: Script
    event: dict[str, JSON]
    platform: Mapping[str, JSON]
    host: Callable[[str, dict[str, JSON]], Awaitable[JSON]]
    limits: Limits = Limits()
    domain: str = ""
    owner: str = ""
    fresh: bool = False
    depth: int = 0
    check: bool = False
    times: dict[str, float] | None = None


class StopWatch:
    """Adds the seconds between its laps to `Run.times`, where somebody wants to know them."""

    def __init__(self, times: dict[str, float] | None) -> None:
        self._times = times
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        if self._times is not None:
            now = time.perf_counter()
            self._times[name] = self._times.get(name, 0.0) + now - self._last
            self._last = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left.

    Attributes:
        event: the event after the script.
        returned: what the script returned, or what ``event.setReturn`` was given; NOTHING if nothing.
        output: what it printed, as text, shortened to the limit.
        seconds: how long it ran.
    """

    event: dict[str, JSON]
    returned: JSON | _Nothing = NOTHING
    output: str = ""
    seconds: float = 0.0


class Engine(Protocol):
    """Runs one language in warm children.

    Attributes:
        name: as in ``script.language`` and ``system/script_type``.
        label, description: for people.
        sandboxed: the language runtime itself denies every way out.
        missing: a sentence: why this machine cannot run it; ``""`` if it can.
    """

    name: str
    label: str
    description: str
    sandboxed: bool
    missing: str

    async def start(self) -> None:
        """Warm up; returns when the first child is ready or has failed to start, however often it is called."""
        ...

    async def run(self, run: Run) -> Outcome:
        """Run a script to its end.

        Runs of one depth go side by side up to the pool's size; more wait.

        Raises:
            ScriptError: the script threw, returned ``error``, has a syntax error, or ended its own process.
            ScriptTimeout: `limits.wall` passed; the child is dead.
            ScriptLimit: processor time, memory, output or calls beyond the limit; the child is dead.
            ScriptsBusy: too many runs wait for a place, or this one waited too long; nothing was run.
            CannotIsolate: this host cannot hold the script as it is told to; nothing was run.
            ScriptCrashed: the child ended without an answer.
            asyncio.CancelledError: the run was given up; its child is killed before this returns.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """``version`` of the language, how it is isolated, children alive, process ids: for `system/environment`."""
        ...

    async def close(self) -> None:
        """End all children, at once."""
        ...
