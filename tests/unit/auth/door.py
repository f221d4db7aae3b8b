"""A gate with something behind it, and requests to knock with."""

from __future__ import annotations

import base64
from typing import Any

from argon2 import PasswordHasher

from reverie.auth.gate import Auth
from reverie.auth.login import Passwords
from reverie.auth.tokens import TokenSettings
from reverie.errors import ReverieError
from reverie.model import Request, Requestor
from reverie.store import tables
from reverie.store.memory import Memory
from tests.unit.store.world import World

PASSWORD = "correct horse battery"
HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Door:
    """A world with a gate: a role on ``_table/todo``, an app with it, one without, a user, an administrator."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.auth = auth_of(world, **options)
        self.ids: dict[str, int] = {}

    async def furnish(self) -> None:
        world, ids = self.world, self.ids
        ids["db"] = await world.service("db")
        ids["role"] = await world.role(
            "reader", {"service_id": ids["db"], "component": "_table/todo/*", "verb_mask": 1}
        )
        ids["app"] = await world.app("app", "KEY", ids["role"])
        ids["bare"] = await world.app("bare", "BARE")
        ids["user"] = await world.user("ops@example.test", HASHER.hash(PASSWORD))
        ids["admin"] = await world.user("boss@example.test", HASHER.hash(PASSWORD), is_sys_admin=True)

    async def map_user(self, who: str = "user", app: str = "bare") -> None:
        await self.world.put(
            tables.user_to_app_to_role, user_id=self.ids[who], app_id=self.ids[app], role_id=self.ids["role"]
        )

    async def token(self, who: str = "user") -> str:
        return (await self.auth.open_session(self.ids[who])).token

    async def outcome(self, request: Request, requestor: Requestor = Requestor.API) -> tuple[int, str]:
        """200 and nothing, or status and message of the refusal."""
        return await outcome(self.auth, request, requestor)


async def outcome(auth: Auth, request: Request, requestor: Requestor = Requestor.API) -> tuple[int, str]:
    try:
        auth.check(await auth.identify(request), request, requestor)
    except ReverieError as error:
        return error.status, error.message
    return 200, ""


def auth_of(world: World, **options: Any) -> Auth:
    settings = options.pop("settings", TokenSettings())
    return Auth(Memory(world.store), world.store, settings, Passwords(HASHER), **options)


def get(resource: str = "_table/todo", *, service: str = "db", method: str = "GET", **parts: Any) -> Request:
    """A request; `key`, `token`, `bearer` and `basic` become headers."""
    headers = dict(parts.pop("headers", {}))
    for name, header, form in (
        ("key", "x-dreamfactory-api-key", "{}"),
        ("token", "x-dreamfactory-session-token", "{}"),
        ("bearer", "authorization", "Bearer {}"),
    ):
        if name in parts:
            headers[header] = form.format(parts.pop(name))
    if "basic" in parts:
        headers["authorization"] = "Basic " + base64.b64encode(parts.pop("basic").encode()).decode()
    return Request(method=method, service=service, resource=resource, headers=headers, **parts)
