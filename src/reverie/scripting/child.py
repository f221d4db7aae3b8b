"""One child process: start it, run scripts in it one after another, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final, cast

from reverie.errors import ScriptCrashed, ScriptError, ScriptLimit, ScriptTimeout
from reverie.model import JSON
from reverie.scripting import wire
from reverie.scripting.engine import Outcome, Run
from reverie.scripting.logs import Logs
from reverie.scripting.outcome import outcome_of, script_error
from reverie.scripting.program import Launched, Program, Use, children_of, launch, processor_time, resident, use_of
from reverie.scripting.turn import Turn

_TICK: Final = 0.1  # seconds between looks at a long run's clock and memory
_GRACE: Final = 0.25  # seconds from a closed pipe to the end of its process, before it is killed
_LINGER: Final = 1.0  # seconds from a result to the end of the process that gave it, before all are killed
_LOOK: Final = 16  # runs between two looks at the memory of a child


class NotStarted(Exception):
    """The child was gone before the script began; the run may go to another child."""


class Child(asyncio.Protocol):
    """A warm child process of one language.

    Attributes:
        pid: of the process, which leads a session of its own.
        version: of the language, once ready.
        memory: MiB it was started for.
        domain: whose scripts it runs; None until its first run.
        runs: how many it has begun.
        alive: it is `up` and may take another run, once it is `settled`.
    """

    def __init__(self, launched: Launched, program: Program, *, memory: int) -> None:
        loop = asyncio.get_running_loop()
        process, self._folder, self._pipe, logs = launched
        self.pid = process.pid
        self.version = ""
        self.memory = memory
        self.domain: str | None = None
        self.runs = 0
        self.alive = False
        self._loop = loop
        self._process = process
        self._program = program
        self._logs = Logs(logs, self._printed)
        self._frames = wire.Frames()
        self._turn: Turn | None = None
        self._group = 0  # the process of a run, which leads a group, until it is known to have ended
        self._settled: Callable[[], None] | None = None
        self._at_rest = 0.0
        self._holds_processes = program.tier == "process"
        self._lost: Exception | bool = False
        self._transport: asyncio.WriteTransport | None = None
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._exited)

    @classmethod
    def start(cls, program: Program, *, memory: int, sockets: bool = False) -> Child:
        """Start a child, which may run scripts once it is `up`.

        Must be called on the main thread: the child ends with the thread that started it.

        Raises:
            ScriptCrashed: there is no such process.
        """
        try:
            launched = launch(program, memory=memory, sockets=sockets)
        except OSError as error:
            raise ScriptCrashed("The script's process could not be started.") from error
        return cls(launched, program, memory=memory)

    async def up(self) -> None:
        """Wait until it is ready; it is killed where this fails.

        Raises:
            ScriptCrashed: it did not come up; the message holds what it said.
        """
        try:
            await self._loop.create_unix_connection(lambda: self, sock=self._pipe)
            await asyncio.wait_for(self._ready, 30)
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise ScriptCrashed("The script's process did not come up within 30 s.") from error
            raise
        self._at_rest = resident(self.pid)
        self.alive = not self._lost and self._process.returncode is None

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
        used = processor_time(self.pid)
        self._turn = turn = Turn(run, done, began=loop.time(), used=used)
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

    @property
    def ended(self) -> bool:
        return self._gone.done()

    @property
    def settled(self) -> bool:
        """Whether nothing of a run that is over is left; before that, the next one's event would be in its reach."""
        return not self._group

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call once it is settled, or dead."""
        self._settled = call

    def is_spent(self, growth: int) -> bool:
        """Whether a run left more than the next should meet: processes, or *growth* MiB beyond what it began with."""
        if self._holds_processes and not self._program.forks and children_of(self.pid, threads=False):
            return True
        return self.runs % _LOOK == 0 and resident(self.pid) > self._at_rest + growth

    def has_litter(self) -> bool:
        """Whether a script left files in the folder of the child."""
        return self._holds_processes and self._folder.has_litter()

    async def tidy(self) -> None:
        """Remove what scripts left in the folder; a child whose folder cannot be cleaned is killed."""
        await self._folder.clean()
        if self._folder.has_litter():
            self.kill()

    def kill(self) -> None:
        """End the process and all that it started, at once. Twice does nothing."""
        self.alive = False
        if self._process.returncode is None:
            self._kill_groups()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _kill_groups(self) -> None:
        """Nobody can leave them (see seccomp.py), so this reaches everyone."""
        for group in (self.pid, self._group):
            self._kill(group)

    @staticmethod
    def _kill(group: int) -> None:
        if group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

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
        self._kill_groups()
        self._process.wait()
        self._logs.close()
        self._folder.remove()
        if self._lost or self._transport is None:
            self._conclude()
        else:
            self._loop.call_later(_GRACE, self._transport.close)  # whoever else holds the pipe: nobody listens any more
        if not self._ready.done():
            said = self._logs.tail.decode(errors="replace").strip()[-500:]
            self._ready.set_exception(ScriptCrashed(f"The script's process did not come up: {said}"))
            self._ready.exception()
        self._settle()

    def _end_silent(self) -> None:
        if self._process.returncode is None:
            self._end(ScriptCrashed("The script's process closed its pipe."))
            self.kill()

    def _conclude(self) -> None:
        """The process ended and its pipe is empty: a run that is still on has no other end."""
        self._kill(self._group)  # which we may have heard of only now
        self._gone.set_result(None)
        turn = self._turn
        if turn is None or turn.done.done():
            return
        if not turn.started and isinstance(self._lost, OSError):
            turn.done.set_exception(NotStarted())  # the pipe was closed with our message unread
            return
        self._end(turn.death(self._process.returncode, self._logs.tail))

    # Messages.

    def _take(self, message: wire.Message) -> None:
        match message:
            case wire.Ready(version=version):
                if not self._ready.done():
                    self.version = version
                    self._ready.set_result(None)
                return
            case wire.Ended() if self._group and (self._turn is None or self._turn.done.done()):
                self._check_end()
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
            case wire.Started(pid=pid) if not turn.started and self._program.forks:
                self._group = pid  # the first message only: later ones may be the script's
            case wire.Ended(code=code):
                if turn.started:
                    self._logs.read()
                    self._end(turn.death(code, self._logs.tail))
                    self.kill()
                return  # else the process died waiting, and another takes the run
        turn.started = True

    def _finish(self, turn: Turn, message: wire.Result) -> None:
        self._over(turn)
        if turn.done.done():
            return
        try:
            seconds = self._loop.time() - turn.began
            turn.done.set_result(outcome_of(message, output=turn.text(), seconds=seconds))
        except ScriptError as error:
            turn.done.set_exception(error)

    def _over(self, turn: Turn) -> None:
        if self._group:
            self._loop.call_later(_LINGER, self._end_lingering, self.runs)
        if self._program.prints:
            self._logs.read()

    def _check_end(self) -> None:
        """Somebody says that the run's process has ended. A script may have said so, to hear what comes next."""
        try:
            os.kill(self._group, 0)
        except ProcessLookupError:
            self._settle()
        else:
            self.kill()

    def _end_lingering(self, run: int) -> None:
        if self._group and self.runs == run and self._turn is None:
            self.kill()

    def _settle(self) -> None:
        self._group = 0
        call, self._settled = self._settled, None
        if call is not None:
            call()

    def _answer(self, turn: Turn, call: wire.Call) -> None:
        turn.calls += 1
        if turn.calls > turn.run.limits.calls:
            self._end(ScriptLimit(f"The script made more than {turn.run.limits.calls} calls."))
            self.kill()
            return
        task = self._loop.create_task(self._ask(turn, call))
        turn.tasks.add(task)
        task.add_done_callback(turn.tasks.discard)

    async def _ask(self, turn: Turn, call: wire.Call) -> None:
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

    def _print(self, turn: Turn, text: str, size: int) -> None:
        if (excess := turn.prints(text, size)) is not None:
            self._end(excess)
            self.kill()

    def _printed(self, data: bytes) -> None:
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
        elif (excess := turn.excess(self._use(), self._program.overhead)) is not None:
            self._end(excess)
            self.kill()
        else:
            self._timer = self._loop.call_later(min(_TICK, left), self._tick)

    def _use(self) -> Use:
        """What the run's processes use; a parent that only forks holds nothing of it."""
        use = use_of(self.pid)
        return use._replace(memory=use.memory - resident(self.pid)) if self._program.forks else use

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
