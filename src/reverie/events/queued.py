"""Keeps an event for later as a job, and takes it up again when its turn has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Final, cast

import structlog
from structlog.contextvars import bound_contextvars

from reverie.auth.gate import Auth
from reverie.auth.lookups import put_lookups
from reverie.errors import LoopDetected, ReverieError, Unavailable
from reverie.events.calls import CALL, event_of, request_of
from reverie.events.changes import answer_of
from reverie.events.event import BLANK
from reverie.events.hooks import script_of
from reverie.events.identity import RECHECK, caller_today, policy_of
from reverie.events.runs import ScriptRuns
from reverie.jobs.connections import QueueOptions, normalise_options
from reverie.jobs.payload import Packed, PayloadUnreadable, about_of, environment_map, pack, unpack
from reverie.jobs.promised import Promised
from reverie.jobs.queue import Draft, Once, Queue
from reverie.jobs.results import seal_result
from reverie.jobs.work import Done, Performed, Skipped, Turn
from reverie.model import JSON, MAX_DEPTH, Caller, Context, Job, Request, Response, Script, is_true
from reverie.scripting.engine import Outcome
from reverie.sealing import Sealer
from reverie.store.memory import Memory
from reverie.store.records import EventScriptRecord, ServiceRecord
from reverie.store.script_versions import runs_as_then, script_at
from reverie.trace import trace_id, trace_of

EVENT: Final = "script.event"
SERVICE: Final = "script.service"
TRIAL: Final = "script.trial"
"""Kind of the jobs that try a script which was not saved; they bring its text along."""
MOST_NAME: Final = 255
"""Characters of what a job runs."""

log = structlog.get_logger()


class VersionGone(ReverieError):
    """A job shall run its script as it was when it was queued, and that version is not kept."""


class TargetGone(Exception):
    """The script of a job was deleted or switched off since it was queued; the text says which."""


class Queued:
    """Turns events into jobs and jobs into runs.

    Args:
        context_of: the surroundings of a job's run: for the caller of its snapshot, at a depth of nesting, as long as
            the last says that the job is held.
        script_of_service: the script of a script service.
        answer: makes a call whose caller was let in already; raises ReverieError.
    """

    def __init__(
        self,
        queue: Queue,
        memory: Memory,
        auth: Auth,
        runs: ScriptRuns,
        sealer: Sealer,
        *,
        context_of: Callable[[Caller, Job, int, Callable[[], bool] | None], Context],
        script_of_service: Callable[[ServiceRecord], Script],
        answer: Callable[[Request, Context], Awaitable[Response]],
    ) -> None:
        self._queue = queue
        self._memory = memory
        self._auth = auth
        self._runs = runs
        self._sealer = sealer
        self._context_of = context_of
        self._script_of_service = script_of_service
        self._answer = answer
        self._platform = version("reverie")
        self._languages: dict[str, str] = {}

    # -- in

    async def keep_event(self, record: EventScriptRecord, event: dict[str, JSON], context: Context) -> Promised:
        """Store a job for a queued event script.

        Raises:
            UnknownConnection, QueueUnavailable
            ReverieError: from the run, on a ``sync`` connection.
        """
        name = f"event:{record.name}"
        return await self._keep(EVENT, record.name, name, script_of(record), event, context)

    async def keep_service(
        self, record: ServiceRecord, event: dict[str, JSON], context: Context, once: Once | None = None
    ) -> Promised:
        """Store a job for a call of a queued script service, see `keep_event`. Raises KeyReused too."""
        script = self._script_of_service(record)
        identifier, name = f"service:{record.id}", f"service:{record.name}"
        return await self._keep(SERVICE, identifier, name, script, event, context, once)

    async def keep_call(self, request: Request, context: Context, once: Once | None = None) -> Promised:
        """Store a job that makes a call later, in the default queue; see `keep_service`."""
        identifier = f"{CALL}:{request.service}"[:MOST_NAME]
        return await self._keep(CALL, identifier, identifier, None, event_of(request), context, once)

    async def keep_trial(self, script: Script, event: dict[str, JSON], context: Context) -> Promised:
        """Store a job that runs a script which is not saved; see `keep_event`."""
        name = f"trial:{script.identifier}"[:MOST_NAME]
        return await self._keep(TRIAL, name, name, replace(script, key=""), event, context)

    async def _keep(  # noqa: PLR0913, RUF100 - what the three kinds differ in
        self,
        kind: str,
        identifier: str,
        name: str,
        script: Script | None,
        event: dict[str, JSON],
        context: Context,
        once: Once | None = None,
    ) -> Promised:
        if context.rehearse is not None:
            return Promised(job=None)  # nothing is done in a rehearsal, also not later
        caller = context.caller
        options = QueueOptions() if script is None else _options(script, caller)
        packed = Packed(
            event=event, caller=caller, environment=await self._environment(script), requestor=int(context.requestor)
        )
        if kind == TRIAL and script is not None:
            packed.environment["script"] = _stored(script)
        answers: list[Response | None] = []

        async def run_now(job: Job) -> None:
            answers.append(await self._run_now(job, context))

        job = await self._queue.push(
            Draft(
                kind=kind,
                script=identifier,
                name=name,
                payload=pack(packed, self._sealer, about=about_of(kind, identifier)),
                connection=options.connection,
                queue=options.queue,
                delay=options.delay,
                hops=context.hops + 1,
                stamp=await self._memory.fresh(),
                verb=_text_in(event, "method")[:10],
                service=_text_in(event, "service")[:64],
                user_id=caller.user_id,
                role_id=None if caller.role is None else caller.role.id,
                app_id=caller.app_id,
                trace=trace_of(context.trace, context.request_id),
            ),
            run_now=run_now,
            once=once,
        )
        return Promised(job=job, response=answers[0] if answers else None)

    async def _environment(self, script: Script | None) -> dict[str, JSON]:
        if script is None:
            return {"platform": self._platform, "config": dict(self._runs.config)}
        return environment_map(
            platform=self._platform,
            language=script.language,
            language_version=self._languages.get(script.language) or await self._language_version(script.language),
            script_version=script.version,
            config=self._runs.config,
        )

    async def _language_version(self, language: str) -> str:
        """Asked once for each language: its first child tells."""
        engine = self._runs.engines.get(language)
        if engine is None:
            return ""
        await engine.start()
        self._languages[language] = str(engine.facts().get("version") or "")
        return self._languages[language]

    # -- out

    def open(self, job: Job) -> Packed:
        """What the job holds.

        Raises:
            PayloadUnreadable
        """
        return unpack(job.payload, self._sealer, about=about_of(job.kind, job.script))

    async def perform(self, turn: Turn) -> Performed:
        """`Perform`: run a job's script, today's text, as things were when the job was queued; or make its call."""
        # Every line that is logged below says whose it is.
        with bound_contextvars(job_id=turn.job.id, trace_id=trace_id(turn.job.trace)):
            return await self._perform(turn)

    async def _perform(self, turn: Turn) -> Performed:
        job = turn.job
        packed = await self._opened(job)
        if job.kind == CALL:
            return await self._make(turn, packed)
        try:
            script = await self._target(job, packed)
        except TargetGone as gone:
            return Skipped(str(gone))
        caller = packed.caller
        if policy_of(script.config) == RECHECK:
            caller = await caller_today(self._auth, packed)
        await turn.begin()
        context = self._context_of(caller, job, 0, turn.holds)
        outcome = await self._run(script, packed, context, timeout=turn.timeout or 0.0)
        if job.kind == EVENT:
            return Done(output=outcome.output)
        return Done(output=outcome.output, result=seal_result(answer_of(outcome), self._sealer, job_id=job.id))

    async def _make(self, turn: Turn, packed: Packed) -> Done:
        """Make the call of a job. Whatever it is answered is its result; only *not now* is a try that failed.

        Raises:
            PayloadUnreadable, Unavailable
        """
        job = turn.job
        try:
            request = request_of(packed.event)
        except (ValueError, KeyError) as error:
            raise PayloadUnreadable("The stored job holds no call that can be made.") from error
        await turn.begin()
        try:
            response = await self._answer(request, self._context_of(packed.caller, job, 0, turn.holds))
        except Unavailable:
            raise
        except ReverieError as error:
            response = error.response()
        return Done(result=seal_result(response, self._sealer, job_id=job.id))

    async def _run_now(self, job: Job, outer: Context) -> Response | None:
        """A job of a ``sync`` connection, inside the call that queued it: that call waits, as for a nested one."""
        packed = await self._opened(job)
        context = self._context_of(packed.caller, job, outer.depth + 1, outer.holds)
        outcome = await self._run(await self._target(job, packed), packed, context, timeout=None)
        return None if job.kind == EVENT else answer_of(outcome)

    async def _opened(self, job: Job) -> Packed:
        """
        Raises:
            PayloadUnreadable, LoopDetected: trying again would not help.
        """
        packed = self.open(job)
        if job.hops > MAX_DEPTH:
            raise LoopDetected(f"LoopDetected: a chain of {job.hops} queued jobs; a script may be queueing itself")
        # A worker must not decide from less than the caller knew when the job was queued.
        await self._memory.fresh(job.stamp)
        return packed

    async def _run(self, script: Script, packed: Packed, context: Context, *, timeout: float | None) -> Outcome:  # noqa: ASYNC109
        """On the event, caller, lookups and settings of the moment the job was queued."""
        event = dict(packed.event)
        event.setdefault("response", dict(BLANK))
        config = packed.environment.get("config")
        return await self._runs.run(
            script,
            event,
            context,
            config=config if isinstance(config, dict) else None,
            timeout=timeout,
            log_output=_wants_log(packed.event),
        )

    async def _target(self, job: Job, packed: Packed) -> Script:
        """
        Raises:
            TargetGone: there is nothing to run any more.
            VersionGone: it shall run as it was then, which nobody knows any more.
        """
        if job.kind == TRIAL:
            return _restored(packed.environment.get("script"))
        if _was_moved(job) and await runs_as_then(self._memory.store, job.id):
            number = packed.environment.get("script_version")
            then = await script_at(self._memory.store, job.script.lower(), number if isinstance(number, int) else 0)
            if then is None:
                raise VersionGone(f"Version {number} of {job.name} is not kept, so the job cannot run as it was then.")
            return then
        if job.kind == EVENT:
            record = await self._memory.event_script(job.script)
            if record is None or not record.is_active:
                raise TargetGone(f"the event script {job.script} was {'deleted' if record is None else 'switched off'}")
            return script_of(record)
        service = await self._memory.service_by_id(int(job.script.removeprefix("service:")))
        if service is None or not service.is_active:
            raise TargetGone(f"the service of {job.name} was {'deleted' if service is None else 'switched off'}")
        return self._script_of_service(service)


def _was_moved(job: Job) -> bool:
    """Whether the job may have been tried again by hand; of one that runs for the first time nobody asks more."""
    return job.epoch > 1 or job.due_at - job.created_at > (job.delay or 0.0) + 0.001


def _stored(script: Script) -> JSON:
    return {
        "identifier": script.identifier,
        "language": script.language,
        "content": script.content,
        "config": dict(script.config),
        "may_modify": script.may_modify,
    }


def _restored(stored: JSON) -> Script:
    """Raises PayloadUnreadable."""
    if not isinstance(stored, dict):
        raise PayloadUnreadable("The stored job holds no script.")
    config = stored.get("config")
    return Script(
        identifier=str(stored.get("identifier")),
        language=str(stored.get("language")),
        content=str(stored.get("content")),
        config=config if isinstance(config, dict) else {},
        may_modify=bool(stored.get("may_modify")),
    )


def _options(script: Script, caller: Caller) -> QueueOptions:
    """Connection, queue and delay of a script; lookups may stand in each."""
    filled = {
        name: put_lookups(value, caller, secrets=True) if isinstance(value, str) else value
        for name, value in script.config.items()
    }
    return normalise_options(cast("JSON", filled))


def _text_in(event: Mapping[str, JSON], name: str) -> str:
    """What the request of an event says."""
    request = event.get("request")
    return str(request.get(name) or "") if isinstance(request, dict) else ""


def _wants_log(event: Mapping[str, JSON]) -> bool:
    request = event.get("request")
    parameters = request.get("parameters") if isinstance(request, dict) else None
    return not isinstance(parameters, dict) or is_true(parameters.get("log_output", True))
