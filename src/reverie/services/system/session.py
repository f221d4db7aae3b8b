"""``user/session`` and ``system/admin/session``: log in, look, renew, log out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Final

from reverie.auth.gate import Auth, user_map
from reverie.auth.login import REFUSED, LoginBy
from reverie.auth.sessions import LoggedIn
from reverie.clock import text_of
from reverie.errors import BadRequest, NotFound, Unauthorized
from reverie.model import JSON, Caller, Context, Request, Response, Role
from reverie.services.system.fields import is_storable
from reverie.services.system.resource import unsupported_verb
from reverie.store.memory import Memory

_SHOWN: Final = ("id", "name", "first_name", "last_name", "email", "is_sys_admin", "last_login_date")


class SessionDoor:
    """`Resource` of the users' door, or with *admin* of the administrators'.

    Args:
        login_by: the field of the body that says who; the one that *auth* was built with.
    """

    def __init__(self, auth: Auth, memory: Memory, *, admin: bool, login_by: LoginBy = "email") -> None:
        self.auth = auth
        self.memory = memory
        self.admin = admin
        self.login_by: LoginBy = login_by

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        caller = context.caller
        if request.method == "POST":
            return await self.log_in(request, caller)
        if request.method == "GET":
            return await self.look(caller)
        if request.method == "PUT":
            return await self.answer(await self.auth.refresh(caller.session_token), caller)
        if request.method == "DELETE":
            await self.auth.log_out(caller.session_token)
            return Response(content={"success": True})
        raise unsupported_verb(request, "session")

    async def log_in(self, request: Request, caller: Caller) -> Response:
        """Only the body is read: an address ends in logs."""
        body = request.payload if isinstance(request.payload, dict) else {}
        service = request.parameters.get("service") or body.get("service")
        if service:
            raise BadRequest(f"The service '{service}' is no service to log in with.")
        remember = body.get("remember_me") in (True, 1, "1", "true")
        login, password = body.get(self.login_by), body.get("password")
        if any(isinstance(value, str) and not is_storable(value) for value in (login, password)):
            raise Unauthorized(REFUSED)
        logged_in = await self.auth.log_in(login, password, admin=self.admin, remember=remember)
        return await self.answer(logged_in, caller)

    async def answer(self, logged_in: LoggedIn, caller: Caller) -> Response:
        """The session just opened, with the role that the caller's API key gives it."""
        app = await self.memory.app_by_key(caller.api_key) if caller.api_key else None
        role = await self.auth.role_of(logged_in.user, app)
        return Response(content=described(user_map(logged_in.user), logged_in.token, logged_in.expires, role))

    async def look(self, caller: Caller) -> Response:
        user, token = caller.user, caller.session_token
        if user is None:
            if self.admin:
                raise NotFound("No user session found.")
            raise Unauthorized("There is no valid session for the current request.")
        if self.admin and user.get("is_sys_admin") is not True:
            raise Unauthorized("You are not authorized to perform this action.")
        expires = await self.auth.expires_at(token) if token else None
        return Response(content=described(user, token, expires, caller.role))


def described(user: Mapping[str, JSON], token: str | None, expires: int | None, role: Role | None) -> dict[str, JSON]:
    """A session as the API shows it."""
    session: dict[str, JSON] = {
        "session_token": token,
        "session_id": token,
        **{name: user.get(name) for name in _SHOWN},
        "host": platform.node(),
        "token_expiry_date": text_of(expires) if expires is not None else None,
    }
    if role is not None:
        session |= {"role": role.name, "role_id": role.id}
    return session
