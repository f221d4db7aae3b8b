"""One run of a script: put its lookups in, choose its engine, answer what it asks of the platform."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import parse_qsl

import structlog

from reverie.auth.lookups import put_lookups
from reverie.errors import (
    BadRequest,
    CannotIsolate,
    EngineMissing,
    LeaseLost,
    ScriptError,
    ScriptingDisabled,
    UnknownEngine,
)
from reverie.events.event import RAW, STRUCTURE, platform_map
from reverie.events.limits import Allowance, Isolation, allowance_of
from reverie.events.recording import Ask, Recorder, Tape
from reverie.events.tracing import Trace
from reverie.model import JSON, Context, Request, Response, Script
from reverie.outgoing import HostPattern, Outgoing, headers_of
from reverie.scripting.engine import Engine, Limits, Outcome, Run
from reverie.scripting.library import Library
from reverie.scripting.outcome import marked
from reverie.trace import HEADER, next_span, trace_of

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")

log = structlog.get_logger()


class Scratch(Protocol):
    """The map behind ``platform.store``: one for each script, values for 15 minutes."""

    async def get(self, script: str, name: str) -> JSON: ...

    async def set(self, script: str, name: str, value: JSON) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A run that is only looked at: not counted, not logged, not kept; its prints tell their lines.

    Attributes:
        between: stands between the script and what answers its calls.
        times: is given ``wait``, ``start`` and ``run``, in seconds.
    """

    between: Callable[[Ask], Ask]
    times: dict[str, float] = field(default_factory=dict)


