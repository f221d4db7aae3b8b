"""The store's database, by the kind that the settings name. A driver is imported when it is needed."""

from __future__ import annotations

from reverie.database import Database
from reverie.errors import SettingsError
from reverie.sqlite import SqliteDatabase
from reverie.store.address import StoreAddress


def open_database(address: StoreAddress, *, synchronous: str = "full") -> Database:
    """Nothing is asked of a server yet.

    Args:
        synchronous: of a SQLite file, ``full`` or ``normal``; a server has its own setting.

    Raises:
        SettingsError: the library for this kind is not installed; the message says how to get it.
    """
    if address.server is None:
        return SqliteDatabase(address.path, synchronous=synchronous)
    try:
        from reverie.postgresql.database import PostgresqlDatabase
    except ModuleNotFoundError as error:
        raise missing_library() from error
    return PostgresqlDatabase(address.server)


def missing_library() -> SettingsError:
    return SettingsError(["a store on PostgreSQL needs the library asyncpg: pip install 'reverie[postgresql]'"])
