"""Batches that form by themselves."""

from __future__ import annotations

import asyncio

import pytest

from reverie.jobs.batch import Batcher

pytestmark = pytest.mark.anyio


class Flush:
    """Doubles numbers, once its gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.started.set()
        await self.gate.wait()
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 2 for item in items]


async def test_what_is_added_together_goes_together_and_each_gets_its_own_result() -> None:
    flush = Flush()
    batcher = Batcher(flush)

    assert await asyncio.gather(*(batcher.add(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert flush.batches == [[0, 1, 2, 3, 4]]


async def test_what_comes_during_a_flush_makes_the_next_batch() -> None:
    flush = Flush()
    flush.gate.clear()
    batcher = Batcher(flush)
    tasks = [asyncio.create_task(batcher.add(1))]
    await flush.started.wait()
    tasks += [asyncio.create_task(batcher.add(number)) for number in (2, 3)]
    await asyncio.sleep(0)

    flush.gate.set()

    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert flush.batches == [[1], [2, 3]]


async def test_a_batch_has_an_upper_limit() -> None:
    flush = Flush()
    batcher = Batcher(flush, most=2)

    await asyncio.gather(*(batcher.add(number) for number in range(5)))

    assert flush.batches == [[0, 1], [2, 3], [4]]


async def test_a_failed_flush_fails_its_batch_and_not_the_next() -> None:
    batcher = Batcher(Flush())

    results = await asyncio.gather(batcher.add(13), batcher.add(1), return_exceptions=True)

    assert [type(result) for result in results] == [ValueError, ValueError]
    assert await batcher.add(2) == 4


async def test_giving_up_the_wait_harms_nobody_else() -> None:
    flush = Flush()
    flush.gate.clear()
    batcher = Batcher(flush)
    impatient, patient = asyncio.create_task(batcher.add(1)), asyncio.create_task(batcher.add(2))
    await flush.started.wait()
    impatient.cancel()
    await asyncio.sleep(0)

    flush.gate.set()

    assert await patient == 4
