from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from reverie.postgresql.database import PostgresqlDatabase
from tests.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be stopped; the session's own goes on."""
    with postgres_server() as started:
        yield started


@pytest.fixture
def name(server: PostgresServer) -> str:
    return server.new_database()


@pytest.fixture
async def database(server: PostgresServer, name: str) -> AsyncIterator[PostgresqlDatabase]:
    database = PostgresqlDatabase(server.url(name))
    yield database
    await database.close()
