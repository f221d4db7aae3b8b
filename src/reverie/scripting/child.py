"""One child process: start it, run scripts in it one after another, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from codecs import getincrementaldecoder
from pathlib import Path
from threading import Thread
from typing import Final, cast

from reverie.errors import ScriptCrashed, ScriptError, ScriptLimit, ScriptTimeout
from reverie.model import JSON
from reverie.scripting import wire
from reverie.scripting.engine import Outcome, Run
from reverie.scripting.outcome import outcome_of, script_error
from reverie.scripting.program import Program, launch, resident

_TICK: Final = 0.1  # seconds between looks at a long run's clock and memory
_GRACE: Final = 0.25  # seconds from a closed pipe to the end of its process, before it is killed
_TAIL: Final = 8192  # bytes of stderr kept to say why a child died
_OUT_OF_MEMORY: Final = (b"out of memory", b"Reached heap limit")


class NotStarted(Exception):
    """The child was gone before the script began; the run may go to another child."""


class _Turn:
    """A run while it is on."""

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
        "watched",
    )

    def __init__(self, run: Run, done: asyncio.Future[Outcome], watched: int, began: float) -> None:
        self.run = run
        self.done = done
        self.watched = watched
        self.began = began
        self.calls = 0
        self.started = False
        self.printed = 0
        self.output: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.ending: ScriptError | None = None
        self.decoder = getincrementaldecoder("utf-8")("replace")  # a letter may lie on the edge of two reads

    def text(self) -> str:
        return "".join(self.output)[: self.run.limits.output]


class Child(asyncio.Protocol):
    """A warm child process of one language.

    Attributes:
        pid: of the process, which leads a session of its own.
        version: of the language, once ready.
        memory: MiB it was started for.
        domain: whose scripts it runs; None until its first run.
        runs: how many it has begun.
        alive: it may take another run.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, program: Program, folder: Path, logs: int, memory: int):
        loop = asyncio.get_running_loop()
        self.pid = process.pid
        self.version = ""
        self.memory = memory
        self.domain: str | None = None
        self.runs = 0
        self.alive = True
        self._loop = loop
        self._process = process
        self._program = program
        self._folder = folder
        self._logs = logs
        self._frames = wire.Frames()
        self._tail = b""
        self._turn: _Turn | None = None
        self._owed = 0  # `ended` messages still to come for runs that are over
        self._lost: Exception | bool = False
        self._transport: asyncio.WriteTransport | None = None
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._exited)
        loop.add_reader(logs, self._read_logs)

    @classmethod
    async def spawn(cls, program: Program, *, memory: int) -> Child:
        """Start a child; it is ready when this returns.

        Must run on the main thread: the child ends with the thread that started it.

        Raises:
            ScriptCrashed: it did not come up; the message holds what it said.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"reverie-run-{os.getpid()}-"))
        ours, theirs = socket.socketpair()
        logs, logs_end = os.pipe()
        try:
            process = launch(program, memory=memory, folder=folder, pipe=theirs, logs=logs_end)
        except OSError as error:
            ours.close()
            os.close(logs)
            shutil.rmtree(folder, ignore_errors=True)
            raise ScriptCrashed("The script's process could not be started.") from error
        finally:
            theirs.close()
            os.close(logs_end)
        os.set_blocking(logs, False)
        ours.setblocking(False)
        child = cls(process, program=program, folder=folder, logs=logs, memory=memory)
        try:
            await child._loop.create_unix_connection(lambda: child, sock=ours)
            await asyncio.wait_for(child._ready, 30)
        except TimeoutError as error:
            raise ScriptCrashed("The script's process did not come up within 30 s.") from error
        finally:
            if not child.version:
                child.kill()
                await child.gone()
        return child

    async def run(self, run: Run) -> Outcome:
        """Run a script to its end; as `Engine.run`.

        Raises:
            NotStarted: the child died before it had the script.
        """
        loop = self._loop
        done: asyncio.Future[Outcome] = loop.create_future()
        try:
            frame = wire.frame(_message_of(run))
        except (TypeError, ValueError, RecursionError) as error:
            raise ScriptError(f"The event cannot be handed to a script: {error}") from error
        if not self.alive or self._transport is None:
            raise NotStarted
        self._turn = turn = _Turn(run, done, self.pid, loop.time())
        self.runs += 1
        self._transport.write(frame)
        self._timer = loop.call_later(min(_TICK, run.limits.wall), self._tick)
        try:
            return await done
        except ScriptError:
            if turn.ending is not None:
                await self.gone()
            raise
        except asyncio.CancelledError:
            self.kill()
            await self.gone()
            raise
        finally:
            self._turn = None
            self._timer.cancel()
            for task in turn.tasks:
                task.cancel()

    def kill(self) -> None:
        """End the process and its group, at once. Twice does nothing."""
        self.alive = False
        if self._process.returncode is not None:
            return
        groups = {self.pid} if self._turn is None else {self.pid, self._turn.watched}
        for group in groups:
            if self._is_ours(group):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _is_ours(self, pid: int) -> bool:
        """True for a process of this child's session: a script may have named any."""
        try:
            return os.getsid(pid) == self.pid
        except (ProcessLookupError, OverflowError):
            return False

    async def gone(self) -> None:
        """Wait until the process has ended."""
        await asyncio.shield(self._gone)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's transports are not of that class

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._take(message)
        except wire.WireError:
            self._end(ScriptCrashed("The script's process sent something that is no message."))
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self._lost = exc or True
        if self._process.returncode is not None:
            self._conclude()
        else:
            self._loop.call_later(_GRACE, self._end_silent)

    def _exited(self) -> None:
        """The process is a zombie: take what it left behind, then let it go."""
        self.alive = False
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._read_logs()
        self._loop.remove_reader(self._logs)
        os.close(self._logs)
        Thread(target=shutil.rmtree, args=(self._folder, True), daemon=True).start()  # scripts may leave much
        if self._lost or self._transport is None:
            self._conclude()
        else:
            self._loop.call_later(_GRACE, self._transport.close)  # whoever else holds the pipe: nobody listens any more
        if not self._ready.done():
            said = self._tail.decode(errors="replace").strip()[-500:]
            self._ready.set_exception(ScriptCrashed(f"The script's process did not come up: {said}"))
            self._ready.exception()

    def _end_silent(self) -> None:
        if self._process.returncode is None:
            self._end(ScriptCrashed("The script's process closed its pipe."))
            self.kill()

    def _conclude(self) -> None:
        """The process ended and its pipe is empty: a run that is still on has no other end."""
        self._gone.set_result(None)
        turn = self._turn
        if turn is None or turn.done.done():
            return
        if not turn.started and isinstance(self._lost, OSError):
            turn.done.set_exception(NotStarted())  # the pipe was closed with our message unread
            return
        self._end(self._death(self._process.returncode, turn))

    def _death(self, code: int, turn: _Turn) -> ScriptError:
        if code < 0 and any(mark in self._tail for mark in _OUT_OF_MEMORY):
            return _too_much_memory(turn.run)
        if code >= 0:
            return ScriptError(f"Executed command returned with error code: {code}")
        return ScriptCrashed(f"The script's process was killed by signal {-code} ({signal.strsignal(-code)}).")

    # Messages.

    def _take(self, message: wire.Message) -> None:
        match message:
            case wire.Ready(version=version):
                if not self._ready.done():
                    self.version = version
                    self._ready.set_result(None)
                return
            case wire.Ended() if self._owed:
                self._owed -= 1
                return
            case _:
                turn = self._turn
        if turn is None or turn.done.done():
            return
        match message:
            case wire.Result():
                self._finish(turn, message)
            case wire.Call():
                self._answer(turn, message)
            case wire.Log(text=text):
                self._print(turn, text, len(text.encode()))
            case wire.Failure():
                self._over(turn)
                turn.done.set_exception(script_error(message, turn.run, turn.text()))
            case wire.Started(pid=pid) if self._is_ours(pid):
                turn.watched = pid
            case wire.Ended(code=code):
                if turn.started:
                    self._read_logs()
                    self._end(self._death(code, turn))
                    self.kill()
                return  # else the process died waiting, and another takes the run
        turn.started = True

    def _finish(self, turn: _Turn, message: wire.Result) -> None:
        self._over(turn)
        if turn.done.done():
            return
        try:
            seconds = self._loop.time() - turn.began
            turn.done.set_result(outcome_of(message, output=turn.text(), seconds=seconds))
        except ScriptError as error:
            turn.done.set_exception(error)

    def _over(self, turn: _Turn) -> None:
        if turn.watched != self.pid:
            self._owed += 1
        if self._program.prints:
            self._read_logs()

    def _answer(self, turn: _Turn, call: wire.Call) -> None:
        turn.calls += 1
        if turn.calls > turn.run.limits.calls:
            self._end(ScriptLimit(f"The script made more than {turn.run.limits.calls} calls."))
            self.kill()
            return
        task = self._loop.create_task(self._ask(turn, call))
        turn.tasks.add(task)
        task.add_done_callback(turn.tasks.discard)

    async def _ask(self, turn: _Turn, call: wire.Call) -> None:
        try:
            args: dict[str, JSON] = {name: wire.as_json(value) for name, value in call.args.items()}
            value = await turn.run.host(call.op, args)
            frame = wire.frame(wire.AnswerMessage(call.id, value))
        except Exception as error:  # last resort: the script shall not wait for an answer that never comes
            if not turn.done.done():
                failure = ScriptError("The platform failed to answer the script.")
                failure.__cause__ = error
                self._end(failure)
                self.kill()
            return
        if self._turn is turn and self._transport is not None:
            self._transport.write(frame)

    def _print(self, turn: _Turn, text: str, size: int) -> None:
        turn.output.append(text)
        turn.printed += size
        if turn.printed > turn.run.limits.output:
            self._end(ScriptLimit(f"The script printed more than {turn.run.limits.output} bytes."))
            self.kill()

    def _read_logs(self) -> None:
        """Take all that stands in the pipe of stdout and stderr."""
        while True:
            try:
                data = os.read(self._logs, 65536)
            except BlockingIOError:
                return
            if not data:
                if self._process.returncode is None:
                    self._loop.remove_reader(self._logs)
                return
            self._tail = (self._tail + data)[-_TAIL:]
            turn = self._turn
            if turn is not None and self._program.prints and not turn.done.done():
                self._print(turn, turn.decoder.decode(data), len(data))

    # Limits.

    def _tick(self) -> None:
        turn = self._turn
        if turn is None or turn.done.done():
            return
        limits = turn.run.limits
        left = turn.began + limits.wall - self._loop.time()
        if left <= 0:
            self._end(ScriptTimeout(f"The script ran longer than {limits.wall:g} seconds."))
            self.kill()
        elif resident(turn.watched) > limits.memory + self._program.overhead:
            self._end(_too_much_memory(turn.run))
            self.kill()
        else:
            self._timer = self._loop.call_later(min(_TICK, left), self._tick)

    def _end(self, error: ScriptError) -> None:
        """Let the run fail; its child goes with it."""
        self.alive = False
        turn = self._turn
        if turn is not None and not turn.done.done():
            error.output = turn.text()
            turn.ending = error
            turn.done.set_exception(error)


def _message_of(run: Run) -> wire.RunMessage | wire.CheckMessage:
    if run.check:
        return wire.CheckMessage(run.script.content, run.limits.memory)
    return wire.RunMessage(run.script.content, run.event, run.platform, run.limits.memory)


def _too_much_memory(run: Run) -> ScriptLimit:
    return ScriptLimit(f"The script ran out of memory: it may use {run.limits.memory} MiB.")
