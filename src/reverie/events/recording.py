"""What is kept of runs beside their effects: how often each version of a script failed, and events that are watched.

A run only notes; a task of the process writes what was noted, twice a second, so no call waits for it. A process that
is killed takes half a second of notes along: nothing but figures and captures is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from reverie.database import DatabaseError, Value
from reverie.errors import ReverieError, ScriptError, StoreUnavailable
from reverie.events.masks import masked, masked_caller, masked_event
from reverie.jobs.payload import Packed, pack, unpack
from reverie.model import JSON, Context, Script
from reverie.store.captures import Watch, about_capture, add_captures, purge_captures
from reverie.store.memory import Memory
from reverie.store.script_versions import Count, add_counts, forget_choices
from reverie.store.store import Store

FLUSH_EVERY: Final = 0.5
PURGE_EVERY: Final = 60.0
MOST_WAITING: Final = 200
"""Events that wait to be written; what comes beyond them is not kept."""
LARGEST: Final = 1024 * 1024
"""Bytes of a sealed event; a larger one is not kept."""
MOST_CALLS: Final = 200
"""Calls of a run that are kept with its event."""

Ask = Callable[[str, dict[str, JSON]], Awaitable[JSON]]
"""What a script asks of the platform, see `Run.host`."""

log = structlog.get_logger()


class Tape:
    """Notes what a run asks and is answered, for a later run to be answered likewise."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.calls: list[JSON] = []

    async def answer(self, op: str, args: dict[str, JSON]) -> JSON:
        answer = await self._ask(op, args)
        if len(self.calls) < MOST_CALLS:
            self.calls.append({"op": op, "args": masked(args), "answer": masked(answer)})
        return answer


class Recorder:
    """Counts runs and keeps watched events; `run` writes them until it is cancelled."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self._store = store
        self._memory = memory
        self._counts: dict[tuple[str, int], Count] = {}
        self._captures: list[tuple[Mapping[str, Value], int]] = []
        self._writing = asyncio.Lock()

    async def watched(self) -> Mapping[str, Watch]:
        """Scripts and events whose events are kept now, by key."""
        found = await self._memory.watches()
        if not found:
            return found
        now = self._store.clock.now()
        return {key: watch for key, watch in found.items() if watch.expires_at > now}

    # -- noted

    def ran(self, script: Script, error: ScriptError | None) -> None:
        """A run has ended."""
        if not script.key:
            return
        count = self._counts.setdefault((script.key, script.version), Count())
        count.runs += 1
        if error is None:
            return
        if error.status < 500:
            count.refusals += 1
            return
        count.failures += 1
        count.last_failed_at = self._store.clock.now()
        count.last_error = {"type": error.kind or type(error).__name__, "message": error.message, "line": error.line}

    def saw(
        self,
        watch: Watch,
        event: Mapping[str, JSON],
        context: Context,
        *,
        script: Script | None = None,
        error: ReverieError | None = None,
        calls: list[JSON] | None = None,
    ) -> None:
        """An event of a watched script went by; what it holds that sounds like a secret is not kept."""
        if len(self._captures) >= MOST_WAITING:
            return
        outcome = "seen" if script is None else "done" if error is None else "failed"
        if error is not None and error.status < 500:
            outcome = "refused"
        packed = Packed(
            event=masked_event(event, to_run=True),
            caller=masked_caller(context.caller),
            environment={"calls": calls or []},
        )
        content = pack(packed, self._store.sealer, about=about_capture(watch.script))
        if len(content) > LARGEST:
            log.info("script.not_captured", script=watch.name, bytes=len(content), most=LARGEST)
            return
        now = self._store.clock.now()
        values: dict[str, Value] = {
            "script": watch.script,
            "captured_at": now,
            "expires_at": now + watch.hours * 3600,
            "outcome": outcome,
            "number": None if script is None else script.version,
            "verb": _said(event, "method")[:10],
            "uri": _said(event, "uri")[:255],
            "status": status_in(event),
            "user_id": context.caller.user_id,
            "app_id": context.caller.app_id,
            "request_id": context.request_id[:64],
            "job_id": context.job_id,
            "size": len(content),
            "content": content,
        }
        self._captures.append((values, watch.keep))

    # -- written

    async def flush(self) -> None:
        """Write what was noted; what a busy store does not take is noted still."""
        async with self._writing:
            counts, self._counts = self._counts, {}
            try:
                await add_counts(self._store, counts)
            except StoreUnavailable:
                for place, count in counts.items():
                    _add(self._counts.setdefault(place, Count()), count)
            except DatabaseError as error:
                log.warning("script.not_recorded", error=str(error))
            captures, self._captures = self._captures, []
            if captures:
                try:
                    await add_captures(self._store, captures)
                except StoreUnavailable:
                    self._captures[:0] = captures
                except DatabaseError as error:
                    log.warning("script.not_recorded", error=str(error))

    async def run(self) -> None:
        """Write and clear away, for ever; the last time when this is cancelled."""
        clock = self._store.clock
        purge_at = clock.monotonic() + PURGE_EVERY
        try:
            while True:
                await clock.sleep(FLUSH_EVERY)
                await self.flush()
                if clock.monotonic() >= purge_at:
                    purge_at = clock.monotonic() + PURGE_EVERY
                    with contextlib.suppress(StoreUnavailable, DatabaseError):
                        await purge_captures(self._store)
                        await forget_choices(self._store)
        finally:
            await self.flush()


def open_capture(store: Store, row: Mapping[str, Value]) -> Packed:
    """What was kept of an event. Raises PayloadUnreadable."""
    content = row["content"]
    return unpack(content if isinstance(content, bytes) else b"", store.sealer, about=about_capture(str(row["script"])))


def status_in(event: Mapping[str, JSON]) -> int | None:
    """The status of the answer that an event holds."""
    response = event.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    return status if isinstance(status, int) else None


def _said(event: Mapping[str, JSON], name: str) -> str:
    """What the request says, as every database can hold it."""
    request = event.get("request")
    text = str(request.get(name) or "") if isinstance(request, dict) else ""
    return text.encode(errors="replace").decode().replace("\x00", "\ufffd")


def _add(total: Count, more: Count) -> None:
    total.runs += more.runs
    total.failures += more.failures
    total.refusals += more.refusals
    if total.last_failed_at is None:
        total.last_failed_at, total.last_error = more.last_failed_at, more.last_error
