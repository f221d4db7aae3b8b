"""Records that hang on a record: read with ``related``, written inside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import ColumnElement, Table, and_, delete, insert, select, update

from reverie.database import Connection, Value
from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.system.fields import Field, accept, shown, stored
from reverie.store.store import Store

Row: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, and when; for the stamps of records."""

    user_id: int | None
    now: str

    def created(self) -> dict[str, Value]:
        return {
            "created_date": self.now,
            "last_modified_date": self.now,
            "created_by_id": self.user_id,
            "last_modified_by_id": None,
        }

    def changed(self) -> dict[str, Value]:
        return {"last_modified_date": self.now, "last_modified_by_id": self.user_id}


def stamped(table: Table, stamps: Mapping[str, Value]) -> dict[str, Value]:
    """The stamps that *table* has columns for."""
    return {name: value for name, value in stamps.items() if name in table.c}


class Relation(Protocol):
    """Records of another table that belong to a record, under the name `name`."""

    @property
    def name(self) -> str: ...

    async def read(self, store: Store, rows: Sequence[Row], connection: Connection | None) -> list[JSON]:
        """What each of *rows* shows, in their order."""
        ...

    async def write(self, store: Store, connection: Connection, owner: Value, sent: JSON, author: Author) -> None:
        """Take what a client sent inside the record. Raises BadRequest."""
        ...


@dataclass(frozen=True, kw_only=True)
class HasMany:
    """Rows of *table* whose *column* names the record.

    An item without id is created, one with id changed, one with id and a null *column* deleted, one with another
    *column* moved; rows that are not mentioned stay.
    """

    name: str
    table: Table
    column: str
    fields: tuple[Field, ...]
    where: ColumnElement[bool] | None = None

    async def read(self, store: Store, rows: Sequence[Row], connection: Connection | None) -> list[JSON]:
        owners = [row["id"] for row in rows]
        query = select(self.table).where(self.table.c[self.column].in_(owners)).order_by(self.table.c.id)
        if self.where is not None:
            query = query.where(self.where)
        found: dict[Value, list[JSON]] = defaultdict(list)
        for row in await store.fetch(query, connection) if owners else []:
            found[row[self.column]].append(self.show(row))
        return [found[owner] for owner in owners]

    def show(self, row: Row) -> dict[str, JSON]:
        return shown(self.fields, row)

    async def write(self, store: Store, connection: Connection, owner: Value, sent: JSON, author: Author) -> None:
        if sent is None:
            return
        if not isinstance(sent, list):
            raise BadRequest(f"'{self.name}' must be a list of records.")
        for item in sent:
            if not isinstance(item, dict):
                raise BadRequest(f"'{self.name}' must be a list of records.")
            if item.get("id") is None:
                await self.create(store, connection, owner, item, author)
            else:
                await self.change(store, connection, owner, item, author)

    async def create(
        self, store: Store, connection: Connection, owner: Value, item: Mapping[str, JSON], author: Author
    ) -> None:
        sent = {**accept(self.fields, item, creating=True), self.column: _own(owner)}
        values = await self.values(store, connection, sent, None)
        await store.execute(insert(self.table).values(**values, **stamped(self.table, author.created())), connection)

    async def change(
        self, store: Store, connection: Connection, owner: Value, item: Mapping[str, JSON], author: Author
    ) -> None:
        row = await self.current(store, connection, owner, item["id"])
        same_row = self.table.c.id == row["id"]
        if self.column in item and item[self.column] is None:
            await store.execute(delete(self.table).where(same_row), connection)
            return
        sent = accept(self.fields, item, creating=False)
        values = await self.values(store, connection, {self.column: _own(owner), **sent}, row)
        changed = {**values, **stamped(self.table, author.changed())}
        await store.execute(update(self.table).where(same_row).values(**changed), connection)

    async def current(self, store: Store, connection: Connection, owner: Value, identifier: JSON) -> Row:
        """The owner's row with that id. Raises BadRequest: it is not there, or another record's."""
        row: Row | None = None
        if isinstance(identifier, int | str) and str(identifier).isdigit() and len(str(identifier)) < 19:
            mine = and_(self.table.c.id == int(identifier), self.table.c[self.column] == owner)
            row = await store.fetch_one(select(self.table).where(mine), connection)
        if row is None:
            raise BadRequest(f"'{self.name}' has no record with the id '{identifier}' here.")
        return row

    async def values(
        self, store: Store, connection: Connection, values: Mapping[str, JSON], row: Row | None
    ) -> dict[str, Value]:
        """What is stored of *values*; *row* is what was there before. Raises BadRequest for what must not be."""
        return stored(self.fields, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BelongsTo:
    """The one row of *table* that the record's *column* names; only read."""

    name: str
    table: Table
    column: str
    fields: tuple[Field, ...]

    async def read(self, store: Store, rows: Sequence[Row], connection: Connection | None) -> list[JSON]:
        wanted = {row[self.column] for row in rows} - {None}
        query = select(self.table).where(self.table.c.id.in_(wanted))
        found = await store.fetch(query, connection) if wanted else []
        by_id: dict[Value, JSON] = {row["id"]: shown(self.fields, row) for row in found}
        return [by_id.get(row[self.column]) for row in rows]

    async def write(self, store: Store, connection: Connection, owner: Value, sent: JSON, author: Author) -> None:
        """Nothing: the other record has an address of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """Rows of *table* reached over the rows of *link*; only read."""

    name: str
    table: Table
    link: Table
    near: str
    far: str
    fields: tuple[Field, ...]

    async def read(self, store: Store, rows: Sequence[Row], connection: Connection | None) -> list[JSON]:
        owners = [row["id"] for row in rows]
        near: ColumnElement[Any] = self.link.c[self.near]
        query = (
            select(near.label("owner_of_row"), self.table)
            .join(self.link, self.link.c[self.far] == self.table.c.id)
            .where(near.in_(owners))
            .distinct()
            .order_by(self.table.c.id)
        )
        found: dict[Value, list[JSON]] = defaultdict(list)
        for row in await store.fetch(query, connection) if owners else []:
            found[row["owner_of_row"]].append(shown(self.fields, row))
        return [found[owner] for owner in owners]

    async def write(self, store: Store, connection: Connection, owner: Value, sent: JSON, author: Author) -> None:
        """Nothing: the other records have addresses of their own."""


def _own(owner: Value) -> JSON:
    return owner if isinstance(owner, int | str) else None
