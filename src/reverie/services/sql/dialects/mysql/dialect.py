"""`Dialect` for MySQL and MariaDB."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy.dialects.mysql import asyncmy as sqlalchemy_asyncmy
from sqlalchemy.engine import Dialect as SqlAlchemyDialect

from reverie.database import Connection, Database, Value
from reverie.errors import NotSupported
from reverie.model import JSON, is_true
from reverie.mysql.database import MysqlDatabase
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.definitions import (
    Spelling,
    add_column,
    change_of,
    change_unique,
    create_table,
    literal,
    quoted,
)
from reverie.services.sql.dialect import ToClient, Writes
from reverie.services.sql.dialects.mysql.catalogue import read_catalogue, read_version
from reverie.services.sql.dialects.mysql.routines import MysqlRoutines
from reverie.services.sql.dialects.mysql.settings import CONFIG_FIELDS, address_of, session_of
from reverie.services.sql.dialects.mysql.writing import write
from reverie.services.sql.routines import RoutineBook
from reverie.services.sql.timeouts import timeout_of
from reverie.store.records import ServiceRecord

SPELLING: Final = Spelling(
    database="MySQL",
    types={
        "text": "text", "longtext": "longtext", "mediumtext": "mediumtext", "integer": "integer", "int": "integer",
        "smallint": "smallint", "mediumint": "mediumint", "bigint": "bigint", "tinyint": "tinyint",
        "boolean": "tinyint(1)", "bool": "tinyint(1)", "float": "float", "double": "double", "money": "decimal(19,4)",
        "date": "date", "time": "time", "datetime": "datetime", "timestamp": "timestamp", "timestamptz": "timestamp",
        "timestamp_on_create": "timestamp", "timestamp_on_update": "timestamp", "user_id": "integer",
        "user_id_on_create": "integer", "user_id_on_update": "integer", "binary": "varbinary(255)", "uuid": "uuid",
        "json": "json",
    },
    identity="integer NOT NULL AUTO_INCREMENT PRIMARY KEY",
    counted="integer NOT NULL",
    counting=" AUTO_INCREMENT",
    national=("nvarchar", "nchar"),
    escapes=True,
    constrains=True,
    touching=" ON UPDATE CURRENT_TIMESTAMP",
)  # fmt: skip


class MysqlDialect:
    """`Dialect` for MySQL 8 and MariaDB 10.5 and later."""

    name = "mysql"
    service_type = "mysql"
    config_fields: Sequence[Mapping[str, JSON]] = CONFIG_FIELDS
    explain = "EXPLAIN "  # as rows: MariaDB does not escape quotes in its JSON
    writes: Writes | None = staticmethod(write)
    routines: RoutineBook | None = MysqlRoutines()

    def __init__(self) -> None:
        self.compiler: SqlAlchemyDialect = sqlalchemy_asyncmy.dialect(paramstyle="format")

    def open(self, record: ServiceRecord) -> Database:
        address = address_of(record)
        return MysqlDatabase(
            address,
            settings=session_of(record, address),
            # The server ends a statement first, and says so.
            within=timeout_of(record) + 1,
            read_only=is_true(record.config.get("read_only")),
        )

    async def version(self, connection: Connection) -> int:
        return await read_version(connection)

    async def reflect(self, connection: Connection) -> Catalogue:
        return await read_catalogue(connection)

    def to_client(self, column: Column) -> ToClient | None:
        if column.type == "boolean":
            return _boolean
        return _base64 if column.type == "binary" else None

    def create_table(self, name: str, fields: Sequence[Mapping[str, JSON]]) -> list[str]:
        return _sent(create_table(SPELLING, name, fields))

    def add_column(self, table: str, field: Mapping[str, JSON]) -> list[str]:
        return _sent(add_column(SPELLING, table, field))

    def change_column(
        self, table: str, column: Column, field: Mapping[str, JSON], changed: Collection[str]
    ) -> list[str]:
        change, name = change_of(SPELLING, column, field, changed), quoted(column.real_name)
        where = f"ALTER TABLE {quoted(table)}"
        added = [f"{where} ADD {change.reference}"] if change.reference else []
        if change.type is None and change.allow_null is None:
            if change.default is not None:
                added.insert(0, f"{where} ALTER COLUMN {name} SET DEFAULT {change.default}")
            return _sent(added)
        if column.auto_increment or column.generated:
            raise NotSupported(f"Field '{column.real_name}' counts itself or is computed: it cannot be changed.")
        # A column is defined anew: what is not said again is gone.
        allow_null = column.allow_null if change.allow_null is None else change.allow_null
        default = change.default or _default_of(column)
        words = [change.type or column.db_type, "NULL" if allow_null else "NOT NULL"]
        words += [f"DEFAULT {default}"] if default else []
        return _sent([f"{where} MODIFY COLUMN {name} {' '.join(words)}", *added])

    def change_unique(self, table: Table, column: Column, *, unique: bool) -> list[str]:
        return _sent(change_unique(table, column, unique=unique, named_on=True))

    def drop_column(self, table: Table, column: str) -> list[str]:
        own = [key.name for key in table.foreign_keys if key.columns == (column,)]
        keys = "".join(f"DROP FOREIGN KEY {quoted(name)}, " for name in own)
        return _sent([f"ALTER TABLE {quoted(table.name)} {keys}DROP COLUMN {quoted(column)}"])

    def drop_table(self, table: str) -> list[str]:
        return _sent([f"DROP TABLE {quoted(table)}"])


def _sent(statements: Sequence[str]) -> list[str]:
    """As the driver takes them: it puts values where a percent sign stands alone."""
    return [statement.replace("%", "%%") for statement in statements]


def _default_of(column: Column) -> str | None:
    """As it is in the catalogue, in the words of a definition."""
    if isinstance(column.default, dict):
        return str(column.default["expression"])
    return None if column.default is None else literal(SPELLING, column.real_name, column.default)


# -- stored values → JSON


def _boolean(value: Value | JSON) -> JSON:
    return value not in (0, None, "0", b"\0")


def _base64(value: Value | JSON) -> JSON:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
