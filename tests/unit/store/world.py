"""A real store in a folder of its own, a clock that tests move, and the records that most tests want."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Table, insert

from reverie.database import Connection, Value
from reverie.model import Access
from reverie.sealing import Sealer
from reverie.store import tables
from reverie.store.address import StoreAddress
from reverie.store.lookups import seal_value
from reverie.store.migrate import migrate
from reverie.store.opening import open_database
from reverie.store.store import Store
from tests.postgres import database_url

SECRET = "a secret of more than thirty-two characters"
NOON = 1_714_644_000.0  # 2024-05-02 10:00:00 UTC
STAMPS: dict[str, Value] = {"created_date": "2024-05-02 10:00:00", "last_modified_date": "2024-05-02 10:00:00"}


class MovableClock:
    """`Clock` that stands still until a test moves it."""

    def __init__(self, moment: float = NOON) -> None:
        self.moment = moment

    def now(self) -> float:
        return self.moment

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds


class World:
    """A store with short ways to put records into it."""

    def __init__(self, address: StoreAddress, clock: MovableClock) -> None:
        self.address = address
        self.clock = clock
        self.store = Store(open_database(address), Sealer(SECRET), clock)

    def other_process(self) -> World:
        """The same database through connections of its own, as another process would have."""
        return World(self.address, self.clock)

    async def put(self, table: Table, **values: Any) -> int:
        """Insert one record; its id."""
        stamps = STAMPS if "created_date" in table.c else {}
        statement = insert(table).values(**stamps, **values)

        async def work(connection: Connection) -> int:
            if "id" not in table.c:
                return await self.store.execute(statement, connection)
            return cast("int", await self.store.scalar(statement.returning(table.c.id), connection))

        return await self.store.write(work)

    async def change(self, statement: Any) -> int:
        async def work(connection: Connection) -> int:
            return await self.store.execute(statement, connection)

        return await self.store.write(work)

    async def user(self, email: str, password: str | None = None, **values: Any) -> int:
        return await self.put(tables.user, name=email.split("@")[0], email=email, password=password, **values)

    async def service(self, name: str, **values: Any) -> int:
        return await self.put(
            tables.service, **{"name": name, "label": name, "type": "sqlite", "is_active": True, **values}
        )

    async def role(self, name: str, *rows: dict[str, Any], is_active: bool = True) -> int:
        """A role whose rows allow everything to everybody unless they say otherwise."""
        role_id = await self.put(tables.role, name=name, is_active=is_active)
        for row in rows:
            await self.put(
                tables.role_service_access, **{"role_id": role_id, "verb_mask": 31, "requestor_mask": 3, **row}
            )
        return role_id

    async def app(self, name: str, key: str, role_id: int | None = None, *, is_active: bool = True) -> int:
        return await self.put(tables.app, name=name, api_key=key, role_id=role_id, is_active=is_active)

    async def lookup(self, name: str, value: str, *, private: bool = False, **owner: int) -> int:
        kept = seal_value(self.store.sealer, value) if private else value
        return await self.put(tables.lookup, name=name, value=kept, private=private, **owner)

    async def event_script(self, name: str, **values: Any) -> int:
        return await self.put(
            tables.event_script,
            **{"name": name, "lower_name": name.lower(), "type": "v8js", "content": "", "is_active": True, **values},
        )

    async def close(self) -> None:
        await self.store.database.close()


@contextmanager
def new_store(kind: str, folder: Path) -> Iterator[StoreAddress]:
    """A store of this version, on ``sqlite`` or ``postgresql``; nothing is left of it afterwards."""
    if kind == "sqlite":
        address = StoreAddress(file=folder / "store.db")
        migrate(address)
        yield address
    else:
        with database_url() as url:
            yield StoreAddress.parse(url)


@asynccontextmanager
async def new_world(folder: Path, kind: str = "sqlite") -> AsyncIterator[World]:
    with new_store(kind, folder) as address:
        world = World(address, MovableClock())
        try:
            yield world
        finally:
            await world.close()


def access(
    component: str,
    *,
    service: str | None = "db",
    verbs: int = 31,
    requestors: int = 3,
    filters: Sequence[dict[str, Any]] = (),
    filter_op: str = "AND",
) -> Access:
    return Access(
        id=1,
        role_id=1,
        service_id=None if service is None else 1,
        service=service,
        component=component,
        verb_mask=verbs,
        requestor_mask=requestors,
        filters=tuple(filters),
        filter_op=filter_op,
    )
