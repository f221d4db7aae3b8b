"""The interface: what differs between databases. Drivers in `dialects`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from sqlalchemy.engine import Dialect as SqlAlchemyDialect

from reverie.database import Connection, Database, Row, Value
from reverie.model import JSON
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.routines import RoutineBook
from reverie.services.sql.statements import Shape, Statements
from reverie.store.records import ServiceRecord

ToClient: TypeAlias = "Callable[[Value | JSON], JSON]"
Step: TypeAlias = "str | Callable[[Connection], Awaitable[None]]"
"""Of a change of the schema: a statement, or what is done with the table at hand, in a unit that may make it anew."""
Writes: TypeAlias = "Callable[[Connection, Statements, Shape, Sequence[Value]], Awaitable[list[Row]]]"


class Dialect(Protocol):
    """What a database does in its own way. Holds no state of a service.

    Attributes:
        name: SQLAlchemy's name of the dialect.
        compiler: compiles statements, in the driver's placeholder style.
        service_type: the stored `type` of its services.
        config_fields: description of its settings for `system/service_type`.
        writes: runs a write and answers what RETURNING would; None where the database has RETURNING itself.
        routines: its procedures and functions; None where it has none.
        explain: what stands before a statement to have its plan told: as JSON in one row, or as rows.
    """

    name: str
    compiler: SqlAlchemyDialect
    service_type: str
    config_fields: Sequence[Mapping[str, JSON]]
    writes: Writes | None
    routines: RoutineBook | None
    explain: str

    def open(self, record: ServiceRecord) -> Database:
        """Connect to what the service's settings name.

        Raises:
            BadRequest: a setting is missing or wrong; says which.
            Unavailable: it cannot be opened.
        """
        ...

    async def version(self, connection: Connection) -> int:
        """A number that differs after any change of the schema. Cheap."""
        ...

    async def reflect(self, connection: Connection) -> Catalogue: ...

    def to_client(self, column: Column) -> ToClient | None:
        """How a stored value of the column becomes JSON; None where it already is. Never asked about null."""
        ...

    def create_table(self, name: str, fields: Sequence[Mapping[str, JSON]]) -> list[str]:
        """Statements that create the table. Field properties are those of `_schema`, keys in lower case.

        Raises:
            BadRequest: a property does not make sense; says which.
            NotSupported: names the property that this database cannot have.
        """
        ...

    def add_column(self, table: str, field: Mapping[str, JSON]) -> list[str]:
        """Statements that add a column; raises like `create_table`."""
        ...

    def change_column(
        self, table: str, column: Column, field: Mapping[str, JSON], changed: Collection[str]
    ) -> Sequence[Step]:
        """Steps after which the properties in *changed* are as *field* gives them; raises like `create_table`."""
        ...

    def change_unique(self, table: Table, column: Column, *, unique: bool) -> list[str]:
        """Statements after which the values of a column are *unique*, or need not be. Raises NotSupported."""
        ...

    def drop_column(self, table: Table, column: str) -> list[str]:
        """Statements that drop a column, with the foreign keys that it alone makes up."""
        ...

    def drop_table(self, table: str) -> list[str]: ...
