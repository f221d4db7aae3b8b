"""The platform's own store on PostgreSQL, where SQLite would have forgiven."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from reverie.clock import SystemClock
from reverie.database import Refusal
from reverie.postgresql.database import PostgresqlDatabase
from reverie.sealing import Sealer
from reverie.store.facts import get_fact
from reverie.store.keys import uses_of_keys
from reverie.store.store import Store
from reverie.store.tables import job
from tests.integration.scene import opened
from tests.postgres import PostgresServer
from tests.unit.jobs.scene import draft, push

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(server: PostgresServer, name: str) -> AsyncIterator[Store]:
    database = PostgresqlDatabase(server.url(name))
    yield Store(database, Sealer("s" * 32), SystemClock())
    await database.close()


async def test_jobs_that_wait_are_counted_for_the_key_that_sealed_them(
    server: PostgresServer, name: str, tmp_path: Path, store: Store
) -> None:
    async with opened(server.url(name), tmp_path) as queue:
        for _ in range(3):
            await push(queue, draft())

    assert sum((await uses_of_keys(store)).live_jobs.values()) == 3


async def test_a_statement_that_the_server_refuses_is_an_error_and_no_empty_answer(store: Store) -> None:
    with pytest.raises(Refusal):
        await store.fetch(select(job.c.status, func.count()))


async def test_what_no_column_can_hold_is_found_nowhere(store: Store) -> None:
    assert await get_fact(store, "nobody\0") is None
