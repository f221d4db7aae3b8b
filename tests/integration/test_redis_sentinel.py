"""A Redis that is found through Sentinel, and a fail-over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.jobs.address import parse_address
from reverie.jobs.transports.redis import RedisBroker
from tests.integration.test_redis_broker import Ear, broker, listening, until
from tests.redis_server import SERVICE, RedisServer, url_of, watched_redis

pytestmark = pytest.mark.anyio


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    with watched_redis(tmp_path) as servers:
        yield servers


async def test_after_a_fail_over_the_new_master_wakes(watched: tuple[RedisServer, RedisServer, RedisServer]) -> None:
    master, replica, sentinel = watched
    dead = RedisServer(Path("never-started"))
    url = url_of(dead, sentinel)
    async with listening(url) as ear, broker(url) as teller:
        teller.tell("default")
        await until(lambda: ear.times == 1)
        assert master.listeners(teller.channel) == 1
        master.kill()

        teller.tell("default")
        await until(lambda: replica.listeners(teller.channel) == 1, 60)
        await until(lambda: not teller.away, 20)
        assert ear.times >= 2
        heard = ear.times
        teller.tell("default")
        await until(lambda: ear.times > heard)
        assert [finding.level for finding in await teller.examine()] == ["ok"] * 3


async def test_sentinels_that_lead_nowhere_are_named(watched: tuple[RedisServer, RedisServer, RedisServer]) -> None:
    _, _, sentinel = watched
    dead = RedisServer(Path("never-started"))
    opened = RedisBroker("redis", parse_address(url_of(dead, sentinel).replace(SERVICE, "another")))
    await opened.listen(None, Ear())

    [finding] = await opened.examine()
    await opened.close()

    assert "no Sentinel leads to a master of 'another'" in finding.message
    assert f"127.0.0.1:{sentinel.port}: it does not know the service" in finding.message
    assert f"127.0.0.1:{dead.port}" in finding.message
