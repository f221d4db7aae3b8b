"""The gate: credentials become a Caller, and the Caller may or may not.

Who is calling is settled first (`Auth.identify`), then whether he may (`Auth.check`); what is refused here fires no
events. Whether the service exists is nobody's business before that.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from reverie.auth import access, keys, sessions
from reverie.auth.login import LoginBy, Passwords, find_user
from reverie.auth.sessions import LoggedIn
from reverie.auth.tokens import TokenSettings
from reverie.errors import BadRequest, Forbidden, ReverieError, Unauthorized
from reverie.model import JSON, Caller, Request, Requestor, Role, Verb
from reverie.store.memory import Memory
from reverie.store.records import AppRecord, UserRecord
from reverie.store.store import Store

MOST_CALLERS: Final = 10_000
"""Callers kept in memory; beyond that all are built anew."""

NO_CREDENTIALS: Final = (
    "No session token (JWT) or API Key detected in request. Please send in X-DreamFactory-Session-Token and/or"
    " X-DreamFactory-API-Key request header. You can also use URL query parameters session_token and/or api_key."
)
NO_KEY: Final = (
    "No API Key provided. Please provide a valid API Key using X-DreamFactory-API-Key request header"
    " or 'api_key' url query parameter."
)
NO_SESSION: Final = (
    "No session token (JWT) provided. Please provide a valid JWT using X-DreamFactory-Session-Token request header"
    " or 'session_token' url query parameter."
)
NO_ROLE: Final = "Role not found. A role may not be assigned to you or your application."
INACTIVE_ROLE: Final = (
    "Access Forbidden. The role assigned to you or your application or the default role of your application"
    " is not active."
)
NO_USER: Final = "Unauthorized. User is not authenticated."

_VERBS: Final[Mapping[str, int]] = {verb.name: int(verb) for verb in Verb if verb.name}

_Place: TypeAlias = tuple[str | None, str | None]
"""API key and token; or ``basic`` and what stands for the pair."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A Caller, and when (Unix seconds) his token expires."""

    caller: Caller
    until: float


