"""Sessions: opened by a log-in, renewed, ended; verified on every call."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import NamedTuple

from reverie.auth import tokens
from reverie.auth.login import REFUSED, LoginBy, Passwords, authenticate
from reverie.auth.tokens import Claims, Issued, TokenSettings
from reverie.clock import text_of
from reverie.database import Connection
from reverie.errors import Forbidden, Unauthorized
from reverie.model import JSON
from reverie.store import sessions as rows
from reverie.store.memory import Memory
from reverie.store.records import UserRecord
from reverie.store.store import Store
from reverie.store.users import note_login, user_by_id


class LoggedIn(NamedTuple):
    """The answer of a log-in.

    Attributes:
        expires: Unix seconds at which the token must have been renewed.
    """

    user: UserRecord
    token: str
    expires: int


class Sessions:
    def __init__(
        self, memory: Memory, store: Store, settings: TokenSettings, passwords: Passwords, *, login_by: LoginBy
    ) -> None:
        self._memory = memory
        self._store = store
        self._settings = settings
        self._passwords = passwords
        self._login_by: LoginBy = login_by

    async def verify(self, token: str) -> tuple[Claims, UserRecord]:
        """
        Raises:
            Unauthorized: expired, not ours, or its user is gone. Forbidden: the session was ended.
        """
        claims = tokens.read(self._store.sealer, token)
        tokens.check_time(claims, self._store.clock.now())
        user = tokens.check_user(claims, await self._memory.user(claims.user_id))
        if not await rows.is_live(self._store, claims.jti):
            raise tokens.ended()
        return claims, user

    async def log_in(self, login: JSON, password: JSON, *, admin: bool, remember: bool) -> LoggedIn:
        user = await authenticate(
            self._store, self._passwords, login=login, password=password, by=self._login_by, admin=admin
        )
        return await self._log_in(user, remember=remember)

    async def open(self, user_id: int, *, remember: bool) -> LoggedIn:
        user = await user_by_id(self._store, user_id)
        if user is None:
            raise Unauthorized(REFUSED)
        return await self._log_in(user, remember=remember)

    async def _log_in(self, user: UserRecord, *, remember: bool) -> LoggedIn:
        issued = self._issue(user, forever=remember)

        async def work(connection: Connection) -> None:
            await note_login(self._store, user.id, connection)
            await self._record(issued, connection)

        await self._store.write(work)
        seen = replace(user, last_login_date=text_of(issued.claims.issued_at))
        return LoggedIn(seen, issued.token, issued.claims.expires_at)

    async def refresh(self, token: str | None) -> LoggedIn:
        if not token:
            raise Unauthorized("Token refresh failed. No session token (JWT) was sent.")
        claims = tokens.read(self._store.sealer, token)
        tokens.check_renewable(claims, self._settings, self._store.clock.now())
        user = tokens.check_user(claims, await user_by_id(self._store, claims.user_id))
        if not user.is_active:
            raise Forbidden("User is not active.")
        store, issued = self._store, self._issue(user, forever=claims.forever)

        async def work(connection: Connection) -> None:
            # Looked at inside the unit: of two who exchange the same token, one gets a new one.
            if not await rows.is_live(store, claims.jti, connection):
                raise tokens.ended()
            await rows.revoke(store, claims.jti, connection)
            await self._record(issued, connection)

        await store.write(work)
        return LoggedIn(user, issued.token, issued.claims.expires_at)

    def _issue(self, user: UserRecord, *, forever: bool) -> Issued:
        store = self._store
        return tokens.issue(store.sealer, self._settings, user, store.clock.now(), forever=forever)

    async def _record(self, issued: Issued, connection: Connection) -> None:
        claims = issued.claims
        await rows.record(self._store, claims.jti, claims.user_id, issued.renewable_until, connection)

    async def log_out(self, token: str | None) -> None:
        if not token:
            return
        with contextlib.suppress(Unauthorized):
            claims = tokens.read(self._store.sealer, token)

            async def work(connection: Connection) -> None:
                await rows.revoke(self._store, claims.jti, connection)

            await self._store.write(work)

    async def revoke_user(self, user_id: int) -> None:
        async def work(connection: Connection) -> None:
            await rows.revoke_all(self._store, user_id, connection)

        await self._store.write(work)