class ScriptRuns:
    """Runs scripts of every language for events, services and jobs.

    Args:
        recorder: is told of each run; None where nobody wants to know.
        config: what scripts see as ``platform.config``.
        library: what they may `require`, and their texts that are linked.
        disabled: languages switched off; ``{"all"}`` for every one.
        allowance: what scripts may do that say nothing of it themselves.
        sockets: scripts may open their own, past `outgoing`.
        trace: where each run is told to who listens; None tells nobody.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        outgoing: Outgoing,
        scratch: Scratch,
        config: Mapping[str, JSON],
        library: Library,
        *,
        allowance: Allowance | None = None,
        disabled: frozenset[str] = frozenset(),
        sockets: bool = False,
        trace: Trace | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.engines = engines
        self.config = config
        self.allowance = allowance or Allowance(limits=Limits(), isolation="instance")
        self._trace = trace
        self.recorder = recorder
        self._outgoing = outgoing
        self._scratch = scratch
        self._library = library
        self._disabled = disabled
        self._sockets = sockets

    async def run(
        self,
        script: Script,
        event: dict[str, JSON],
        context: Context,
        *,
        config: Mapping[str, JSON] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the script, kept by its engine
        log_output: bool = True,
        trial: Trial | None = None,
    ) -> Outcome:
        """Run a script as `context.caller`.

        Args:
            config: ``platform.config`` if not today's (a job brings its own).
            timeout: seconds it may run as a job; 0 for no limit. None: it is no job.

        Raises:
            ScriptError: and its kinds, see `Engine.run`; with its place in the script in `context` for administrators.
                UnknownEngine, EngineMissing, LinkedTextMissing: it did not begin.
        """
        recorder = None if trial is not None or context.rehearse is not None else self.recorder
        watch = (await recorder.watched()).get(script.key) if recorder is not None and script.key else None
        tape: Tape | None = None

        def ended(output: str, error: ScriptError | None) -> None:
            if trial is None:
                _log_run(script, context, output, error)
            if recorder is not None:
                recorder.ran(script, error)
            if recorder is not None and watch is not None:
                calls = [] if tape is None else tape.calls
                recorder.saw(watch, event, context, script=script, error=error, calls=calls)

        try:
            engine = self._engine(script.language)
            if script.linked:
                script = replace(script, content=await self._library.linked(script.linked))
            allowance = self._allowed(script, engine, timeout)
            platform = platform_map(context.caller, self.config if config is None else config)
            host: Ask = _Host(script, context, self._outgoing, self._scratch, self._library, allowance.hosts).answer
            if watch is not None:
                tape = Tape(host)
                host = tape.answer
            if trial is not None:
                host, platform["trace"] = trial.between(host), True
            run = Run(
                script=replace(script, content=put_lookups(script.content, context.caller, secrets=True)),
                event=event,
                platform=platform,
                host=host,
                limits=allowance.limits,
                domain=_domain(script, allowance.isolation),
                owner=_service(script),
                fresh=allowance.isolation == "run",
                depth=context.depth,
                times=None if trial is None else trial.times,
            )
            told = self._trace if trial is None and context.rehearse is None else None
            outcome = await (engine.run(run) if told is None else told.run(engine, run, context, script))
        except ScriptError as error:
            _place(error, script, told=context.caller.is_admin)
            ended(error.output, error)
            raise
        ended(outcome.output if log_output else "", None)
        return outcome

    def _allowed(self, script: Script, engine: Engine, timeout: float | None) -> Allowance:
        allowance = allowance_of(script.config, self.allowance, timeout=timeout)
        if allowance.hosts is not None and self._sockets and not engine.sandboxed:
            why = "its limits name hosts, and with REVERIE_SCRIPT_SOCKETS=open nothing holds it to them"
            raise CannotIsolate(script.language, why)
        return allowance

    def check(self, language: str) -> None:
        """Raise ScriptingDisabled when this language is switched off."""
        if "all" in self._disabled:
            raise ScriptingDisabled
        if language in self._disabled:
            raise ScriptingDisabled(language)

    def _engine(self, language: str) -> Engine:
        self.check(language)
        engine = self.engines.get(language)
        if engine is None:
            raise UnknownEngine(language)
        if engine.missing:
            raise EngineMissing(language, engine.missing)
        return engine


def _domain(script: Script, isolation: Isolation) -> str:
    """Scripts of one domain may share a child."""
    if isolation == "instance":
        return ""
    return f"service {_service(script)}" if isolation == "service" else f"script {script.identifier.lower()}"


def _service(script: Script) -> str:
    """Whose script it is: the service of its event, or the one that it answers for."""
    return script.identifier.removeprefix("service.").partition(".")[0].lower()


def _place(error: ScriptError, script: Script, *, told: bool) -> None:
    """Show the script as stored, without what private lookups have put in; to administrators in the answer, too."""
    lines = script.content.splitlines()
    if error.line is not None and error.line <= len(lines):
        error.excerpt = lines[error.line - 1]
        error.source = marked(lines, error.line, error.column)
    error.script, error.version = script.identifier, script.version
    if told:
        error.context = error.place()


def _log_run(script: Script, context: Context, output: str, error: ScriptError | None) -> None:
    """What it printed, and why it failed; what a script refuses with a status of its own is no failure."""
    whose = {"script": script.identifier, "version": script.version, "request_id": context.request_id}
    if output:
        log.info("script.output", **whose, output=output)
    if error is not None:
        tell = log.info if error.status < 500 else log.warning
        kind = error.kind or type(error).__name__
        tell("script.failed", **whose, error=error.message, type=kind, line=error.line, status=error.status)


class _Host:
    """What one run may ask of the platform."""

    def __init__(
        self,
        script: Script,
        context: Context,
        outgoing: Outgoing,
        scratch: Scratch,
        library: Library,
        hosts: tuple[HostPattern, ...] | None,
    ) -> None:
        self._hosts = hosts
        self._script = script
        self._context = context
        self._outgoing = outgoing
        self._scratch = scratch
        self._library = library

    async def answer(self, op: str, args: dict[str, JSON]) -> JSON:
        if op.startswith("store."):
            must_hold(self._context)
        if op == "store.get":
            found = await self._scratch.get(self._script.identifier, str(args.get("key")))
            return args.get("default") if found is None else found
        if op == "store.set":
            if self._context.rehearse is not None:
                return None
            await self._scratch.set(self._script.identifier, str(args.get("key")), args.get("value"))
            return None
        if op == "require":
            asked_by, known = str(args.get("from") or ""), str(args.get("known") or "")
            return await self._library.module(str(args.get("name")), asked_by, known)
        return await self._api(args)

    async def _api(self, args: dict[str, JSON]) -> JSON:
        verb, path, payload = str(args.get("verb") or "GET").upper(), args.get("path"), args.get("payload")
        options = args.get("options")
        options = options if isinstance(options, dict) else {}
        if not isinstance(path, str) or not path.strip("/ "):
            return None
        if path.startswith(("http://", "https://")):
            try:
                must_hold(self._context)
            except LeaseLost as lost:
                return result_map(lost.response())
            rehearse = self._context.rehearse
            if rehearse is not None and (instead := rehearse(_elsewhere(verb, path, payload))) is not None:
                return result_map(instead)
            return await self._outgoing.call(verb, path, payload, self._traced(options), hosts=self._hosts)
        if verb not in VERBS:
            return result_map(BadRequest(f"platform.api knows {', '.join(VERBS)}, not {verb!r}").response())
        return result_map(await self._context.call(internal_request(verb, path, payload, options)))

    def _traced(self, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """With the call's ``traceparent``, unless the script has set one."""
        if any(name.lower() == HEADER for name in headers_of(options)):
            return options
        given = options.get("headers")
        line = next_span(trace_of(self._context.trace, self._context.request_id))
        headers: JSON = [*given, f"{HEADER}: {line}"] if isinstance(given, list) else {HEADER: line}
        if isinstance(given, dict):
            headers = {**given, HEADER: line}
        return {**options, "headers": headers}


