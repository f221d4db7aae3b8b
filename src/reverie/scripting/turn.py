"""One run while it is on, as its child keeps it."""

from __future__ import annotations

import asyncio
import signal
from codecs import getincrementaldecoder
from typing import Final

from reverie.errors import ScriptCrashed, ScriptError, ScriptLimit
from reverie.scripting.engine import Outcome, Run
from reverie.scripting.program import Use

_OUT_OF_MEMORY: Final = (b"out of memory", b"Reached heap limit")
MOST_PROCESSES: Final = 64
"""That a child may have at one time, its own among them."""


class Turn:
    """A run while it is on.

    Attributes:
        used: processor seconds that the child had used before.
        ending: why we ended it.
    """

    __slots__ = (
        "began",
        "calls",
        "decoder",
        "done",
        "ending",
        "output",
        "printed",
        "run",
        "started",
        "tasks",
        "used",
    )

    def __init__(self, run: Run, done: asyncio.Future[Outcome], *, began: float, used: float = 0.0) -> None:
        self.run = run
        self.done = done
        self.began = began
        self.used = used
        self.calls = 0
        self.started = False
        self.printed = 0
        self.output: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.ending: ScriptError | None = None
        self.decoder = getincrementaldecoder("utf-8")("replace")  # a letter may lie on the edge of two reads

    def text(self) -> str:
        return "".join(self.output)[: self.run.limits.output]

    def excess(self, use: Use, overhead: int) -> ScriptError | None:
        """The limit that is broken by what the processes of the child use, if any is.

        Args:
            overhead: MiB that they may hold beyond the limit.
        """
        limits = self.run.limits
        if use.memory > limits.memory + overhead:
            return self._too_much_memory()
        if use.processor - self.used > limits.cpu:
            return ScriptLimit(f"The script used more than {limits.cpu:g} seconds of processor time.")
        if use.processes > MOST_PROCESSES:
            return ScriptLimit(f"The script started more than {MOST_PROCESSES} processes.")
        return None

    def prints(self, text: str, size: int) -> ScriptError | None:
        """Take what the script printed, *size* bytes; the limit if it is broken by that."""
        self.output.append(text)
        self.printed += size
        most = self.run.limits.output
        return ScriptLimit(f"The script printed more than {most} bytes.") if self.printed > most else None

    def death(self, code: int, said: bytes) -> ScriptError:
        """What the end of its process means.

        Args:
            code: below zero: minus the signal.
            said: the end of what stood on stderr.
        """
        if code < 0 and any(mark in said for mark in _OUT_OF_MEMORY):
            return self._too_much_memory()
        if code >= 0:
            return ScriptError(f"Executed command returned with error code: {code}")
        return ScriptCrashed(f"The script's process was killed by signal {-code} ({signal.strsignal(-code)}).")

    def _too_much_memory(self) -> ScriptLimit:
        return ScriptLimit(f"The script ran out of memory: it may use {self.run.limits.memory} MiB.")
