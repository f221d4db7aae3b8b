"""The services `system` and `user` over a real store, asked without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from reverie.auth.gate import Auth
from reverie.auth.login import Passwords
from reverie.clock import SystemClock
from reverie.database import Database
from reverie.errors import NotFound, ReverieError
from reverie.model import JSON, Caller, Context, Request, Response
from reverie.sealing import Sealer
from reverie.services.service import Service
from reverie.services.system.build import all_types, system_service
from reverie.services.system.environment import Facts
from reverie.services.system.script_type import ScriptType
from reverie.services.system.service_type import ConfigField, ServiceType, script_service
from reverie.services.system.system import SystemService
from reverie.services.user import UserService
from reverie.store.memory import Memory
from reverie.store.opening import open_database
from reverie.store.store import Store
from reverie.store.users import create_first_administrator
from tests.unit.store.world import new_store

ADMIN_EMAIL = "ops@example.test"
PASSWORD = "correct horse battery"

SQLITE = ServiceType(
    name="sqlite",
    label="SQLite",
    description="A file.",
    group="Database",
    config_fields=(
        ConfigField(name="database", label="File", required=True),
        ConfigField(name="key", label="Key", type="password", secret=True),
        ConfigField(name="allow_upsert", label="Upsert", type="boolean", default=False),
    ),
)


@dataclass
class Platform:
    """What a test speaks to."""

    store: Store
    memory: Memory
    auth: Auth
    system: SystemService
    user: UserService
    database: Database
    flushed: list[str | None] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)

    async def ask(
        self,
        method: str,
        path: str,
        body: JSON = None,
        *,
        caller: Caller | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, JSON] | None = None,
        **parameters: JSON,
    ) -> Response:
        """One call, as the dispatcher makes it after the gate; an error comes back as its answer."""
        service_name, _, resource = path.partition("/")
        request = Request(
            method=method,
            service=service_name,
            resource=resource,
            parameters={**parameters, **(query or {})},
            headers=headers or {},
            payload={} if body is None else body,
        )
        await self.memory.fresh()
        service: Service = self.system if service_name == "system" else self.user
        context = Context(caller=caller if caller is not None else await self.admin(), call=_no_nested_calls)
        try:
            return await service.handle(request, context)
        except ReverieError as error:
            return error.response()

    async def admin(self) -> Caller:
        found = await self.memory.user_by_email(ADMIN_EMAIL)
        assert found is not None
        return Caller(user={"id": found.id, "is_sys_admin": True, "email": found.email}, is_admin=True)

    async def made(self, resource: str, record: dict[str, JSON]) -> int:
        """Create a record; its id."""
        response = await self.ask("POST", f"system/{resource}", {"resource": [record]})
        assert response.status == 201, response.content
        return int(at(response, "resource", 0, "id"))


async def _no_nested_calls(request: Request) -> Response:
    raise NotFound(f"nothing answers {request.service} here")


def at(response: Response, *path: str | int) -> Any:
    """A value inside an answer."""
    value: Any = response.content
    for step in path:
        value = value[step]
    return value


def message(response: Response) -> str:
    return str(at(response, "error", "message"))


def inner(response: Response, index: int) -> Any:
    """What became of one record of a batch that failed."""
    return at(response, "error", "context", "resource", index)


@pytest.fixture(params=["sqlite", "postgresql"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    with new_store(request.param, tmp_path) as address:
        database = open_database(address)
        async with _platform(Store(database, Sealer("s" * 32), SystemClock())) as platform:
            yield platform
        await database.close()


@asynccontextmanager
async def _platform(store: Store) -> AsyncIterator[Platform]:
    memory = Memory(store)
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    auth = Auth(memory, store, passwords=passwords)
    await create_first_administrator(store, email=ADMIN_EMAIL, password=await passwords.hash(PASSWORD))
    flushed: list[str | None] = []
    services: dict[str, Service] = {}
    system = make_system(store, memory, auth, flushed, services, disabled=())
    user = UserService(auth=auth, memory=memory)
    services |= {"system": system, "user": user}
    yield Platform(store, memory, auth, system, user, store.database, flushed, services)
    await auth.close()


def make_system(
    store: Store,
    memory: Memory,
    auth: Auth,
    flushed: list[str | None],
    services: dict[str, Service],
    *,
    disabled: tuple[str, ...],
) -> SystemService:
    async def find_service(name: str) -> Service:
        if name not in services:
            raise NotFound(f"Could not find a service for {name}")
        return services[name]

    async def flush(name: str | None) -> None:
        flushed.append(name)

    return system_service(
        store=store,
        memory=memory,
        auth=auth,
        types=all_types([SQLITE, script_service("v8js", "V8js"), script_service("nodejs", "Node.js")]),
        script_types=[
            ScriptType(name="v8js", label="V8js", description="Deno.", sandboxed=True),
            ScriptType(name="nodejs", label="Node.js", description="Node.", sandboxed=False),
        ],
        find_service=find_service,
        flush=flush,
        facts=Facts(version="1.2.3", runtime=lambda: {"isolation": "instance"}, platform={"queue": ["database"]}),
        disabled=disabled,
    )


@pytest.fixture
def disabled_system(platform: Platform) -> Callable[..., Platform]:
    """The same platform with some languages switched off."""

    def switch_off(*languages: str) -> Platform:
        platform.system = make_system(
            platform.store, platform.memory, platform.auth, platform.flushed, platform.services, disabled=languages
        )
        return platform

    return switch_off
