from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from reverie.sqlite import SqliteDatabase, driver_module
from reverie.store.migrate import is_current, migrate, newest
from reverie.store.tables import metadata


def _engine(path: Path) -> Engine:
    return create_engine(f"sqlite+pysqlite:///{path}", module=driver_module())


def _parts(sql: str) -> list[str]:
    """The columns and constraints of a definition, wherever ``ALTER TABLE`` has put them."""
    head, _, body = sql.partition("(")
    body, _, tail = body.rpartition(")")
    parts = re.split(r",(?![^()]*\))", body)
    return sorted(" ".join(part.split()) for part in (head, *parts, tail))


def _schema(path: Path) -> dict[str, object]:
    """Every table and index as SQLite keeps it, apart from layout and the order of the columns' constraints."""
    engine = _engine(path)
    with engine.connect() as connection:
        rows = connection.execute(text("select name, sql from sqlite_master where sql is not null")).all()
    engine.dispose()
    return {name: _parts(sql) for name, sql in rows if name not in ("alembic_version", "sqlite_sequence")}


def test_the_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    migrated, made = tmp_path / "migrated.db", tmp_path / "made.db"
    migrate(migrated)
    engine = _engine(made)
    metadata.create_all(engine)
    engine.dispose()

    engine = _engine(migrated)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []
    assert _schema(migrated) == _schema(made)


def test_migrating_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    assert not is_current(path)
    assert not path.exists()
    assert migrate(path)
    assert is_current(path)
    assert not migrate(path)
    assert is_current(f"sqlite:///{path}")


def test_an_old_store_is_not_current_and_becomes_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    engine = _engine(path)
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names()) - set(_tables_of_0001())
        for name in tables:
            connection.execute(text(f"drop table {name}"))
        connection.execute(text("update alembic_version set version_num = '0001'"))
    engine.dispose()

    assert tables
    assert newest() > "0001"
    assert not is_current(path)
    assert migrate(path)
    assert is_current(path)


def _tables_of_0001() -> list[str]:
    settings = "user role app service event_script lookup session fact script_value settings_version service_doc"
    return [*settings.split(), "role_service_access", "user_to_app_to_role", "alembic_version", "sqlite_sequence"]


def test_a_new_store_has_one_settings_version_and_the_fixed_services(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    migrate(path)

    engine = _engine(path)
    with engine.connect() as connection:
        versions = connection.execute(text("select id, version from settings_version")).all()
        services = connection.execute(text("select name, deletable, mutable from service order by id")).all()
    engine.dispose()
    assert [row.id for row in versions] == [1]
    assert [tuple(row) for row in services] == [("system", 0, 0), ("user", 0, 0), ("api_docs", 0, 0)]


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from reverie.sqlite import SqliteDatabase;"
        " from reverie.store.migrate import migrate; path = Path(sys.argv[1]); sys.stdin.read(1);"
        " done = migrate(path); database = SqliteDatabase(path); database.changes();"
        " asyncio.run(database.close()); print(done)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store.db")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]

    assert sorted(answers) == ["False", "False", "False", "True"]
    assert is_current(tmp_path / "store.db")


def test_a_start_that_has_nothing_to_migrate_does_not_pay_for_alembic(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    code = (
        "import sys; from pathlib import Path; from reverie.store.migrate import migrate, is_current;"
        " print(migrate(Path(sys.argv[1])), is_current(Path(sys.argv[1])), 'alembic' in sys.modules)"
    )

    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == ["False", "True", "False"]


@pytest.mark.anyio
async def test_a_new_file_opens_while_another_process_writes_its_first_tables(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    writer = driver_module().connect(str(path), check_same_thread=False, isolation_level=None)
    writer.execute("begin immediate")
    writer.execute("create table x (a)")
    leaving = threading.Timer(0.1, lambda: writer.execute("commit"))
    leaving.start()

    database = SqliteDatabase(path)

    assert database.fetch_now("PRAGMA journal_mode") == [("wal",)]
    leaving.join()
    writer.close()
    await database.close()
