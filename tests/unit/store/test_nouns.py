from __future__ import annotations

import asyncio

import pytest

from reverie.database import Connection
from reverie.store import sessions
from reverie.store.facts import claim_fact, facts_named, get_fact, put_fact
from reverie.store.scratch import KEPT_FOR, get_value, set_value
from reverie.store.users import count_administrators, create_first_administrator, user_by_email, user_by_username
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio


async def test_only_one_of_two_processes_makes_the_first_administrator(world: World) -> None:
    other = world.other_process()

    made = await asyncio.gather(
        create_first_administrator(world.store, email="One@Example.test", password="hash"),
        create_first_administrator(other.store, email="two@example.test", password="hash"),
    )

    assert sorted(made, key=str) == [1, None]
    assert await count_administrators(world.store) == 1
    await other.close()


async def test_the_first_administrator_is_found_by_mail_and_name(world: World) -> None:
    await create_first_administrator(world.store, email="Ops@Example.test", password="hash", name="Ops")

    found = await user_by_email(world.store, "OPS@example.TEST")

    assert found is not None
    assert (found.email, found.name, found.is_sys_admin, found.is_active) == ("ops@example.test", "Ops", True, True)
    assert found == await user_by_username(world.store, "ops@example.test")


async def test_what_scripts_keep_expires_and_is_their_own(world: World) -> None:
    await set_value(world.store, "one", "k", {"a": [1]})
    await set_value(world.store, "one", "k", {"a": [2]})

    assert await get_value(world.store, "one", "k") == (True, {"a": [2]})
    assert await get_value(world.store, "two", "k") == (False, None)
    world.clock.moment += KEPT_FOR
    assert await get_value(world.store, "one", "k") == (False, None)
    await set_value(world.store, "one", "null", None)
    assert await get_value(world.store, "one", "null") == (True, None)


async def test_keeping_a_scratch_value_is_no_change_of_settings(world: World) -> None:
    before = await world.store.version()

    await set_value(world.store, "one", "k", 1)
    await put_fact(world.store, "a", "b")

    assert await world.store.version() == before


async def test_facts_are_kept_replaced_and_forgotten(world: World) -> None:
    assert await get_fact(world.store, "link") is None
    await put_fact(world.store, "link", "one")
    await put_fact(world.store, "link", "two")
    assert await get_fact(world.store, "link") == "two"
    await put_fact(world.store, "link", None)
    assert await get_fact(world.store, "link") is None


async def test_facts_are_found_by_the_beginning_of_their_names_and_no_pattern_hides_in_it(world: World) -> None:
    for name in ("queue_a", "queue_b", "queuexc", "other"):
        await put_fact(world.store, name, name.upper())

    assert await facts_named(world.store, "queue_") == {"queue_a": "QUEUE_A", "queue_b": "QUEUE_B"}
    assert await facts_named(world.store, "%") == {}


async def test_two_processes_that_claim_a_fact_agree(world: World) -> None:
    other = world.other_process()

    first, second = await asyncio.gather(
        claim_fact(world.store, "link", "mine"), claim_fact(other.store, "link", "theirs")
    )

    assert first == second == await get_fact(world.store, "link")
    await other.close()


async def test_sessions_are_ended_one_by_one_or_all_and_forgotten_when_useless(world: World) -> None:
    user_id, other_id = await world.user("a@example.test"), await world.user("b@example.test")
    soon = int(world.clock.moment) + 100

    async def add(connection: Connection) -> None:
        for jti, owner in (("a1", user_id), ("a2", user_id), ("a3", user_id), ("b1", other_id)):
            await sessions.record(world.store, jti, owner, soon, connection)

    async def live() -> list[str]:
        return [jti for jti in ("a1", "a2", "a3", "b1", "new") if await sessions.is_live(world.store, jti)]

    await world.store.write(add)
    assert await live() == ["a1", "a2", "a3", "b1"]
    await world.store.write(lambda connection: sessions.revoke(world.store, "a1", connection))
    assert await live() == ["a2", "a3", "b1"]
    assert await world.store.write(lambda connection: sessions.revoke_all(world.store, user_id, connection)) == 2
    assert await live() == ["b1"]
    world.clock.moment += 101
    await world.store.write(lambda connection: sessions.record(world.store, "new", user_id, soon + 200, connection))
    assert await live() == ["new"]
