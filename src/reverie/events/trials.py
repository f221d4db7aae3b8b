"""Tries a script on a captured, stored or written event, before it is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias, cast

from reverie.database import Value
from reverie.errors import BadRequest, NotFound, ScriptError, ScriptingDisabled, UnknownEngine
from reverie.events.changes import Stage, event_after
from reverie.events.difference import differences
from reverie.events.event import BLANK, request_map
from reverie.events.hooks import script_of
from reverie.events.masks import masked_event
from reverie.events.recording import Recorder, open_capture
from reverie.events.rehearsal import Mode, Rehearsal, console
from reverie.events.runs import ScriptRuns, Trial
from reverie.jobs.payload import Packed
from reverie.jobs.promised import Promised
from reverie.jobs.queue import Queue
from reverie.model import JSON, Caller, Context, Job, Request, Response, Script, is_true
from reverie.scripting.engine import NOTHING, Outcome
from reverie.store.captures import capture_by_id, capture_of_job
from reverie.store.fixtures import fixture_by_id
from reverie.store.memory import Memory
from reverie.store.records import ServiceRecord
from reverie.store.script_versions import SERVICE, script_at
from reverie.store.store import Store

RunMode: TypeAlias = Literal["dry", "real", "queue"]
SOURCES: Final = ("event", "capture", "job", "fixture")
UNNAMED: Final = "unsaved"
"""The identifier of a script that belongs to nothing."""
NONE: Final = Script(identifier=UNNAMED, language="", content="")


class KeepingTrials(Protocol):
    """Makes jobs of scripts that are tried later, see `Queued`."""

    async def keep_trial(self, script: Script, event: dict[str, JSON], context: Context) -> Promised: ...


class Surroundings(Protocol):
    """The context of a run for a caller, inside the call that asks for it, if there is one."""

    def __call__(
        self, caller: Caller, outer: Context | None, rehearse: Callable[[Request], Response | None] | None
    ) -> Context: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trying:
    """What is tried.

    Attributes:
        calls: what an earlier run on this event asked and was answered.
        config: ``platform.config`` of that moment; None for today's.
        timeout: seconds; None for the instance's limit.
    """

    script: Script
    event: dict[str, JSON]
    caller: Caller
    calls: JSON = None
    config: Mapping[str, JSON] | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of it; the event before and after has no secrets."""

    rehearsal: Rehearsal
    before: dict[str, JSON]
    after: dict[str, JSON]
    outcome: Outcome | None = None
    error: ScriptError | None = None
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def output(self) -> str:
        ended = self.outcome or self.error
        return "" if ended is None else ended.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Args:
    open: opens what a job holds.
    recorder: whose notes are written before a capture is looked for.
    """

    store: Store
    memory: Memory
    queue: Queue
    runs: ScriptRuns
    keeping: KeepingTrials
    context_of: Surroundings
    open: Callable[[Job], Packed]
    script_of_service: Callable[[ServiceRecord], Script]
    recorder: Recorder | None = None

    # -- from what was asked

    async def answer(self, asked: Mapping[str, JSON], caller: Caller, outer: Context | None = None) -> tuple[int, JSON]:
        """Status and report of a try as a client asks for it.

        Args:
            outer: of the call that asks; None from the command line.

        Raises:
            BadRequest, NotFound: the script, or what it shall run on.
            UnknownEngine, ScriptingDisabled
        """
        mode = asked.get("mode") or "dry"
        if mode not in ("dry", "real", "queue"):
            raise BadRequest(f"There is no mode {mode!r}; there are 'dry', 'real' and 'queue'.")
        trying = await self.read(asked, caller)
        if mode == "queue":
            return 202, await self._later(trying, outer)
        tried = await self.run(trying, cast("Mode", mode), outer)
        return 200, report(trying.script, mode, tried)

    async def read(self, asked: Mapping[str, JSON], caller: Caller) -> Trying:
        """Raises BadRequest and NotFound."""
        sources = [name for name in SOURCES if asked.get(name) is not None]
        if len(sources) != 1:
            raise BadRequest("Name what the script shall run on by one of 'event', 'capture', 'job' and 'fixture'.")
        found, key = await self._source(sources[0], asked[sources[0]], caller)
        name = str(asked.get("script") or key or "")
        saved = await self._saved(name, asked.get("version")) if name else None
        content = asked.get("content")
        if content is None and saved is None:
            raise BadRequest("Send the text of the script as 'content', or name a saved one as 'script'.")
        language = asked.get("language") or asked.get("type") or (saved.language if saved else None)
        if not isinstance(language, str):
            raise BadRequest("Say in which 'language' the script is, such as 'v8js' or 'python3'.")
        config = asked.get("config")
        script = replace(
            saved
            or Script(identifier=name or UNNAMED, language=language, content="", may_modify=True, key=name.lower()),
            language=language,
            content=saved.content if content is None and saved else str(content),
        )
        if isinstance(config, dict):
            script = replace(script, config=config)
        if asked.get("allow_event_modification") is not None:
            script = replace(script, may_modify=is_true(asked["allow_event_modification"]))
        return replace(found, script=script, timeout=_seconds(asked.get("timeout")))

    async def _source(self, kind: str, what: JSON, caller: Caller) -> tuple[Trying, str | None]:
        """What the script runs on, and the key of the script that it was kept for."""
        if kind == "event":
            if not isinstance(what, dict):
                raise BadRequest("'event' must be an object with a 'request'.")
            request = what.get("request")
            given = request if isinstance(request, dict) else {}
            blank = {**request_map(Request(method="GET", service="")), **given}
            return Trying(script=NONE, event={"resource": "", **what, "request": blank}, caller=caller), None
        if self.recorder is not None:
            await self.recorder.flush()
        if kind == "job":
            return await self._job(str(what))
        row = await (capture_by_id if kind == "capture" else fixture_by_id)(self.store, as_id(what))
        if row is None:
            raise NotFound(f"There is no {kind} {what!r}; captures are kept for a while only.")
        return await self.kept(row), str(row["script"])

    async def kept(self, row: Mapping[str, Value], script: Script = NONE) -> Trying:
        """A script on an event that was kept, as a capture or a fixture.

        Raises:
            PayloadUnreadable
        """
        packed = open_capture(self.store, row)
        calls = packed.environment.get("calls")
        return Trying(script=script, event=packed.event, caller=await self._lookups(packed.caller), calls=calls)

    async def _job(self, job_id: str) -> tuple[Trying, str | None]:
        job = await self.queue.ledger.get(job_id)
        packed = self.open(job)
        row = await capture_of_job(self.store, job.id)
        calls = None if row is None else open_capture(self.store, row).environment.get("calls")
        config = packed.environment.get("config")
        event = {name: value for name, value in packed.event.items() if name != "call"}
        settings = config if isinstance(config, dict) else None
        key = None if job.kind not in ("script.event", "script.service") else job.script
        return Trying(script=NONE, event=event, caller=packed.caller, calls=calls, config=settings), key

    async def _lookups(self, caller: Caller) -> Caller:
        """With the lookups of today: private ones are not kept with an event."""
        found = await self.memory.lookups(
            caller.user_id, None if caller.role is None else caller.role.id, caller.app_id
        )
        return replace(caller, lookups=found.public, secrets=found.private)

    async def _saved(self, name: str, version: JSON) -> Script | None:
        """The saved script of that name; None where there is none.

        Raises:
            NotFound: not in that version.
        """
        found = await self.find(name)
        if version is None:
            return found
        key = found.key if found is not None else name.lower()
        then = await script_at(self.store, key, as_id(version))
        if then is None:
            raise NotFound(f"There is no version {version!r} of the script {name!r}.")
        return then

    async def find(self, name: str) -> Script | None:
        """A saved script by an event's name, or as ``service:<id or name>`` or ``service.<name>``; None without one."""
        await self.memory.fresh()
        if name.startswith(SERVICE):
            which = name.removeprefix(SERVICE)
            by_id = await self.memory.service_by_id(as_id(which))
            service = by_id or await self.memory.service(which.lower())
        else:
            record = await self.memory.event_script(name)
            if record is not None:
                return script_of(record)
            service = await self.memory.service(name.removeprefix("service.").lower()) if "." in name else None
            service = service if name.startswith("service.") else None
        is_script = service is not None and (service.type in self.runs.engines or "content" in service.config)
        return self.script_of_service(service) if service is not None and is_script else None

    # -- run

    async def run(self, trying: Trying, mode: Mode, outer: Context | None = None) -> Tried:
        """Run it now.

        Raises:
            UnknownEngine, ScriptingDisabled
        """
        rehearsal = Rehearsal(mode, trying.calls)
        context = self.context_of(trying.caller, outer, rehearsal.instead if rehearsal.dry else None)
        trial = Trial(between=rehearsal.between)
        event = dict(trying.event)
        if stage_of(trying.script) in ("service", "other"):
            event.setdefault("response", dict(BLANK))
        before = masked_event(event)
        try:
            outcome = await self.runs.run(
                trying.script, event, context, config=trying.config, timeout=trying.timeout, trial=trial
            )
        except (UnknownEngine, ScriptingDisabled):
            raise
        except ScriptError as error:
            return Tried(rehearsal=rehearsal, before=before, after=before, error=error, times=trial.times)
        after = masked_event(event_after(stage_of(trying.script), event, outcome))
        return Tried(rehearsal=rehearsal, before=before, after=after, outcome=outcome, times=trial.times)

    async def _later(self, trying: Trying, outer: Context | None) -> JSON:
        context = self.context_of(trying.caller, outer, None)
        promised = await self.keeping.keep_trial(trying.script, trying.event, context)
        return {"mode": "queue", "job": None if promised.job is None else promised.job.id}


