"""Places for runs: who has one, who waits, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from reverie.errors import ScriptsBusy
from reverie.scripting.places import Places

pytestmark = pytest.mark.anyio


def places(size: int = 2, *, patience: float = 5, most_waiting: int = 100) -> Places:
    return Places(size, patience=patience, most_waiting=most_waiting)


async def waits(task: asyncio.Task[None]) -> bool:
    for _ in range(3):
        await asyncio.sleep(0)
    return not task.done()


async def test_a_service_that_holds_all_places_cannot_keep_another_from_its_first() -> None:
    some = places()
    await some.take(0, "slow")
    await some.take(0, "slow")

    third = asyncio.create_task(some.take(0, "slow"))
    await asyncio.wait_for(some.take(0, "quick"), 1)

    assert await waits(third)
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)


async def test_a_free_place_goes_to_the_service_that_has_the_fewest() -> None:
    some = places()
    order: list[str] = []

    async def take(owner: str) -> None:
        await some.take(0, owner)
        order.append(owner)

    await some.take(0, "a")
    await some.take(0, "a")
    await some.take(0, "b")
    await some.take(0, "c")  # places for those who had none
    waiting = [asyncio.create_task(take(owner)) for owner in ("a", "a", "b", "c")]
    await asyncio.sleep(0)
    for owner in ("b", "c", "a", "a", "b", "c"):
        some.give(0, owner)
    await asyncio.gather(*waiting)

    assert order[:2] == ["b", "c"]
    assert sorted(order) == ["a", "a", "b", "c"]


async def test_there_are_at_most_as_many_places_again_for_services_that_have_none() -> None:
    some = places()
    for owner in ("a", "b", "c", "d"):
        await asyncio.wait_for(some.take(0, owner), 1)

    fifth = asyncio.create_task(some.take(0, "e"))

    assert await waits(fifth)
    some.give(0, "a")
    await asyncio.wait_for(fifth, 1)


async def test_depths_have_places_of_their_own() -> None:
    some = places(1)
    await some.take(0, "a")

    await asyncio.wait_for(some.take(1, "a"), 1)


async def test_who_waits_too_long_is_refused_and_told_when_to_come_back() -> None:
    some = places(1, patience=0.01)
    await some.take(0, "a")

    with pytest.raises(ScriptsBusy) as caught:
        await some.take(0, "a")

    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert some.waiting == 0
    some.give(0, "a")
    await some.take(0, "a")


async def test_one_more_than_may_wait_is_refused_at_once() -> None:
    some = places(1, most_waiting=2)
    await some.take(0, "a")
    some.give(0, "a", seconds=100)  # so runs take long here
    await some.take(0, "a")
    waiting = [asyncio.create_task(some.take(0, "a")) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(ScriptsBusy) as caught:
        await some.take(0, "a")

    assert int(caught.value.headers["Retry-After"]) > 10
    assert some.refused == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert some.waiting == 0


async def test_a_place_given_to_who_has_just_been_cancelled_is_not_lost() -> None:
    some = places(1)
    await some.take(0, "a")
    waiting = asyncio.create_task(some.take(0, "a"))
    await asyncio.sleep(0)

    some.give(0, "a")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await asyncio.wait_for(some.take(0, "a"), 1)
