"""E-mail (or user name) and password, checked off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Literal, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from reverie.errors import BadRequest, Unauthorized, Unavailable
from reverie.model import JSON
from reverie.store.records import UserRecord
from reverie.store.store import Store
from reverie.store.users import user_by_email, user_by_username

T = TypeVar("T")
LoginBy = Literal["email", "username"]

REFUSED: Final = "Invalid credentials supplied."


class Passwords:
    """argon2id in a few threads. Hashing is slow by purpose; more than *waiting* callers are sent away.

    Args:
        threads: hashes that are made at the same time; each holds 64 MiB.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, threads: int = 2, waiting: int = 64) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="password")
        self._places = waiting
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """
        Raises:
            Unavailable: too many wait already.
        """
        return await self._run(partial(self._hasher.hash, password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether *password* is the one of *hashed*; without a hash it is not, and takes as long to say so.

        Raises:
            Unavailable: too many wait already.
        """
        return await self._run(partial(self._verify, password, hashed))

    def _verify(self, password: str, hashed: str | None) -> bool:
        if not hashed:
            if self._nobody is None:
                self._nobody = self._hasher.hash("nobody")
            self._verify(password, self._nobody)
            return False
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._places <= 0:
            raise Unavailable("Too many log-ins at once. Try again in a moment.", headers={"Retry-After": "2"})
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._places += 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


async def find_user(store: Store, login: str, by: LoginBy) -> UserRecord | None:
    return await (user_by_email(store, login) if by == "email" else user_by_username(store, login))


async def authenticate(
    store: Store, passwords: Passwords, *, login: JSON, password: JSON, by: LoginBy, admin: bool
) -> UserRecord:
    """The user of a pair, for a log-in at the administrators' door or at the users'.

    Raises:
        BadRequest: one of the two is missing.
        Unauthorized: wrong pair, not active, or at the wrong door; all three look the same, and take as long.
        Unavailable: too many log-ins at once.
    """
    for value, what in ((login, by), (password, "password")):
        if not isinstance(value, str) or not value:
            raise BadRequest(f"Login request is missing required {what}.")
    user = await find_user(store, str(login), by)
    matches = await passwords.verify(str(password), user.password if user else None)
    if user is None or not matches or not user.is_active or user.is_sys_admin != admin:
        raise Unauthorized(REFUSED)
    return user
