"""Builds the platform from Settings: everything made once, and wired."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Final

import structlog

from reverie.app.drivers import job_queue, script_engines, sql_dialects, sql_type
from reverie.app.seen import StoredScratch, allowance, runtime, visible_settings
from reverie.app.warming import keep_warm
from reverie.auth.gate import Auth
from reverie.clock import Clock, SystemClock
from reverie.config import Settings
from reverie.dispatcher import Dispatcher
from reverie.errors import SettingsError, Unavailable
from reverie.events.calls import CALL
from reverie.events.hooks import Hooks
from reverie.events.queued import Queued
from reverie.events.recording import Recorder
from reverie.events.runs import ScriptRuns
from reverie.events.tracing import Trace
from reverie.events.trials import Trials
from reverie.jobs.measuring import Gauge
from reverie.jobs.waits import Waits
from reverie.jobs.watching import JobWatch
from reverie.model import Caller, Context, Job, Request, Requestor, Response
from reverie.outgoing import Outgoing
from reverie.platform import Platform
from reverie.scripting.library import Library
from reverie.sealing import Sealer, sealer_for
from reverie.services.api_docs import ApiDocs
from reverie.services.promise import Promises
from reverie.services.registry import Registry
from reverie.services.script import ScriptService, service_script
from reverie.services.service import Service
from reverie.services.spec import Specs
from reverie.services.sql.extras import StoredExtras
from reverie.services.sql.service import SqlService
from reverie.services.system.build import all_types, queue_resources, system_service, writer_resources
from reverie.services.system.environment import Facts
from reverie.services.system.script_type import ScriptType
from reverie.services.system.service_type import script_service
from reverie.services.user import UserService
from reverie.store.key_mark import OTHER_KEY, mark_key
from reverie.store.memory import Memory
from reverie.store.migrate import trouble_with
from reverie.store.opening import open_database
from reverie.store.records import ServiceRecord
from reverie.store.store import Store

SIDE_BY_SIDE: Final = 4
"""Scripts of one language that the API runs at one time; nested ones come on top."""
OTHERS_SEEN_WITHIN: Final = 0.01
"""Seconds after which a change of settings that another process made is in force here."""
LOOK_EVERY: Final = 0.2
"""Seconds between two looks for the first administrator."""

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def build(
    settings: Settings, *, scripts: bool = True, side_by_side: int = SIDE_BY_SIDE
) -> AsyncIterator[Platform]:
    """The platform, open until the block ends.

    Args:
        scripts: False where no script will run, so that no child is started.
        side_by_side: scripts of one language that run at one time.

    Raises:
        SettingsError: there is no store where the settings say, or it is of another version.
    """
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, clock))
        memory = Memory(store, look_every=OTHERS_SEEN_WITHIN)
        auth = Auth(memory, store)
        stack.push_async_callback(auth.close)
        engines = script_engines(settings, side_by_side)
        for engine in engines.values():
            stack.push_async_callback(engine.close)
        trace = Trace(settings.data_dir / "trace", clock)
        stack.push_async_callback(trace.close)
        recorder = Recorder(store, memory)
        outgoing = Outgoing(settings.script_egress)
        stack.push_async_callback(outgoing.close)
        runs = ScriptRuns(
            engines,
            outgoing,
            StoredScratch(store),
            visible_settings(settings),
            Library(settings.library),
            disabled=frozenset(settings.scripting_disable),
            allowance=allowance(settings),
            sockets=settings.script_sockets == "open",
            trace=trace,
            recorder=recorder,
        )
        platform = _wire(settings, clock, store, memory, auth, runs, trace)
        stack.push_async_callback(platform.queue.close)
        stack.push_async_callback(platform.watch.close)
        stack.push_async_callback(platform.waits.close)
        stack.push_async_callback(platform.registry.close)
        await platform.look_for_administrator()
        await _mark_key(store)
        tasks = [asyncio.create_task(_keep_looking(platform)), asyncio.create_task(recorder.run())]
        if scripts:
            tasks.append(asyncio.create_task(keep_warm(engines, memory, clock)))
        try:
            yield platform
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def sealer_of(settings: Settings) -> Sealer:
    return sealer_for(settings.data_dir, settings.secret_key, settings.secret_key_old)


@contextlib.asynccontextmanager
async def open_store(settings: Settings, clock: Clock) -> AsyncIterator[Store]:
    if problem := await asyncio.to_thread(trouble_with, settings.store):
        raise SettingsError([f"{settings.store}: {problem}"])
    database = open_database(settings.store, synchronous=settings.sqlite_synchronous)
    try:
        yield Store(database, sealer_of(settings), clock)
    finally:
        await database.close()


async def _mark_key(store: Store) -> None:
    """Say so when this process has another secret key than those with whom it shares the store."""
    with contextlib.suppress(Unavailable):
        if not await mark_key(store):
            log.error("key.not_shared", in_use=store.sealer.key_id, cause=OTHER_KEY)


async def _keep_looking(platform: Platform) -> None:
    """Another process may make the first administrator; nothing is asked while nothing has changed."""
    changes = platform.store.database.changes
    seen: int | None = None
    while not platform.initialised:
        await platform.clock.sleep(LOOK_EVERY)
        if (moved := changes()) != seen:
            await platform.look_for_administrator()
            seen = moved


def _wire(
    settings: Settings, clock: Clock, store: Store, memory: Memory, auth: Auth, runs: ScriptRuns, trace: Trace
) -> Platform:
    dialects = sql_dialects(settings)
    script_types = [
        ScriptType(name=name, label=one.label, description=one.description, sandboxed=one.sandboxed)
        for name, one in runs.engines.items()
        if not one.missing
    ]
    types = all_types(
        [*map(sql_type, dialects.values()), *(script_service(name, one.label) for name, one in runs.engines.items())]
    )
    # Services, jobs and the dispatcher lead to one another; the callables below close the circle.
    dispatcher: Dispatcher
    queue = job_queue(settings, store, clock)
    # SQLite tells of every commit; another store is looked at.
    watch = JobWatch(queue, clock, store.database.changes if store.database.dialect == "sqlite" else None)
    queued = Queued(
        queue,
        memory,
        auth,
        runs,
        store.sealer,
        context_of=lambda caller, job, depth, holds: _context_of_job(dispatcher, caller, job, depth, holds),
        script_of_service=service_script,
        answer=lambda request, context: dispatcher.dispatch(request, context),
    )
    waits = Waits(store, queue.ledger, clock)
    promises = Promises(
        store=store,
        queue=queue,
        keeping=queued,
        watch=watch,
        waits=waits,
        find_service=lambda name: registry.find(name),
    )

    def docs(record: ServiceRecord) -> Service:
        return ApiDocs(record.name, memory=memory, find_service=lambda name: registry.find(name), types=types)

    registry = Registry(
        memory,
        {
            name: lambda record, dialect=dialect: SqlService(
                record,
                dialect,
                dialect.open(record),
                StoredExtras(memory, record.id),
                memory.role,
                keeps_plans=settings.sql_plans == "kept",
            )
            for name, dialect in dialects.items()
        }
        | dict.fromkeys(runs.engines, lambda record: ScriptService(record, runs, promises, clock))
        | {"api_docs": docs},
    )
    trials = Trials(
        store=store,
        memory=memory,
        queue=queue,
        runs=runs,
        keeping=queued,
        context_of=lambda caller, outer, rehearse: _context_of_trial(dispatcher, caller, outer, rehearse),
        open=queued.open,
        script_of_service=service_script,
        recorder=runs.recorder,
    )
    specs = Specs(memory, types, lambda request, context: dispatcher.dispatch(request, context))
    dispatcher = Dispatcher(auth, registry, Hooks(memory, runs, queued), promises, specs)
    registry.add(
        system_service(
            store=store,
            memory=memory,
            auth=auth,
            types=types,
            script_types=script_types,
            find_service=registry.find,
            flush=registry.flush,
            facts=Facts(version=version("reverie"), runtime=lambda: runtime(runs, settings), platform={}),
            disabled=settings.scripting_disable,
            extra=queue_resources(store, queue, queued.open, clock)
            | writer_resources(memory, registry.find, runs.engines, settings.scripting_disable),
            trials=trials,
        )
    )
    registry.add(UserService(auth=auth, memory=memory))
    return Platform(
        settings=settings,
        clock=clock,
        store=store,
        memory=memory,
        auth=auth,
        runs=runs,
        queue=queue,
        queued=queued,
        watch=watch,
        trace=trace,
        waits=waits,
        registry=registry,
        dispatcher=dispatcher,
        types=types,
        trials=trials,
        gauge=Gauge(queue, store),
    )


def _context_of_job(
    dispatcher: Dispatcher, caller: Caller, job: Job, depth: int, holds: Callable[[], bool] | None
) -> Context:
    return dispatcher.context(
        caller,
        requestor=Requestor.API if job.kind == CALL else Requestor.SCRIPT,
        depth=depth,
        hops=job.hops,
        request_id=job.id,
        job_id=job.id,
        trace=job.trace,
        holds=holds,
    )


def _context_of_trial(
    dispatcher: Dispatcher,
    caller: Caller,
    outer: Context | None,
    rehearse: Callable[[Request], Response | None] | None,
) -> Context:
    """As deep as a call of the one that asks, so that a script that tries itself comes to an end."""
    if outer is None:
        return dispatcher.context(caller, requestor=Requestor.SCRIPT, rehearse=rehearse)
    return dispatcher.context(
        caller,
        requestor=Requestor.SCRIPT,
        depth=outer.depth + 1,
        hops=outer.hops,
        request_id=outer.request_id,
        job_id=outer.job_id,
        trace=outer.trace,
        holds=outer.holds,
        rehearse=rehearse,
    )
