"""``system/environment``: how to log in, and for those who are known, what this instance is made of; only read."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from reverie.errors import BadRequest
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.app import launch_url
from reverie.services.system.batch import EMPTY
from reverie.services.system.resource import unsupported_verb
from reverie.store import tables
from reverie.store.store import Store

_CREDENTIALS: Final[Mapping[str, JSON]] = {"email": "string", "password": "string", "remember_me": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What only the one who built the platform knows.

    Attributes:
        runtime: asked at each call: the script engines, the isolation in force, and the like; for administrators.
        platform: further facts for administrators, such as the database and the queue connections.
    """

    version: str
    runtime: Callable[[], Mapping[str, JSON]]
    platform: Mapping[str, JSON]


class Environment:
    def __init__(self, store: Store, facts: Facts) -> None:
        self.store = store
        self.facts = facts

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method == "POST" and not request.payload:
            raise BadRequest(EMPTY)
        if request.method != "GET":
            raise unsupported_verb(request, "environment", path)
        caller = context.caller
        known = caller.user is not None or caller.role is not None
        content: dict[str, JSON] = {"authentication": authentication(), "apps": await self.apps(known=known)}
        if known:
            content["platform"] = {"version": self.facts.version, "is_hosted": False, "license": "Apache-2.0"}
            content["server"] = server()
            content["client"] = client(request)
        if caller.is_admin:
            content["platform"] = {
                "version": self.facts.version,
                "is_hosted": False,
                "license": "Apache-2.0",
                "db_driver": self.store.database.dialect,
                **self.facts.platform,
            }
            content["runtime"] = dict(self.facts.runtime())
            content["php"] = {}
        return Response(content=content)

    async def apps(self, *, known: bool) -> list[JSON]:
        """Apps that have a page of their own; for a stranger only those that work without a session."""
        table = tables.app
        query = select(table).where(table.c.is_active, table.c.type != 0).order_by(table.c.id)
        if not known:
            query = query.where(table.c.role_id.is_not(None))
        return [
            {"id": plain_id(row["id"]), "name": str(row["name"]), "url": launch_url(row), "is_default": False}
            for row in await self.store.fetch(query)
        ]


def plain_id(value: object) -> int | None:
    return value if isinstance(value, int) else None


def authentication() -> dict[str, JSON]:
    """Where to log in, with what."""
    payload: dict[str, JSON] = dict(_CREDENTIALS)
    return {
        "admin": {"path": "system/admin/session", "verb": "POST", "payload": payload},
        "user": {"path": "user/session", "verb": "POST", "payload": payload},
        "oauth": [],
        "adldap": [],
        "saml": [],
        "allow_open_registration": False,
        "open_reg_email_service_id": None,
        "allow_forever_sessions": False,
        "login_attribute": "email",
    }


def server() -> dict[str, JSON]:
    system = platform.uname()
    return {
        "server_os": system.system.lower(),
        "release": system.release,
        "version": system.version,
        "host": system.node,
        "machine": system.machine,
    }


def client(request: Request) -> dict[str, JSON]:
    language = request.headers.get("accept-language", "")
    return {
        "user_agent": request.headers.get("user-agent", ""),
        "ip_address": request.headers.get("x-forwarded-for", "").split(",")[0].strip(),
        "locale": language.split(",")[0].split(";")[0].strip(),
    }
