"""What the keeper of leases knows without asking the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.jobs.scene import draft, push, sqlite_queue, until

from reverie.clock import SystemClock
from reverie.jobs.leases import LeaseKeeper, real_time
from reverie.jobs.ledger import Lease
from reverie.jobs.queue import Queue
from reverie.jobs.settle import lease_of
from reverie.model import Job

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    async with sqlite_queue(tmp_path, SystemClock()) as opened:
        yield opened


async def claimed(queue: Queue, lease: float) -> Job:
    await push(queue, draft())
    [job] = await queue.claim(worker="w", lease=lease)
    return job


def keeper(queue: Queue, lost: list[Lease], *, lease: float) -> LeaseKeeper:
    return LeaseKeeper(queue.ledger, "w", on_lost=lost.append, lease=lease, renew_every=lease / 3, look_every=0.02)


async def test_a_lease_is_held_until_its_time_is_over_whatever_the_store_says(queue: Queue) -> None:
    kept = keeper(queue, [], lease=30)
    lease = Lease("job", 1)

    assert not kept.holds(lease)
    kept.hold(lease, since=real_time() - 29)
    assert kept.holds(lease)
    kept.hold(lease, since=real_time() - 31)
    assert not kept.holds(lease)


async def test_a_renewal_in_time_makes_it_hold_on(queue: Queue) -> None:
    lease = lease_of(await claimed(queue, 0.3))
    kept = keeper(queue, [], lease=0.3)
    kept.hold(lease)
    kept.start()
    try:
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert kept.holds(lease)
    finally:
        await asyncio.to_thread(kept.close)


async def test_a_cancelled_job_is_held_no_longer_and_told_once(queue: Queue) -> None:
    job = await claimed(queue, 30)
    lost: list[Lease] = []
    kept = keeper(queue, lost, lease=30)
    kept.hold(lease_of(job))
    kept.start()

    async def told() -> bool:
        return bool(lost)

    try:
        await queue.cancel([job.id])
        await until(told)
        await asyncio.sleep(0.1)
        assert not kept.holds(lease_of(job))
        assert lost == [lease_of(job)]
    finally:
        await asyncio.to_thread(kept.close)
