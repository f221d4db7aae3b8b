"""``system/user`` and ``system/admin``: one table, two lists that never mix."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, select

from reverie.database import Connection, Value
from reverie.errors import Forbidden, NotFound, NotSupported
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.fields import ID, STAMPS, Field, Invalid, accept, shown, stored
from reverie.services.system.lookup import lookups_of
from reverie.services.system.records import Records
from reverie.services.system.relations import Relation, Row
from reverie.services.system.resource import Resource, flag
from reverie.services.system.user_role import UserRoles
from reverie.store import sessions, tables
from reverie.store.store import Store

SHORTEST_PASSWORD: Final = 16
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
_HASHED: Final = ("password", "security_answer")
_CONFIRMED: Final = (None, "", "y")
"""Values of the confirmation code of somebody who need not confirm anything."""


class Users(Records):
    """``system/user``.

    Args:
        hash_password: takes a while, away from the event loop.
        shortest_password: characters that a new password needs.
    """

    name = "user"
    admins: ClassVar[bool] = False
    table = tables.user
    fields: ClassVar[tuple[Field, ...]] = (
        ID,
        Field(name="name", required=True, limit=128),
        Field(name="username", limit=128),
        Field(name="first_name", limit=64),
        Field(name="last_name", limit=64),
        Field(name="last_login_date", writable=False),
        Field(name="email", required=True, limit=255),
        Field(name="is_active", kind="boolean", nullable=False, default=True),
        Field(name="phone", limit=32),
        Field(name="security_question", limit=128),
        Field(name="security_answer", shown=False),
        Field(name="password", shown=False),
        Field(name="default_app_id", kind="integer"),
        Field(name="oauth_provider", limit=64, shown=False),
        Field(name="adldap", limit=64, shown=False),
        *STAMPS,
        Field(name="confirmed", kind="boolean", computed=True, always=True),
        Field(name="expired", kind="boolean", computed=True, always=True),
    )

    def __init__(
        self,
        store: Store,
        hash_password: Callable[[str], Awaitable[str]],
        shortest_password: int = SHORTEST_PASSWORD,
    ) -> None:
        roles: Relation = UserRoles(column="user_id")
        super().__init__(store, {roles.name: roles, **lookups_of("user_id")})
        self.hash_password = hash_password
        self.shortest_password = shortest_password

    def scope(self) -> ColumnElement[bool]:
        return self.table.c.is_sys_admin.is_(self.admins)

    def show(self, row: Row) -> dict[str, JSON]:
        return {**shown(self.fields, row), "confirmed": row["confirm_code"] in _CONFIRMED, "expired": False}

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if flag(request, "send_invite"):
            raise NotSupported("Not there yet: send_invite, which needs an e-mail service.")
        return await super().handle(request, context, path)

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        """Names filled in on create; the password and the answer hashed. Raises Invalid."""
        sent = {name: value for name, value in sent.items() if name not in _HASHED or value not in (None, "")}
        if creating:
            sent = named({name: value for name, value in sent.items() if value not in (None, "")})
        self.check(accept(self.fields, sent, creating=creating))
        for name in _HASHED:
            if name in sent:
                sent[name] = await self.hash_password(str(sent[name]))
        return sent

    def check(self, values: Mapping[str, JSON]) -> None:
        """Raises Invalid for an e-mail that is none, and for a short password."""
        mistakes: dict[str, str] = {}
        if "email" in values and not _EMAIL.fullmatch(str(values["email"]).strip()):
            mistakes["email"] = "The field 'email' must be an e-mail address."
        if "password" in values and len(str(values["password"])) < self.shortest_password:
            mistakes["password"] = f"The field 'password' must have at least {self.shortest_password} characters."
        if mistakes:
            raise Invalid(mistakes)

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values = stored(self.fields, accept(self.fields, sent, creating=row is None))
        if "email" in values:
            values["email"] = str(values["email"]).strip().lower()
        if row is None:
            values["is_sys_admin"] = self.admins
            values.setdefault("username", values["email"])
        return values

    async def written(self, connection: Connection, row: Row | None, values: Mapping[str, Value]) -> None:
        """End the sessions of somebody with a new password or address, or who may not come in any more."""
        if row is None:
            return
        renamed = "email" in values and values["email"] != row["email"]
        if "password" in values or renamed or values.get("is_active") is False:
            user_id = row["id"]
            if isinstance(user_id, int):
                await sessions.revoke_all(self.store, user_id, connection)

    async def row(self, identifier: JSON, connection: Connection | None) -> Row:
        try:
            return await super().row(identifier, connection)
        except NotFound:
            if connection is not None and await self.is_of_the_others(identifier, connection):
                other = "user" if self.admins else "admin"
                raise Forbidden(f"This account is changed through 'system/{other}'.") from None
            raise

    async def is_of_the_others(self, identifier: JSON, connection: Connection) -> bool:
        query = select(self.table.c.id).where(self.table.c.id == self.match_value(identifier))
        return await self.store.fetch_one(query, connection) is not None

    def guard_change(self, row: Row, sent: Mapping[str, JSON], context: Context) -> None:
        # Nobody shuts himself out, so an administrator is always left.
        if row["id"] == context.caller.user_id and accept(self.fields, sent, creating=False).get("is_active") is False:
            raise Forbidden("Cannot deactivate your account.")

    def guard_delete(self, row: Row, context: Context) -> None:
        if row["id"] == context.caller.user_id:
            raise Forbidden("Cannot delete your account.")


class Admins(Users):
    """``system/admin``, and below it what belongs to the one who is logged in.

    Args:
        parts: resources by their name behind ``admin/``, such as ``session``.
    """

    name = "admin"
    admins = True

    def __init__(
        self,
        store: Store,
        hash_password: Callable[[str], Awaitable[str]],
        parts: Mapping[str, Resource],
        shortest_password: int = SHORTEST_PASSWORD,
    ) -> None:
        super().__init__(store, hash_password, shortest_password)
        self.parts = parts

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        part = self.parts.get(path[0]) if path else None
        if part is not None:
            return await part.handle(request, context, path[1:])
        return await super().handle(request, context, path)


def named(sent: dict[str, JSON]) -> dict[str, JSON]:
    """With a ``name``: the one sent, else first and last name, else the e-mail."""
    if "name" in sent or "email" not in sent:
        return sent
    parts = [str(sent[part]) for part in ("first_name", "last_name") if part in sent]
    return {**sent, "name": " ".join(parts) or sent["email"]}
