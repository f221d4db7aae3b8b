"""Bring the store to the newest of the numbered migrations. Alembic is imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.engine.url import URL, make_url

from reverie.errors import SettingsError
from reverie.sqlite import driver_module
from reverie.store.guard import NONE, STATE, State, after_migrating, newest_in, trouble

FOLDER: Final = Path(__file__).parent / "migrations"
PATIENCE: Final = 30.0
"""Seconds to wait for another process that migrates."""

_TABLE: Final = "alembic_version"


def newest(folder: Path = FOLDER) -> str:
    """The number of the newest migration, such as ``0002``."""
    return newest_in(folder)


def migrate(where: Path | str, *, folder: Path = FOLDER) -> bool:
    """Apply what is missing, in one transaction; whether there was anything.

    Processes that start together are safe: the second waits, then finds nothing to do.

    Args:
        where: a SQLite file, or a URL of SQLAlchemy (``sqlite:///path``).
        folder: the migrations.

    Raises:
        SettingsError: the store is of a newer version, which this program cannot use.
    """
    engine = _engine(_url(where))
    try:
        with engine.connect() as connection:
            if _is_done(connection, folder):
                return False
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                # Before the second look, so that nobody else migrates between that look and our change.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if _is_done(connection, folder):
                return False
            _upgrade(connection, folder)
            return True
    finally:
        engine.dispose()


def is_current(where: Path | str, *, folder: Path = FOLDER) -> bool:
    """Whether every migration was applied, or newer ones that leave the store usable for this program."""
    return trouble_with(where, folder=folder) is None


def trouble_with(where: Path | str, *, folder: Path = FOLDER) -> str | None:
    """Why the store cannot be used; None when it can. A file that is not there is not made."""
    url = _url(where)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return NONE
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return trouble(_state(connection), newest(folder))
    finally:
        engine.dispose()


def _url(where: Path | str) -> URL:
    if isinstance(where, Path):
        return URL.create("sqlite+pysqlite", database=str(where))
    return make_url(where)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    return create_engine(
        url.set(drivername="sqlite+pysqlite"),
        module=driver_module(),
        connect_args={"timeout": PATIENCE, "isolation_level": None},
    )


def _state(connection: Connection) -> State | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    row = connection.execute(STATE).first()
    return None if row is None else State(*row)


def _is_done(connection: Connection, folder: Path) -> bool:
    state, wanted = _state(connection), newest(folder)
    if state is None or state.number < wanted:
        return False
    if problem := trouble(state, wanted):
        raise SettingsError([f"{connection.engine.url.database}: {problem}"])
    return True


def _upgrade(connection: Connection, folder: Path) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(folder), version_locations=[str(folder)])

    def steps(revision: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context) as operations:
        context.run_migrations()
        for statement in after_migrating(folder):
            operations.execute(statement)
