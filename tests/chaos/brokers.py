"""The broker is cut off, flushed, killed, full: D8, D14, D15. Where there is none, its part are sockets in a folder."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.chaos.proxy import proxy
from tests.chaos.scenarios import scenario
from tests.chaos.stage import Stage
from tests.redis_server import url_of, watched_redis

ON_REDIS: Final = ("sqlite+redis", "postgresql+redis")


@scenario(
    "D8", "workers are cut off from the broker", "20 jobs/s meanwhile, full rate 15 s after it heals", pairs=ON_REDIS
)
async def d8(stage: Stage) -> None:
    """Both workers are on hosts of their own, so that only the broker, and looking, can tell them of jobs."""
    redis = stage.ground.redis
    assert redis is not None
    with proxy(redis.port) as between:
        far = replace(stage.place, redis=f"redis://127.0.0.1:{between.port}")
        for name in ("one", "two"):
            await stage.host(name, place=far, concurrency=8)
        between.set("blackhole")
        seconds = 300.0 if stage.full else 15.0
        began = time.monotonic()
        await stage.offer(40, seconds)
        stage.figure("rate while cut off", len(stage.seen("end")) / (time.monotonic() - began), "/s", least=20.0)
        between.set("pass")
        healed = time.time()
        while time.time() - healed < 15.0 and await waits(stage, far) > 0.1:
            pass
        stage.figure("quick again after", time.time() - healed, most=15.0)
        stage.figure("drained", await stage.drained(), most=15.0)


async def waits(stage: Stage, _: object) -> float:
    """Seconds until a single job begins."""
    await asyncio.sleep(0.3)
    pushed = time.time()
    ids = await stage.push(1, seconds=0.0)
    await stage.begun(ids)
    return next(one.at for one in stage.seen() if one.job == ids[0]) - pushed


@scenario("D14", "the broker forgets everything, with 10,000 jobs waiting", "0 lost, all found within 60 s", quick=True)
async def d14(stage: Stage) -> None:
    """Redis is flushed, killed, and started empty; without it, the sockets and locks of the wake folder are deleted."""
    hosts = [await stage.host(concurrency=8), await stage.host(concurrency=8)]
    count = stage.count(10_000)
    half = await stage.push(count // 2, seconds=0.001)
    redis = stage.ground.redis
    if redis is not None:
        await asyncio.to_thread(redis.cli, "FLUSHALL")
        await asyncio.to_thread(redis.kill)
    shutil.rmtree(Path(stage.place.folder) / "wake")
    forgot = time.monotonic()
    await stage.push(count - len(half), seconds=0.001)
    if redis is not None:
        await asyncio.to_thread(redis.start)
    await stage.drained(60)
    stage.figure("all done after", time.monotonic() - forgot, most=60.0)
    stage.figure("workers that live", sum(host.lives for host in hosts), "n", least=2)


@scenario(
    "D15",
    "Redis is full, then killed, its data gone; then Sentinel fails over",
    "accepted with a warning, 0 lost, resumed within 15 s",
    pairs=ON_REDIS,
)
async def d15(stage: Stage) -> None:
    """maxmemory, AOF off, kill -9; and a master that is killed while jobs come in, which Sentinel replaces."""
    redis = stage.ground.redis
    assert redis is not None
    host = await stage.host("one", concurrency=4)
    await asyncio.to_thread(redis.cli, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await asyncio.to_thread(redis.cli, "CONFIG", "SET", "maxmemory", "1")
    await stage.push(stage.count(500))
    stage.figure("drained with no memory left", await stage.drained(), most=15.0)
    await asyncio.to_thread(redis.kill)
    await stage.push(stage.count(500))
    stage.figure("drained with no Redis", await stage.drained(), most=30.0)
    await asyncio.to_thread(redis.start)
    back = time.time()
    while time.time() - back < 15.0 and await waits(stage, None) > 0.1:
        pass
    stage.figure("quick again after", time.time() - back, most=15.0)
    await stage.drained()
    await host.kill()
    await fail_over(stage)


async def fail_over(stage: Stage) -> None:
    with watched_redis(stage.folder / "watched") as (master, replica, sentinel):
        far = replace(stage.place, redis=url_of(sentinel))
        host = await stage.host("two", place=far, concurrency=4)
        async with stage.seen_from(far):
            await stage.push(stage.count(100))
            await stage.drained()
            load = asyncio.create_task(stage.offer(20, 10))
            await asyncio.sleep(1)
            await asyncio.to_thread(master.kill)
            killed = time.time()
            stage.figure("refused at a fail-over", len(await load), "n", most=0)
            while time.time() - killed < 30.0 and await waits(stage, far) > 0.1:
                pass
            # The offer itself goes on for 9 s after the kill, and only then is it looked.
            stage.figure("quick again after a fail-over", time.time() - killed, most=15.0)
            stage.figure("the replica leads", float("role:master" in replica.cli("INFO", "replication")), "n", least=1)
            await stage.drained()
            stage.figure("workers that live", float(host.lives), "n", least=1)