class Auth:
    """Who is calling, and may he? One for each process.

    Args:
        login_by: what people log in with.
        restricted_admins: an administrator who is mapped to a role in some app has only roles.
        role_fallback_any_app: a user without a role in the app at hand gets the first he has in another.
    """

    def __init__(
        self,
        memory: Memory,
        store: Store,
        settings: TokenSettings | None = None,
        passwords: Passwords | None = None,
        *,
        login_by: LoginBy = "email",
        restricted_admins: bool = True,
        role_fallback_any_app: bool = False,
    ) -> None:
        self._memory = memory
        self._store = store
        self.passwords = passwords or Passwords()
        self._sessions = sessions.Sessions(
            memory, store, settings or TokenSettings(), self.passwords, login_by=login_by
        )
        self._login_by: LoginBy = login_by
        self._restricted_admins = restricted_admins
        self._role_fallback = role_fallback_any_app
        self._callers: dict[_Place, _Known] = {}
        self._version = -1
        # Password pairs are remembered only under a key that dies with the process.
        self._pepper = os.urandom(32)

    # -- who is it?

    async def identify(self, request: Request) -> Caller:
        """The caller of a request.

        Raises:
            Unauthorized: the token is expired or not ours, or the Basic pair is wrong.
            Forbidden: the session was ended, or app or user is not active.
            StoreUnavailable
        """
        version = await self._memory.fresh()
        if version != self._version:
            self._callers = {}
            self._version = version
        key, token = keys.api_key_of(request), keys.token_of(request)
        if (token is not None or "authorization" in request.headers) and keys.is_session(request):
            return await self._of_session(request, key, token)
        if token is None and (basic := keys.basic_of(request)) is not None:
            return await self._of_basic(key, *basic)
        known = self._callers.get((key, token))
        if known is not None and (token is None or self._store.clock.now() < known.until):
            return known.caller
        return await self._of_token(key, token)

    async def _of_token(self, key: str | None, token: str | None) -> Caller:
        callers = self._callers
        until = float("inf")
        user: UserRecord | None = None
        if token is not None:
            claims, user = await self._sessions.verify(token)
            until = claims.expires_at
        app, caller = await self._caller(key, token, user)
        # A key that nobody has now may be somebody's in a moment, so it is not remembered.
        if key is None or app is not None:
            _remember(callers, (key, token), _Known(caller, until))
        return caller

    async def _of_session(self, request: Request, key: str | None, token: str | None) -> Caller:
        """A call about the session itself: who logs in has none yet, and one that is over can be renewed or left."""
        if request.method == "POST":
            return (await self._caller(key, None, None))[1]
        if token is None or request.method == "GET":
            if token is None and (basic := keys.basic_of(request)) is not None:
                return await self._of_basic(key, *basic)
            return await self._of_token(key, token)
        try:
            return await self._of_token(key, token)
        except (Unauthorized, Forbidden):
            return (await self._caller(key, token, None))[1]

    async def _of_basic(self, key: str | None, login: str, password: str) -> Caller:
        """
        Raises:
            Unauthorized: the pair is wrong.
        """
        pair = f"{len(login)}:{login}:{password}".encode(errors="surrogatepass")
        place = (key, "basic " + hmac.new(self._pepper, pair, hashlib.sha256).hexdigest())
        callers = self._callers
        if (known := callers.get(place)) is not None:
            return known.caller
        user = await find_user(self._store, login, self._login_by)
        if not await self.passwords.verify(password, user.password if user else None) or user is None:
            raise Unauthorized("Invalid credentials.")
        app, caller = await self._caller(key, None, user)
        if key is None or app is not None:
            _remember(callers, place, _Known(caller, float("inf")))
        return caller

    async def _caller(
        self, key: str | None, token: str | None, user: UserRecord | None
    ) -> tuple[AppRecord | None, Caller]:
        app = await self._memory.app_by_key(key) if key else None
        if app is not None and not app.is_active:
            raise Forbidden("App is not active.")
        if user is not None and not user.is_active:
            raise Forbidden("User is not active.")
        app_id = app.id if app else None
        role = await self.role_of(user, app)
        public, private = await self._memory.lookups(
            user.id if user else None, role.id if role is not None else None, app_id
        )
        return app, Caller(
            app_id=app_id,
            api_key=key,
            session_token=token,
            user=user_map(user) if user else None,
            role=role,
            is_admin=self._is_unrestricted(user),
            lookups=public,
            secrets=private,
        )

    def _is_unrestricted(self, user: UserRecord | None) -> bool:
        return user is not None and user.is_sys_admin and not (self._restricted_admins and user.roles)

    async def role_of(self, user: UserRecord | None, app: AppRecord | None) -> Role | None:
        """The role that decides for *user* in *app*; None for an administrator without restrictions, too."""
        if self._is_unrestricted(user):
            return None
        role_id: int | None = None
        if user is not None and app is not None:
            role_id = user.roles.get(app.id)
            if role_id is None and self._role_fallback and user.roles:
                role_id = next(iter(user.roles.values()))
        if role_id is None and app is not None:
            role_id = app.role_id
        return await self._memory.role(role_id) if role_id is not None else None

    async def as_of_now(self, caller: Caller) -> Caller:
        """A caller of some time ago, with the role he has now and the lookups of then.

        Raises:
            Forbidden: user or app is gone or not active, or the key is no longer the app's.
        """
        user = None if caller.user_id is None else await self._memory.user(caller.user_id)
        if caller.user_id is not None and user is None:
            raise Forbidden("User does not exist any more.")
        app, now = await self._caller(caller.api_key, caller.session_token, user)
        if caller.app_id is not None and (app is None or app.id != caller.app_id):
            raise Forbidden("App does not exist any more, or has another API key.")
        return replace(caller, role=now.role, is_admin=now.is_admin)

    # -- may he?

    def check(self, caller: Caller, request: Request, requestor: Requestor) -> None:
        """Return if *caller* may; costs no look into the store.

        Raises:
            BadRequest: without credentials, or with too few of them to find a role.
            Unauthorized: refused to a key without a user.
            Forbidden: refused to a user; no role, or one that is not active.
        """
        if caller.is_admin or not request.service:
            return
        role = caller.role
        if role is not None and role.is_active and _allows(role, request, requestor):
            return
        component = request.resource.strip("/")
        verb = _VERBS.get(request.method, 0)
        if access.EXCEPTIONS.get((request.service, component.lower()), 0) & verb:
            return
        if request.service == access.OPEN and verb == Verb.GET:
            return
        if access.is_one_job(request.service, component, verb) and _is_known(caller):
            return
        raise _refusal(caller, request, component)

    # -- sessions

    async def log_in(self, login: JSON, password: JSON, *, admin: bool, remember: bool = False) -> LoggedIn:
        """Check a pair and open a session.

        Args:
            login: the e-mail, or the user name where the instance logs in by that.
            admin: at the administrators' door.
            remember: the token can be renewed without end, where that is allowed.

        Raises:
            BadRequest: one of the two is missing.
            Unauthorized: wrong pair, not active, or at the wrong door.
            Unavailable: too many log-ins at once.
        """
        return await self._sessions.log_in(login, password, admin=admin, remember=remember)

    async def open_session(self, user_id: int, *, remember: bool = False) -> LoggedIn:
        """A session for a user who was recognised otherwise, as after a change of password."""
        return await self._sessions.open(user_id, remember=remember)

    async def refresh(self, token: str | None) -> LoggedIn:
        """Exchange a token, expired or not, for a new one; the old one is worth nothing from then on.

        Raises:
            Unauthorized: not ours, or too old. Forbidden: its session was ended, or the user is not active.
        """
        return await self._sessions.refresh(token)

    async def log_out(self, token: str | None) -> None:
        """End the session of a token; nothing happens without one, or when it is over already."""
        await self._sessions.log_out(token)

    async def revoke_user(self, user_id: int) -> None:
        """End all sessions of a user, in every process at once."""
        await self._sessions.revoke_user(user_id)

    async def expires_at(self, token: str) -> int:
        """When a token that is good now expires, in Unix seconds. Raises what `identify` raises for it."""
        claims, _ = await self._sessions.verify(token)
        return claims.expires_at

    async def close(self) -> None:
        self.passwords.close()


