"""Bring the store to the newest of the numbered migrations. Alembic is imported only when there is something to do.

On SQLite Alembic runs the migrations. For PostgreSQL it writes them down as SQL, which our own driver runs, so that no
second driver is needed; a migration therefore only changes, and never reads.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, create_engine, inspect, select
from sqlalchemy import table as table_named
from sqlalchemy.engine.url import URL
from sqlalchemy.sql import column

from reverie.database import DatabaseError
from reverie.errors import SettingsError
from reverie.postgresql.address import Address
from reverie.sqlite import driver_module
from reverie.store.address import StoreAddress
from reverie.store.opening import missing_library
from reverie.store.store import Store

FOLDER: Final = Path(__file__).parent / "migrations"
PATIENCE: Final = 30.0
"""Seconds to wait for another process that migrates."""

_TABLE: Final = "alembic_version"
_NUMBER: Final = f"SELECT version_num FROM {_TABLE}"  # noqa: S608 - our own name


def newest() -> str:
    """The number of the newest migration, such as ``0002``."""
    return max(file.name[:4] for file in FOLDER.glob("[0-9][0-9][0-9][0-9]_*.py"))


def migrate(where: StoreAddress | Path | str) -> bool:
    """Apply what is missing, in one transaction; whether there was anything.

    Processes that start together are safe: the second waits, then finds nothing to do.

    Args:
        where: a SQLite file, or a URL.

    Raises:
        SettingsError: a PostgreSQL server cannot be reached, or refuses.
    """
    address = _address(where)
    if address.server is not None:
        wanted = newest()
        return _ask_server(address.server, lambda current: None if current == wanted else _written(current)) != wanted
    engine = _engine(address.file)
    try:
        with engine.connect() as connection:
            if _current(connection) == newest():
                return False
        with engine.begin() as connection:
            # Before the second look, so that nobody else migrates between that look and our change.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if _current(connection) == newest():
                return False
            _upgrade(connection)
            return True
    finally:
        engine.dispose()


def version_of(where: StoreAddress | Path | str) -> str | None:
    """The number of the last migration that was applied; None where there is no store. A missing file is not made.

    Raises:
        SettingsError: a PostgreSQL server cannot be reached, or refuses.
    """
    address = _address(where)
    if address.server is not None:
        return _ask_server(address.server, lambda current: None)
    if address.file is None or not address.file.exists():
        return None
    engine = _engine(address.file)
    try:
        with engine.connect() as connection:
            return _current(connection)
    finally:
        engine.dispose()


def is_current(where: StoreAddress | Path | str) -> bool:
    """Whether every migration was applied."""
    return version_of(where) == newest()


async def is_open_current(store: Store) -> bool:
    """Whether every migration was applied to a store that is open. Raises StoreUnavailable."""
    number: Select[Any] = select(column("version_num")).select_from(table_named(_TABLE))
    return await store.scalar(number) == newest()


def _address(where: StoreAddress | Path | str) -> StoreAddress:
    if isinstance(where, Path):
        return StoreAddress(file=where)
    return StoreAddress.parse(where) if isinstance(where, str) else where


def _ask_server(server: Address, script_after: Callable[[str | None], str | None]) -> str | None:
    """The number that the server knows, having run what follows from it; on a loop of its own, for any caller."""
    try:
        from reverie.postgresql.script import run_script
    except ModuleNotFoundError as error:
        raise missing_library() from error

    async def ask() -> str | None:
        return await run_script(server, _NUMBER, script_after)

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
            return thread.submit(asyncio.run, ask()).result()
    except DatabaseError as error:
        raise SettingsError([f"{server}: the platform's store cannot be reached there ({error})"]) from error


def _engine(file: Path | None) -> Engine:
    return create_engine(
        URL.create("sqlite+pysqlite", database=str(file)),
        module=driver_module(),
        connect_args={"timeout": PATIENCE, "isolation_level": None},
    )


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table_named(_TABLE))).scalar()


def _upgrade(connection: Connection) -> None:
    """Run the migrations that *connection* lacks."""
    from alembic.runtime.migration import MigrationContext

    _run(MigrationContext.configure(connection, opts={"fn": _steps, "transactional_ddl": True}))


def _written(current: str | None) -> str:
    """The migrations after *current*, as one script for PostgreSQL."""
    from alembic.runtime.migration import MigrationContext

    script = io.StringIO()
    options = {
        "fn": _steps,
        "as_sql": True,
        "output_buffer": script,
        "transactional_ddl": False,
        "starting_rev": current,
    }
    _run(MigrationContext.configure(dialect_name="postgresql", opts=options))
    return script.getvalue()


def _run(context: Any) -> None:
    from alembic.operations import Operations

    with Operations.context(context):
        context.run_migrations()


def _steps(revision: Any, _: Any) -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])._upgrade_revs("head", revision)
