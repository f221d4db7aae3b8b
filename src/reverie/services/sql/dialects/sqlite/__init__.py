"""SQLite: one file per service."""

from reverie.services.sql.dialects.sqlite.dialect import SqliteDialect

__all__ = ["SqliteDialect"]
