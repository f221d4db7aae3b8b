"""Builds the platform from Settings; the only module that names a driver.

A driver is imported when something of its kind is built, so what an instance does not use need not be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from reverie.auth.gate import Auth
from reverie.clock import Clock, SystemClock
from reverie.config import Settings
from reverie.dispatcher import Dispatcher
from reverie.errors import SettingsError
from reverie.events.hooks import Hooks
from reverie.events.queued import Queued
from reverie.events.runs import ScriptRuns
from reverie.jobs.connections import Connections
from reverie.jobs.guarding import guarding, unless_newer
from reverie.jobs.measuring import Gauge
from reverie.jobs.metrics import Meter, telling
from reverie.jobs.queue import Queue
from reverie.jobs.work import Report, WorkerOptions
from reverie.model import JSON, Caller, Context, Job, Requestor
from reverie.outgoing import Outgoing
from reverie.platform import Platform
from reverie.scripting.engine import Engine
from reverie.sealing import Sealer, sealer_for
from reverie.services.registry import Registry
from reverie.services.script import ScriptService, service_script
from reverie.services.sql.dialect import Dialect
from reverie.services.sql.service import SqlService
from reverie.services.system.build import all_types, system_service
from reverie.services.system.environment import Facts
from reverie.services.system.job import JobResource
from reverie.services.system.script_type import ScriptType
from reverie.services.system.service_type import ConfigField, ServiceType, script_service
from reverie.services.user import UserService
from reverie.sqlite import SqliteDatabase
from reverie.store.guard import Guard
from reverie.store.memory import Memory
from reverie.store.migrate import newest, trouble_with
from reverie.store.scratch import get_value, set_value
from reverie.store.store import Store
from reverie.worker import Worker

SIDE_BY_SIDE: Final = 4
"""Scripts of one language that the API runs at one time; nested ones come on top."""
OTHERS_SEEN_WITHIN: Final = 0.01
"""Seconds after which a change of settings that another process made is in force here."""
LOOK_EVERY: Final = 0.2
"""Seconds between two looks for the first administrator."""


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
    if problem := trouble_with(settings.store_path):
        raise SettingsError([f"{settings.store_path}: {problem}"])
    clock = SystemClock()
    database = SqliteDatabase(settings.store_path)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        store = Store(database, sealer_of(settings), clock)
        memory = Memory(store, look_every=OTHERS_SEEN_WITHIN)
        auth = Auth(memory, store)
        stack.push_async_callback(auth.close)
        engines = script_engines(side_by_side)
        for engine in engines.values():
            stack.push_async_callback(engine.close)
        outgoing = Outgoing(settings.script_egress)
        stack.push_async_callback(outgoing.close)
        runs = ScriptRuns(
            engines,
            outgoing,
            StoredScratch(store),
            visible_settings(settings),
            disabled=frozenset(settings.scripting_disable),
            isolation=settings.script_isolation,
        )
        platform = _wire(settings, clock, store, memory, auth, runs)
        stack.push_async_callback(platform.queue.close)
        stack.push_async_callback(platform.registry.close)
        await platform.look_for_administrator()
        tasks = [asyncio.create_task(_keep_looking(platform))]
        if scripts:
            tasks += [asyncio.create_task(engine.start()) for engine in engines.values()]
        try:
            yield platform
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def sealer_of(settings: Settings) -> Sealer:
    return sealer_for(settings.data_dir, settings.secret_key, settings.secret_key_old)


async def _keep_looking(platform: Platform) -> None:
    """Another process may make the first administrator."""
    while not platform.initialised:
        await platform.clock.sleep(LOOK_EVERY)
        await platform.look_for_administrator()


def _wire(settings: Settings, clock: Clock, store: Store, memory: Memory, auth: Auth, runs: ScriptRuns) -> Platform:
    dialects = sql_dialects(settings)
    script_types = [
        ScriptType(name=name, label=one.label, description=one.description, sandboxed=one.sandboxed)
        for name, one in runs.engines.items()
    ]
    types = all_types(
        [*map(sql_type, dialects.values()), *(script_service(one.name, one.label) for one in script_types)]
    )
    # Services, jobs and the dispatcher lead to one another; the callables below close the circle.
    queue = job_queue(settings, store, clock)
    queued = Queued(
        queue,
        memory,
        auth,
        runs,
        store.sealer,
        context_of=lambda caller, job, depth, holds: _context_of_job(dispatcher, caller, job, depth, holds),
        script_of_service=service_script,
    )
    registry = Registry(
        memory,
        {
            name: lambda record, dialect=dialect: SqlService(record, dialect, dialect.open(record))
            for name, dialect in dialects.items()
        }
        | dict.fromkeys(runs.engines, lambda record: ScriptService(record, runs, queued, clock)),
    )
    dispatcher = Dispatcher(auth, registry, Hooks(memory, runs, queued))
    registry.add(
        system_service(
            store=store,
            memory=memory,
            auth=auth,
            types=types,
            script_types=script_types,
            find_service=registry.find,
            flush=registry.flush,
            facts=Facts(version=version("reverie"), runtime=lambda: runtime(runs), platform={}),
            disabled=settings.scripting_disable,
            extra={"job": JobResource(queue=queue, open=queued.open, clock=clock)},
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
        registry=registry,
        dispatcher=dispatcher,
        types=types,
        gauge=Gauge(queue, store),
    )


def _context_of_job(
    dispatcher: Dispatcher, caller: Caller, job: Job, depth: int, holds: Callable[[], bool] | None
) -> Context:
    return dispatcher.context(
        caller,
        requestor=Requestor.SCRIPT,
        depth=depth,
        hops=job.hops,
        request_id=job.id,
        job_id=job.id,
        trace=job.trace,
        holds=holds,
    )


# -- drivers


def script_engines(side_by_side: int) -> dict[str, Engine]:
    """The languages that this host can run, by name."""
    from reverie.scripting.engines import deno, nodejs, python

    engines: list[Engine] = []
    if deno.available():
        engines.append(deno.DenoEngine(size=side_by_side))
    if nodejs.available():
        engines.append(nodejs.NodeEngine(size=side_by_side))
    if python.available():
        snake = python.PythonEngine(size=side_by_side)
        engines += [snake, python.PythonAlias(snake)]
    return {engine.name: engine for engine in engines}


def sql_dialects(settings: Settings) -> dict[str, Dialect]:
    """The databases that can be served, by the type of their services."""
    from reverie.services.sql.dialects.sqlite import SqliteDialect

    return {SqliteDialect.service_type: SqliteDialect(settings.data_dir)}


def sql_type(dialect: Dialect) -> ServiceType:
    return ServiceType(
        name=dialect.service_type,
        label={"sqlite": "SQLite"}.get(dialect.service_type, dialect.service_type),
        description="Database service: its tables and their records as a REST API.",
        group="Database",
        config_fields=[_config_field(one) for one in dialect.config_fields],
    )


def _config_field(one: Mapping[str, JSON]) -> ConfigField:
    return ConfigField(
        name=str(one["name"]),
        label=str(one.get("label") or one["name"]),
        type=str(one.get("type") or "string"),
        description=str(one.get("description") or ""),
        default=one.get("default"),
        required=bool(one.get("required")),
        secret=bool(one.get("secret")),
    )


def job_queue(settings: Settings, store: Store, clock: Clock) -> Queue:
    """The queue on the store's own file."""
    from reverie.jobs.ledgers.sqlite import SqliteLedger
    from reverie.jobs.transports.database import DatabaseTransport

    return Queue(
        SqliteLedger(store.database, clock),
        DatabaseTransport(store.database, settings.data_dir / "wake"),
        Connections(default=settings.queue_connection),
        clock,
    )


