"""Puts the resources of `system` together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from reverie.auth.gate import Auth
from reverie.auth.login import LoginBy
from reverie.clock import Clock
from reverie.events.fixtures import Fixtures
from reverie.events.trials import Trials
from reverie.jobs.payload import Packed
from reverie.jobs.queue import Queue
from reverie.model import Job
from reverie.scripting.engine import Engine
from reverie.services.system.app import Apps
from reverie.services.system.cache import Caches, Flush
from reverie.services.system.environment import Environment, Facts
from reverie.services.system.event import Events, FindService
from reverie.services.system.event_script import EventScripts
from reverie.services.system.failed_job import FailedJobs
from reverie.services.system.job import JobResource
from reverie.services.system.lookup import Lookups
from reverie.services.system.queue import QueueResource
from reverie.services.system.resource import Missing, Resource
from reverie.services.system.role import Roles
from reverie.services.system.script_capture import ScriptCaptures
from reverie.services.system.script_check import ScriptCheck
from reverie.services.system.script_declaration import ScriptDeclarations
from reverie.services.system.script_fixture import ScriptFixtures
from reverie.services.system.script_run import ScriptRun
from reverie.services.system.script_trace import ScriptTrace
from reverie.services.system.script_type import ScriptType, ScriptTypes
from reverie.services.system.script_version import ScriptVersions
from reverie.services.system.service import Services
from reverie.services.system.service_type import BUILT_IN, ServiceType, ServiceTypes
from reverie.services.system.session import SessionDoor
from reverie.services.system.system import SystemService
from reverie.services.system.user import SHORTEST_PASSWORD, Admins, Users
from reverie.services.system.worker import WorkerResource
from reverie.store.memory import Memory
from reverie.store.store import Store


def all_types(types: Sequence[ServiceType]) -> dict[str, ServiceType]:
    """Every type by its name: *types* and those of the services that are always there."""
    return {one.name: one for one in sorted((*BUILT_IN, *types), key=lambda one: one.name)}


def queue_resources(
    store: Store, queue: Queue, open_payload: Callable[[Job], Packed], clock: Clock
) -> dict[str, Resource]:
    """What `system` has about jobs and who runs them, by name."""
    return {
        "failed_job": FailedJobs(store=store, queue=queue, clock=clock),
        "job": JobResource(store=store, queue=queue, open=open_payload, clock=clock),
        "queue": QueueResource(store=store, queue=queue, clock=clock),
        "worker": WorkerResource(store=store, queue=queue, clock=clock),
    }


def writer_resources(
    memory: Memory, find_service: FindService, engines: Mapping[str, Engine], disabled: Collection[str]
) -> dict[str, Resource]:
    """What `system` has for who writes scripts, by name."""
    return {
        "script_check": ScriptCheck(engines=engines, disabled=disabled),
        "script_declaration": ScriptDeclarations(memory=memory, find_service=find_service),
        "script_trace": ScriptTrace(),
    }


def system_service(
    *,
    store: Store,
    memory: Memory,
    auth: Auth,
    types: Mapping[str, ServiceType],
    script_types: Sequence[ScriptType],
    find_service: FindService,
    flush: Flush,
    facts: Facts,
    disabled: Collection[str] = (),
    login_by: LoginBy = "email",
    shortest_password: int = SHORTEST_PASSWORD,
    extra: Mapping[str, Resource] | None = None,
    trials: Trials | None = None,
) -> SystemService:
    """The service `system`.

    Args:
        types: as `all_types` gives them.
        disabled: script languages that are switched off, in lower case, or ``all``.
        extra: further resources by name, such as ``job``.
        trials: tries scripts; None where none will run.
    """
    recorder = None if trials is None else trials.recorder
    fixtures = None if trials is None else Fixtures(trials)
    must_pass = None if fixtures is None else fixtures.must_pass
    event_scripts = EventScripts(store, disabled, must_pass)
    services = Services(store, types, disabled, must_pass)
    hash_password = auth.passwords.hash
    parts: dict[str, Resource] = {
        "session": SessionDoor(auth, memory, admin=True, login_by=login_by),
        "password": Missing("system/admin/password, the change and reset of a password"),
        "profile": Missing("system/admin/profile, the profile of whoever is logged in"),
    }
    resources: dict[str, Resource] = {
        "admin": Admins(store, hash_password, parts, shortest_password),
        "app": Apps(store),
        "cache": Caches(memory, flush),
        "environment": Environment(store, facts),
        "event": Events(memory, find_service),
        "event_script": event_scripts,
        "lookup": Lookups(store),
        "role": Roles(store),
        "script_type": ScriptTypes(script_types),
        "script_version": ScriptVersions(store, event_scripts, services, recorder),
        "service": services,
        "service_type": ServiceTypes(types),
        "user": Users(store, hash_password, shortest_password),
    }
    if trials is not None and fixtures is not None and recorder is not None:
        resources["script_capture"] = ScriptCaptures(trials, recorder)
        resources["script_fixture"] = ScriptFixtures(fixtures)
        resources["script_run"] = ScriptRun(trials)
    return SystemService({**resources, **(extra or {})})