def as_id(value: JSON) -> int:
    """The id that a client has sent; -1, which nothing has, for what is none."""
    text = str(value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    return number if number < 2**31 else -1


def stage_of(script: Script) -> Stage:
    if script.key.startswith(SERVICE):
        return "service"
    last = script.identifier.rpartition(".")[2]
    return cast("Stage", last) if last in ("pre_process", "post_process") else "other"


def report(script: Script, mode: str, tried: Tried) -> dict[str, JSON]:
    """What a client is told of a try."""
    returned = None if tried.outcome is None or tried.outcome.returned is NOTHING else tried.outcome.returned
    stage = stage_of(script)
    return {
        "mode": mode,
        "script": script.identifier,
        "language": script.language,
        "stage": stage,
        "effective": script.may_modify and stage != "other",
        "error": None if tried.error is None else error_of(tried.error),
        "result": cast("JSON", returned),
        "console": console(tried.output),
        "changes": differences(tried.before, tried.after),
        "before": tried.before,
        "after": tried.after,
        "calls": tried.rehearsal.calls,
        "writes": tried.rehearsal.writes,
        "times": {name: round(tried.times.get(name, 0.0), 6) for name in ("wait", "start", "run")},
    }


def error_of(error: ScriptError) -> dict[str, JSON]:
    return {
        "type": error.kind or type(error).__name__,
        "message": error.message,
        "status_code": error.status,
        "code": error.code,
        "line": error.line,
        "column": error.column,
        "excerpt": error.excerpt,
        "source": error.source,
    }


def _seconds(value: JSON) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise BadRequest("'timeout' must be seconds, more than 0 and at most 3600.")
    return seconds
