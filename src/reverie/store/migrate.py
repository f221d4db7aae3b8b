"""Bring the store to the newest of the numbered migrations. Alembic is imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect, select
from sqlalchemy import table as table_named
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.sql import column

from reverie.sqlite import driver_module

FOLDER: Final = Path(__file__).parent / "migrations"
PATIENCE: Final = 30.0
"""Seconds to wait for another process that migrates."""

_TABLE: Final = "alembic_version"


def newest() -> str:
    """The number of the newest migration, such as ``0002``."""
    return max(file.name[:4] for file in FOLDER.glob("[0-9][0-9][0-9][0-9]_*.py"))


def migrate(where: Path | str) -> bool:
    """Apply what is missing, in one transaction; whether there was anything.

    Processes that start together are safe: the second waits, then finds nothing to do.

    Args:
        where: a SQLite file, or a URL of SQLAlchemy (``sqlite:///path``).
    """
    engine = _engine(_url(where))
    try:
        with engine.connect() as connection:
            if _current(connection) == newest():
                return False
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                # Before the second look, so that nobody else migrates between that look and our change.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if _current(connection) == newest():
                return False
            _upgrade(connection)
            return True
    finally:
        engine.dispose()


def is_current(where: Path | str) -> bool:
    """Whether every migration was applied. A file that is not there is not made."""
    url = _url(where)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return False
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return _current(connection) == newest()
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


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table_named(_TABLE))).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])

    def steps(revision: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()
