"""The bell that a worker waits for."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.jobs.scene import MovingClock

from reverie.jobs.bell import Bell

pytestmark = pytest.mark.anyio


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_is_woken_by_a_ring_and_told_so() -> None:
    bell = Bell(MovingClock())
    waiting = asyncio.create_task(bell.within(100))
    await turns()
    assert not waiting.done()

    bell.ring()

    assert await asyncio.wait_for(waiting, 1)


async def test_a_wait_ends_when_its_time_is_over() -> None:
    clock = MovingClock()
    bell = Bell(clock)
    waiting = asyncio.create_task(bell.within(100))
    await turns()

    clock.move(100)

    assert not await asyncio.wait_for(waiting, 1)


async def test_a_ring_before_the_wait_counts_until_it_is_hushed() -> None:
    bell = Bell(MovingClock())
    bell.ring()
    assert await asyncio.wait_for(bell.within(100), 1)

    bell.hush()
    waiting = asyncio.create_task(bell.within(100))
    await turns()

    assert not waiting.done()
    bell.ring()
    await waiting


async def test_the_end_of_one_wait_does_not_end_the_next() -> None:
    clock = MovingClock()
    bell = Bell(clock)
    first = asyncio.create_task(bell.within(100))
    await turns()
    bell.ring()
    await first
    bell.hush()

    second = asyncio.create_task(bell.within(100))  # while the clock of the first is being put away
    await turns()

    assert not second.done()
    bell.ring()
    await second
