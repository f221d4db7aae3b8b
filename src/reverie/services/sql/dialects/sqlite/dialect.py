"""`Dialect` for SQLite files."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.dialects import sqlite as sqlalchemy_sqlite
from sqlalchemy.engine import Dialect as SqlAlchemyDialect

from reverie.database import Connection, Database, DatabaseError, Value
from reverie.errors import BadRequest, NotSupported, Unavailable
from reverie.model import JSON, is_true
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.definitions import Spelling, add_column, change_of, change_unique, create_table, quoted
from reverie.services.sql.dialect import Step, ToClient, Writes
from reverie.services.sql.dialects.sqlite.catalogue import read_catalogue
from reverie.services.sql.dialects.sqlite.rebuilding import change_column
from reverie.services.sql.routines import RoutineBook
from reverie.services.sql.timeouts import timeout_of
from reverie.sqlite import SqliteDatabase
from reverie.store.records import ServiceRecord

CONFIG_FIELDS: Final[tuple[Mapping[str, JSON], ...]] = (
    {
        "name": "database", "label": "Database", "type": "string", "required": True, "allow_null": False,
        "description": "Path of the SQLite file; a relative one begins in the data folder. Made when it is missing.",
    },
    {
        "name": "statement_timeout", "label": "Statement Timeout", "type": "integer", "default": 30, "allow_null": True,
        "description": "Seconds that the statements of one read may take.",
    },
    {
        "name": "max_records", "label": "Maximum Records", "type": "integer", "default": 1000, "allow_null": True,
        "description": "Most records that one answer holds.",
    },
    {
        "name": "read_only", "label": "Read Only", "type": "boolean", "default": False, "allow_null": False,
        "description": "Nothing can be written or created through this service.",
    },
    {
        "name": "allow_upsert", "label": "Allow Upsert", "type": "boolean", "default": False, "allow_null": False,
        "description": "PUT and PATCH of an id that does not exist create the record.",
    },
)  # fmt: skip


SPELLING: Final = Spelling(
    database="SQLite",
    types={
        "text": "text", "longtext": "text", "mediumtext": "text", "integer": "integer", "int": "integer",
        "smallint": "smallint", "mediumint": "mediumint", "bigint": "bigint", "tinyint": "tinyint",
        "boolean": "tinyint(1)", "bool": "tinyint(1)", "float": "float", "double": "double", "money": "decimal(19,4)",
        "date": "date", "time": "time", "datetime": "datetime", "timestamp": "timestamp", "timestamptz": "timestamp",
        "timestamp_on_create": "timestamp", "timestamp_on_update": "timestamp", "user_id": "integer",
        "user_id_on_create": "integer", "user_id_on_update": "integer", "binary": "blob", "uuid": "uuid",
        "json": "json",
    },
    identity="integer NOT NULL PRIMARY KEY AUTOINCREMENT",
    counted="integer NOT NULL",
    counting=" AUTOINCREMENT",
    national=("nvarchar", "nchar"),
)  # fmt: skip


class SqliteDialect:
    """`Dialect` for SQLite files. Relative paths begin in *folder*."""

    name = "sqlite"
    service_type = "sqlite"
    config_fields: Sequence[Mapping[str, JSON]] = CONFIG_FIELDS
    writes: Writes | None = None
    routines: RoutineBook | None = None
    explain = "EXPLAIN QUERY PLAN "

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.compiler: SqlAlchemyDialect = sqlalchemy_sqlite.dialect(paramstyle="qmark")

    def open(self, record: ServiceRecord) -> Database:
        path = record.config.get("database")
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise BadRequest(f"Service '{record.name}' needs the setting 'database': the path of an SQLite file.")
        read_only, within = is_true(record.config.get("read_only")), timeout_of(record)
        try:
            return SqliteDatabase(self._folder / path, read_only=read_only, within=within)
        except DatabaseError as error:
            raise Unavailable(f"The SQLite file of service '{record.name}' cannot be opened.") from error

    async def version(self, connection: Connection) -> int:
        found = (await connection.fetch("PRAGMA schema_version"))[0][0]
        return found if isinstance(found, int) else 0

    async def reflect(self, connection: Connection) -> Catalogue:
        return await read_catalogue(connection, await self.version(connection))

    def to_client(self, column: Column) -> ToClient | None:
        if column.type == "boolean":
            return _boolean
        if column.type == "binary":
            return _base64
        # The affinity of numeric columns has made numbers of all texts that spell one; dates are texts.
        # Any column of SQLite may hold bytes, but only those without a type are likely to.
        return _base64 if not column.db_type else None

    def create_table(self, name: str, fields: Sequence[Mapping[str, JSON]]) -> list[str]:
        return create_table(SPELLING, name, fields)

    def add_column(self, table: str, field: Mapping[str, JSON]) -> list[str]:
        return add_column(SPELLING, table, field)

    def change_column(
        self, table: str, column: Column, field: Mapping[str, JSON], changed: Collection[str]
    ) -> Sequence[Step]:
        change = change_of(SPELLING, column, field, changed, inline=True)
        if column.is_primary_key and change.type == "integer":
            raise NotSupported(f"The key '{column.real_name}' would begin to count itself: its type cannot be changed.")
        return [partial(change_column, table=table, column=column.real_name, change=change)]

    def change_unique(self, table: Table, column: Column, *, unique: bool) -> list[str]:
        return change_unique(table, column, unique=unique)

    def drop_column(self, table: Table, column: str) -> list[str]:
        return [f"ALTER TABLE {quoted(table.name)} DROP COLUMN {quoted(column)}"]

    def drop_table(self, table: str) -> list[str]:
        return [f"DROP TABLE {quoted(table)}"]


# -- stored values → JSON


def _boolean(value: Value | JSON) -> JSON:
    return value != 0 if isinstance(value, int | float) else is_true(str(value))


def _base64(value: Value | JSON) -> JSON:
    if isinstance(value, str):
        value = value.encode()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
