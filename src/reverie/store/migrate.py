"""Bring the store to the newest of the numbered migrations. Alembic is imported only when there is something to do.

On SQLite Alembic runs the migrations. For PostgreSQL it writes them down as SQL, which our own driver runs, so that no
second driver is needed; a migration therefore only changes, and never reads.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.engine.url import URL

from reverie.database import DatabaseError
from reverie.errors import SettingsError
from reverie.postgresql.address import Address
from reverie.sqlite import driver_module
from reverie.store.address import StoreAddress
from reverie.store.guard import COMPATIBLE, NONE, STATE, State, after_migrating, newest_in, state_of, trouble
from reverie.store.opening import missing_library
from reverie.store.store import Store

FOLDER: Final = Path(__file__).parent / "migrations"
PATIENCE: Final = 30.0
"""Seconds to wait for another process that migrates."""

_TABLE: Final = "alembic_version"
_STATE: Final = (
    f"SELECT version_num || ' ' || coalesce((SELECT value FROM fact WHERE name = '{COMPATIBLE}'), '')"  # noqa: S608 - ours
    f" FROM {_TABLE}"
)
"""A `State` as one text."""


def newest(folder: Path = FOLDER) -> str:
    """The number of the newest migration, such as ``0002``."""
    return newest_in(folder)


def migrate(where: StoreAddress | Path | str, *, folder: Path = FOLDER) -> bool:
    """Apply what is missing, in one transaction; whether there was anything.

    Processes that start together are safe: the second waits, then finds nothing to do.

    Args:
        where: a SQLite file, or a URL.
        folder: the migrations.

    Raises:
        SettingsError: the store is of a newer version, which this program cannot use; or a PostgreSQL server cannot be
            reached, or refuses.
    """
    address = _address(where)
    if address.server is not None:

        def script_after(answer: str | None) -> str | None:
            state = _state_in(answer)
            return None if _is_done(state, address, folder) else _written(state.number if state else None, folder)

        state = _state_in(_ask_server(address.server, script_after))
        return state is None or state.number < newest(folder)
    engine = _engine(address.file)
    try:
        with engine.connect() as connection:
            if _is_done(_state(connection), address, folder):
                return False
        with engine.begin() as connection:
            # Before the second look, so that nobody else migrates between that look and our change.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if _is_done(_state(connection), address, folder):
                return False
            _upgrade(connection, folder)
            return True
    finally:
        engine.dispose()


def is_current(where: StoreAddress | Path | str, *, folder: Path = FOLDER) -> bool:
    """Whether every migration was applied, or newer ones that leave the store usable for this program."""
    return trouble_with(where, folder=folder) is None


def trouble_with(where: StoreAddress | Path | str, *, folder: Path = FOLDER) -> str | None:
    """Why the store cannot be used; None when it can. A file that is not there is not made.

    Raises:
        SettingsError: a PostgreSQL server cannot be reached, or refuses.
    """
    return trouble(_look(_address(where)), newest(folder))


def version_of(where: StoreAddress | Path | str) -> str | None:
    """The number of the last migration that was applied; None where there is no store. Raises as `trouble_with`."""
    state = _look(_address(where))
    return None if state is None else state.number


async def trouble_with_open(store: Store) -> str | None:
    """`trouble_with` a store that is open. Raises StoreUnavailable."""
    row = await store.fetch_one(STATE)
    return NONE if row is None else trouble(state_of(row), newest())


def _look(address: StoreAddress) -> State | None:
    if address.server is not None:
        return _state_in(_ask_server(address.server, lambda answer: None))
    if address.file is None or not address.file.exists():
        return None
    engine = _engine(address.file)
    try:
        with engine.connect() as connection:
            return _state(connection)
    finally:
        engine.dispose()


def _address(where: StoreAddress | Path | str) -> StoreAddress:
    if isinstance(where, Path):
        return StoreAddress(file=where)
    return StoreAddress.parse(where) if isinstance(where, str) else where


def _ask_server(server: Address, script_after: Callable[[str | None], str | None]) -> str | None:
    """What the server says of itself, having run what follows from it; on a loop of its own, for any caller."""
    try:
        from reverie.postgresql.script import run_script
    except ModuleNotFoundError as error:
        raise missing_library() from error

    async def ask() -> str | None:
        return await run_script(server, _STATE, script_after)

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
            return thread.submit(asyncio.run, ask()).result()
    except DatabaseError as error:
        why = f"the platform's store cannot be reached there ({error}). Start the server, or mend REVERIE_DATABASE_URL"
        raise SettingsError(
            [f"{server}: {why}; accepted jobs are safe, and processes that run go on by themselves"]
        ) from error


def _engine(file: Path | None) -> Engine:
    return create_engine(
        URL.create("sqlite+pysqlite", database=str(file)),
        module=driver_module(),
        connect_args={"timeout": PATIENCE, "isolation_level": None},
    )


def _state(connection: Connection) -> State | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    row = connection.execute(STATE).first()
    return None if row is None else State(*row)


def _state_in(text: str | None) -> State | None:
    number, _, compatible_from = (text or "").partition(" ")
    return State(number, compatible_from or None) if number else None


def _is_done(state: State | None, address: StoreAddress, folder: Path) -> bool:
    wanted = newest(folder)
    if state is None or state.number < wanted:
        return False
    if problem := trouble(state, wanted):
        raise SettingsError([f"{address}: {problem}"])
    return True


def _upgrade(connection: Connection, folder: Path) -> None:
    """Run the migrations that *connection* lacks."""
    from alembic.runtime.migration import MigrationContext

    options = {"fn": partial(_steps, folder), "transactional_ddl": True}
    _run(MigrationContext.configure(connection, opts=options), folder)


def _written(current: str | None, folder: Path) -> str:
    """The migrations after *current*, as one script for PostgreSQL."""
    from alembic.runtime.migration import MigrationContext

    script = io.StringIO()
    options = {
        "fn": partial(_steps, folder),
        "as_sql": True,
        "output_buffer": script,
        "transactional_ddl": False,
        "starting_rev": current,
    }
    _run(MigrationContext.configure(dialect_name="postgresql", opts=options), folder)
    return script.getvalue()


def _run(context: Any, folder: Path) -> None:
    from alembic.operations import Operations

    with Operations.context(context) as operations:
        context.run_migrations()
        for statement in after_migrating(folder):
            operations.execute(statement)


def _steps(folder: Path, revision: Any, _: Any) -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(folder), version_locations=[str(folder)])._upgrade_revs("head", revision)
