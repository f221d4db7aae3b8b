"""The stages of a request: pre_process, post_process, the event itself, queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from reverie.errors import LinkedTextMissing, ReverieError, ScriptError
from reverie.events.changes import request_after, response_after, response_instead
from reverie.events.event import event_map
from reverie.events.names import Moment
from reverie.events.runs import ScriptRuns
from reverie.model import JSON, Context, Request, Response, Script
from reverie.store.captures import Watch
from reverie.store.memory import Memory
from reverie.store.records import EventScriptRecord

MOST_BARE: Final = 4096
"""Lists of moments of which it is remembered that no script hangs on them."""

log = structlog.get_logger()


class Keeper(Protocol):
    """Keeps an event for later."""

    async def keep_event(self, record: EventScriptRecord, event: dict[str, JSON], context: Context) -> object: ...


@dataclass(frozen=True, slots=True)
class Hook:
    """The scripts that hang on one moment of a request."""

    moment: Moment
    pre_process: EventScriptRecord | None
    post_process: EventScriptRecord | None
    final: EventScriptRecord | None
    queued: EventScriptRecord | None
    watched: frozenset[str] = frozenset()
    """Stages without a script whose event somebody wants to see; ``""`` is the event itself."""

    @property
    def sees_answer(self) -> bool:
        """Whether a script wants to see what was answered, whole."""
        return any((self.post_process, self.final, self.queued))


def script_of(record: EventScriptRecord) -> Script:
    return Script(
        identifier=record.name,
        language=record.type,
        content=record.content,
        linked=record.linked,
        config=record.config,
        version=record.version,
        may_modify=record.allow_event_modification,
        key=record.name.lower(),
    )


def not_run(record: EventScriptRecord, error: LinkedTextMissing) -> None:
    """A call goes on without the script whose text is gone, as clients know it from linked scripts."""
    log.error("script.not_run", script=record.name, error=error.message)


class Hooks:
    """Finds and runs the scripts of a request's moments, generic before specific."""

    def __init__(self, memory: Memory, runs: ScriptRuns, keeper: Keeper) -> None:
        self._memory = memory
        self._runs = runs
        self._keeper = keeper
        self._active: frozenset[str] = frozenset()
        self._bare: set[tuple[str, ...]] = set()

    def are_none(self) -> bool:
        """Whether it is known that no script hangs on anything, and nobody watches."""
        return self._memory.hangs_nothing()

    async def find(self, moments: Sequence[Moment]) -> list[Hook]:
        """The moments that have active scripts; most requests have none."""
        active = await self._memory.active_scripts()
        watched = await self._memory.watches()
        if not active and not watched:
            return []
        if active is not self._active:
            self._active, self._bare = active, set()
        names = tuple([moment.name for moment in moments])
        if names in self._bare:
            return []
        hooks = []
        for moment in moments:
            name = moment.name.lower()
            hook = Hook(
                moment,
                await self._script(name + ".pre_process", active),
                await self._script(name + ".post_process", active),
                await self._script(name, active),
                await self._script(name + ".queued", active),
                _unscripted(name, active, watched) if watched else frozenset(),
            )
            if hook.pre_process or hook.post_process or hook.final or hook.queued or hook.watched:
                hooks.append(hook)
        if not hooks and len(self._bare) < MOST_BARE:
            self._bare.add(names)
        return hooks

    async def _script(self, name: str, active: frozenset[str]) -> EventScriptRecord | None:
        found = await self._memory.event_script(name) if name in active else None
        return found if found is not None and found.is_active else None  # it may have changed meanwhile

    async def before(
        self, hooks: Sequence[Hook], request: Request, context: Context
    ) -> tuple[Request, Response | None]:
        """Run the pre_process scripts; each sees the edits of the one before, none sees another's answer.

        Raises:
            ReverieError: a script threw; the later ones were not run.
        """
        answer: Response | None = None
        for hook in hooks:
            if hook.watched:
                await self._saw(hook, (".pre_process",), event_map(hook.moment.resource, request, None), context)
            if (record := hook.pre_process) is None:
                continue
            event = event_map(hook.moment.resource, request, None)
            try:
                outcome = await self._runs.run(script_of(record), event, context)
            except LinkedTextMissing as error:
                not_run(record, error)
                continue
            if record.allow_event_modification:
                answer = response_instead(outcome) or answer
                before = event["request"]
                request = request_after(outcome, before if isinstance(before, dict) else {}, request)
        return request, answer

    async def after(self, hooks: Sequence[Hook], request: Request, response: Response, context: Context) -> Response:
        """Run the post_process scripts, also on an error's answer; one that throws replaces the answer."""
        for hook in hooks:
            if hook.watched:
                event = event_map(hook.moment.resource, request, response)
                await self._saw(hook, (".post_process",), event, context)
            if (record := hook.post_process) is None:
                continue
            try:
                outcome = await self._runs.run(
                    script_of(record), event_map(hook.moment.resource, request, response), context
                )
            except LinkedTextMissing as error:
                not_run(record, error)
                continue
            except ReverieError as error:
                response = error.response()
                continue
            if record.allow_event_modification:
                response = response_after(outcome, response)
        return response

    async def _saw(self, hook: Hook, stages: Sequence[str], event: dict[str, JSON], context: Context) -> None:
        """Keep the event of stages that are watched and have no script; those that have one are kept with its run."""
        if self._runs.recorder is None or context.rehearse is not None:
            return
        now = await self._runs.recorder.watched()
        for stage in stages:
            if stage in hook.watched and (watch := now.get(hook.moment.name.lower() + stage)) is not None:
                self._runs.recorder.saw(watch, event, context)

    async def finally_(self, hooks: Sequence[Hook], request: Request, response: Response, context: Context) -> None:
        """Run what can change nothing any more, and keep what is queued. Failures are logged, never answered."""
        for hook in hooks:
            if hook.watched:
                await self._saw(hook, ("", ".queued"), event_map(hook.moment.resource, request, response), context)
            if hook.final is not None:
                try:
                    event = event_map(hook.moment.resource, request, response)
                    await self._runs.run(script_of(hook.final), event, context)
                except ScriptError:
                    pass  # logged with the run
                except ReverieError as error:
                    log.warning("script.failed", script=hook.final.name, error=error.message)
            if hook.queued is not None:
                try:
                    event = event_map(hook.moment.resource, request, response, to_keep=True)
                    await self._keeper.keep_event(hook.queued, event, context)
                except ReverieError as error:
                    log.error("queue.event_not_kept", script=hook.queued.name, error=error.message)


def _unscripted(name: str, active: frozenset[str], watched: Mapping[str, Watch]) -> frozenset[str]:
    return frozenset(
        stage
        for stage in (".pre_process", ".post_process", "", ".queued")
        if name + stage in watched and name + stage not in active
    )
