from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher

from reverie.auth.login import Passwords, authenticate
from reverie.errors import BadRequest, Unauthorized, Unavailable
from reverie.model import JSON
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio


class CountingHasher(PasswordHasher):
    """argon2id, cheap, that counts how often it verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def passwords(hasher: CountingHasher) -> Iterator[Passwords]:
    passwords = Passwords(hasher)
    yield passwords
    passwords.close()


async def test_a_password_verifies_against_its_own_argon2id_hash(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")

    assert hashed.startswith("$argon2id$")
    assert await passwords.verify("correct horse", hashed)
    assert not await passwords.verify("wrong horse", hashed)
    assert not await passwords.verify("correct horse", "no hash at all")
    assert not await passwords.verify("nobody", None)


@pytest.mark.parametrize(
    ("email", "password", "admin"),
    [
        ("ops@example.test", "wrong", False),
        ("nobody@example.test", "correct horse", False),
        ("ops@example.test", "correct horse", True),
        ("boss@example.test", "correct horse", False),
        ("gone@example.test", "correct horse", False),
        ("empty@example.test", "", False),
    ],
)
async def test_every_refused_pair_costs_one_hash_and_looks_the_same(
    world: World, passwords: Passwords, hasher: CountingHasher, email: str, password: str, admin: bool
) -> None:
    hashed = await passwords.hash("correct horse")
    await world.user("ops@example.test", hashed)
    await world.user("boss@example.test", hashed, is_sys_admin=True)
    await world.user("gone@example.test", hashed, is_active=False)
    await world.user("empty@example.test", None)

    with pytest.raises(Unauthorized, match=r"^Invalid credentials supplied\.$"):
        await authenticate(world.store, passwords, login=email, password=password or "x", by="email", admin=admin)

    assert hasher.verified == 1


async def test_a_good_pair_opens_its_own_door_in_whatever_case(world: World, passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    await world.user("ops@example.test", hashed, username="Ops")
    await world.user("boss@example.test", hashed, is_sys_admin=True)

    async def log_in(login: str, admin: bool, username: bool = False) -> str:
        found = await authenticate(
            world.store,
            passwords,
            login=login,
            password="correct horse",
            by="username" if username else "email",
            admin=admin,
        )
        return found.email

    assert await log_in("OPS@Example.Test ", False) == "ops@example.test"
    assert await log_in("boss@example.test", True) == "boss@example.test"
    assert await log_in("Ops", False, username=True) == "ops@example.test"


@pytest.mark.parametrize(
    ("login", "password", "message"),
    [
        (None, "x", "Login request is missing required email."),
        ("", "x", "Login request is missing required email."),
        (7, "x", "Login request is missing required email."),
        (None, None, "Login request is missing required email."),
        ("ops@example.test", None, "Login request is missing required password."),
        ("ops@example.test", ["x"], "Login request is missing required password."),
    ],
)
async def test_what_is_missing_is_named(
    world: World, passwords: Passwords, login: JSON, password: JSON, message: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await authenticate(world.store, passwords, login=login, password=password, by="email", admin=False)

    assert refused.value.message == message


async def test_too_many_log_ins_at_once_are_sent_away_politely() -> None:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1), threads=1, waiting=3)

    answers = await asyncio.gather(*(passwords.hash("x") for _ in range(5)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 2
    assert refused[0].headers == {"Retry-After": "2"}
    assert await passwords.hash("x")
    passwords.close()