def user_map(user: UserRecord) -> dict[str, JSON]:
    """A user as scripts see him."""
    return {
        "id": user.id,
        "name": user.name,
        "username": user.username,
        "display_name": user.name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "is_sys_admin": user.is_sys_admin,
        "last_login_date": user.last_login_date,
        "ldap_username": user.ldap_username,
    }


def _remember(callers: dict[_Place, _Known], place: _Place, known: _Known) -> None:
    if len(callers) >= MOST_CALLERS:
        callers.clear()
    callers[place] = known


def _is_known(caller: Caller) -> bool:
    """Whether this is a user, or the key of an app whose role is active."""
    return caller.user is not None or (caller.app_id is not None and caller.role is not None and caller.role.is_active)


def _allows(role: Role, request: Request, requestor: Requestor) -> bool:
    verb = _VERBS.get(request.method, 0)
    if access.allows(role, request.service, request.resource, verb, requestor):
        return True
    # The list of schemas is open to whoever reads anything of the service; it shows only what he may see.
    return (
        verb == Verb.GET
        and request.resource.rstrip("/") == "_schema"
        and access.anything(role, request.service, verb, requestor)
    )


def _refusal(caller: Caller, request: Request, component: str) -> ReverieError:
    """Why not; the first reason that applies."""
    has_session = caller.session_token is not None or caller.user is not None
    if caller.api_key is None and not has_session:
        return BadRequest(NO_CREDENTIALS)
    if caller.role is None:
        if caller.api_key is None:
            return BadRequest(NO_KEY)
        return Forbidden(NO_ROLE) if has_session else BadRequest(NO_SESSION)
    if not caller.role.is_active:
        return Forbidden(INACTIVE_ROLE)
    if caller.user is None:
        return Unauthorized(NO_USER)
    what = f"component '{component}' of service" if component else "service"
    return Forbidden(
        f"Access Forbidden. {request.method} access to {what} '{request.service}' is not allowed by this user's role."
    )