def _elsewhere(verb: str, address: str, payload: JSON) -> Request:
    """A call to elsewhere, as `Context.rehearse` is asked about it."""
    return Request(method=verb, service="", uri=address, payload=payload)


def must_hold(context: Context) -> None:
    """Refuse what a job's script asks once its worker has lost the job, or may have.

    Raises:
        LeaseLost
    """
    if context.holds is not None and not context.holds():
        raise LeaseLost(
            "LeaseLost: this run no longer holds its job, so nothing was done. The job was cancelled, or another run"
            " of it has begun or is about to."
        )


def internal_request(verb: str, path: str, payload: JSON, options: Mapping[str, JSON]) -> Request:
    """``"db/_table/todo?limit=1"`` as a Request; the query string wins over ``options.parameters``.

    A text payload that is JSON is decoded; a leading ``/`` or ``/api/v2/`` is accepted.
    """
    path, _, query = path.partition("?")
    path = path.lstrip("/")
    for prefix in ("api/v2/", "api/v2.0/"):
        path = path.removeprefix(prefix)
    service, _, resource = path.partition("/")
    parameters: dict[str, JSON] = {}
    given = options.get("parameters")
    if isinstance(given, dict):
        parameters.update(given)
    parameters.update(parse_qsl(query, keep_blank_values=True))
    headers = options.get("headers")
    content = b""
    if isinstance(payload, str):
        content = payload.encode()
        with contextlib.suppress(ValueError, RecursionError):  # no JSON stays a text
            payload = json.loads(payload) if payload else {}
    elif payload is not None:
        content = json.dumps(payload).encode()
    return Request(
        method=verb,
        service=service.lower(),
        resource=resource.replace("..", ""),
        parameters=parameters,
        headers={str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {},
        payload={} if payload is None else payload,
        content=content,
        uri=f"/api/v2/{path}",
    )


def result_map(response: Response) -> JSON:
    """A Response as scripts get it from ``platform.api``."""
    content = response.content
    if isinstance(content, bytes):
        content = content.decode("utf-8", "replace")
    return {
        "status_code": response.status,
        "content": content,
        "content_type": response.content_type,
        "format": STRUCTURE if isinstance(content, dict | list) else RAW,
        "headers": dict(response.headers),
    }
