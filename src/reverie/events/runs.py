"""One run of a script: put its lookups in, choose its engine, answer what it asks of the platform."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol
from urllib.parse import parse_qsl

import structlog

from reverie.auth.lookups import put_lookups
from reverie.errors import BadRequest, LeaseLost, ScriptError, ScriptingDisabled, UnknownEngine
from reverie.events.event import RAW, STRUCTURE, platform_map
from reverie.events.tracing import Trace
from reverie.model import JSON, Context, Request, Response, Script
from reverie.outgoing import Outgoing, headers_of
from reverie.scripting.engine import Engine, Limits, Outcome, Run
from reverie.trace import HEADER, next_span, trace_of

Isolation = Literal["instance", "service", "script", "run"]
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")

log = structlog.get_logger()


class Scratch(Protocol):
    """The map behind ``platform.store``: one for each script, values for 15 minutes."""

    async def get(self, script: str, name: str) -> JSON: ...

    async def set(self, script: str, name: str, value: JSON) -> None: ...


class ScriptRuns:
    """Runs scripts of every language for events, services and jobs.

    Args:
        config: what scripts see as ``platform.config``.
        disabled: languages switched off; ``{"all"}`` for every one.
        isolation: which scripts may share a child process.
        trace: where each run is told to who listens; None tells nobody.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        outgoing: Outgoing,
        scratch: Scratch,
        config: Mapping[str, JSON],
        *,
        limits: Limits | None = None,
        disabled: frozenset[str] = frozenset(),
        isolation: Isolation = "instance",
        trace: Trace | None = None,
    ) -> None:
        self.engines = engines
        self.config = config
        self.isolation = isolation
        self._trace = trace
        self._outgoing = outgoing
        self._scratch = scratch
        self._limits = limits or Limits()
        self._disabled = disabled

    async def run(
        self,
        script: Script,
        event: dict[str, JSON],
        context: Context,
        *,
        config: Mapping[str, JSON] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the script, kept by its engine
        log_output: bool = True,
    ) -> Outcome:
        """Run a script as `context.caller`.

        Args:
            config: ``platform.config`` if not today's (a job brings its own).
            timeout: seconds it may run if not the instance's limit; 0 for no limit.

        Raises:
            ScriptError: and its kinds, see `Engine.run`.
        """
        engine = self._engine(script.language)
        text = put_lookups(script.content, context.caller, secrets=True)
        limits = self._limits if timeout is None else replace(self._limits, wall=timeout or float("inf"))
        try:
            run = Run(
                script=replace(script, content=text),
                event=event,
                platform=platform_map(context.caller, self.config if config is None else config),
                host=_Host(script, context, self._outgoing, self._scratch).answer,
                limits=limits,
                domain=self._domain(script),
                fresh=self.isolation == "run",
                depth=context.depth,
            )
            outcome = await (engine.run(run) if self._trace is None else self._trace.run(engine, run, context))
        except ScriptError as error:
            if error.output:
                log.info("script.output", script=script.identifier, output=error.output)
            raise
        if outcome.output and log_output:
            log.info("script.output", script=script.identifier, output=outcome.output)
        return outcome

    def check(self, language: str) -> None:
        """Raise ScriptingDisabled when this language is switched off."""
        if "all" in self._disabled:
            raise ScriptingDisabled
        if language in self._disabled:
            raise ScriptingDisabled(language)

    def _engine(self, language: str) -> Engine:
        self.check(language)
        if language not in self.engines:
            raise UnknownEngine(language)
        return self.engines[language]

    def _domain(self, script: Script) -> str:
        if self.isolation == "script":
            return script.identifier.lower()
        if self.isolation == "service":
            return script.identifier.removeprefix("service.").partition(".")[0].lower()
        return ""


class _Host:
    """What one run may ask of the platform."""

    def __init__(self, script: Script, context: Context, outgoing: Outgoing, scratch: Scratch) -> None:
        self._script = script
        self._context = context
        self._outgoing = outgoing
        self._scratch = scratch

    async def answer(self, op: str, args: dict[str, JSON]) -> JSON:
        if op.startswith("store."):
            must_hold(self._context)
        if op == "store.get":
            found = await self._scratch.get(self._script.identifier, str(args.get("key")))
            return args.get("default") if found is None else found
        if op == "store.set":
            await self._scratch.set(self._script.identifier, str(args.get("key")), args.get("value"))
            return None
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
            return await self._outgoing.call(verb, path, payload, self._traced(options))
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