# -- what scripts see


class StoredScratch:
    """``platform.store`` in the platform's own database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, script: str, name: str) -> JSON:
        return (await get_value(self._store, script, name))[1]

    async def set(self, script: str, name: str, value: JSON) -> None:
        await set_value(self._store, script, name, value)


def visible_settings(settings: Settings) -> dict[str, JSON]:
    """``platform.config``: what is not secret and scripts may know."""
    return {
        "version": version("reverie"),
        "api_version": "2.0",
        "always_wrap_resources": True,
        "resources_wrapper": "resource",
        "default_cache_ttl": 18000,
        "storage_path": "",
        "script_egress": settings.script_egress,
        "db": {"date_format": None, "time_format": None, "datetime_format": None, "timestamp_format": None},
    }


def runtime(runs: ScriptRuns) -> dict[str, JSON]:
    """What runs scripts here, for administrators."""
    facts = {
        name: {key: _plain(value) for key, value in engine.facts().items()} for name, engine in runs.engines.items()
    }
    engines: JSON = {name: dict(known) for name, known in facts.items()}
    return {"isolation": runs.isolation, "engines": engines}


def _plain(value: object) -> JSON:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)


# -- jobs from the command line


async def run_worker(settings: Settings, options: WorkerOptions, report: Callable[[Report], None]) -> int:
    """Serve queues until the options or SIGTERM say stop; the exit code.

    Raises:
        SettingsError: the store is, or has become meanwhile, one that this program cannot use.
    """
    # As many children as jobs: a job that waited for a child would use up its time limit.
    async with build(settings, side_by_side=options.concurrency) as platform:
        meter = platform.queue.meter = Meter(platform.clock)
        told = meter.passing(report)
        guard = Guard(platform.memory, newest())
        perform = unless_newer(platform.queued.perform, guard)
        worker = Worker(platform.queue, perform, options, platform.clock, on_report=told)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, worker.drain)
        async with (
            guarding(guard, platform.clock, worker.drain),
            telling(meter, platform.store, worker.name, lambda: worker.turned_at),
        ):
            stop = await worker.run()
        if guard.trouble:
            raise SettingsError([f"{settings.store_path}: {guard.trouble}"])
        return stop.exit_code


@contextlib.asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[Queue]:
    """The queue alone, for the command line."""
    async with build(settings, scripts=False) as platform:
        yield platform.queue


async def table_names(platform: Platform, service: str) -> Sequence[str]:
    """Names of the tables of a database service, in order."""
    found = await platform.registry.find(service)
    paths = await found.event_paths()
    for path in paths:
        names = (path.parameter or {}).get("table_name")
        if isinstance(names, list):
            return [str(name) for name in names]
    return []
