"""Programs of two neighbouring versions on one store: each goes on, or says why it cannot."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.store.migrate import FOLDER, migrate, newest
from tests.acceptance.job_scenes import command, queued, script_service, work
from tests.acceptance.server import Server, running, wait_for

ADDS = "op.add_column('job', sa.Column('colour', sa.String(10), server_default='', nullable=False))"
BREAKS = "op.rename_table('job_payload', 'job_content')"
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"
branch_labels = None
depends_on = None
{additive}

def upgrade():
    {change}
"""


def folder_of_the_newer(where: Path, *, additive: bool) -> Path:
    """The migrations of a program one version on."""
    folder = where / "newer"
    shutil.copytree(FOLDER, folder)
    text = MIGRATION.format(
        before=newest(), additive="additive = True" if additive else "", change=ADDS if additive else BREAKS
    )
    (folder / "9999_later.py").write_text(text)
    return folder


def upgrade(server: Server, where: Path, *, additive: bool) -> None:
    assert migrate(server.data / "reverie.sqlite", folder=folder_of_the_newer(where, additive=additive))


def reverie(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reverie", *arguments],
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_older_program_goes_on_and_starts_on_a_store_that_only_gained_something(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, script_service(server, "python3", "1") as service:
        upgrade(server, tmp_path, additive=True)

        server.wait_for_job(queued(server.as_admin("POST", service.path, {})))
        assert server.call("GET", "/ready").status == 200
        server.stop()
        server.start()
        server.log_in()
        server.wait_for_job(queued(server.as_admin("POST", service.path, {})))
        assert reverie(server, "migrate").returncode == 0
        assert "store.newer" not in server.output()


@pytest.mark.parametrize("arguments", [("migrate",), ("up",), ("queue", "work", "--once"), ("keys", "show")])
def test_an_older_program_refuses_to_start_on_a_store_that_it_cannot_use(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    server = Server(data, 0, {"REVERIE_DATA_DIR": str(data), "REVERIE_PORT": "0", "PATH": "/usr/bin:/bin"})
    migrate(data / "reverie.sqlite")
    upgrade(server, tmp_path, additive=False)

    refused = reverie(server, *arguments)

    assert refused.returncode != 0
    assert f"a newer Reverie has brought the store to version 9999; this one knows {newest()}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_that_runs_while_the_store_becomes_another_ends_and_fails_no_job(tmp_path: Path) -> None:
    with running(tmp_path / "data", REVERIE_WORKERS="0") as server:
        slow = "import time; time.sleep(0.2)"
        with script_service(server, "python3", slow, config={"queue": "q"}) as service:
            jobs = [queued(server.as_admin("POST", service.path, {})) for _ in range(30)]
            worker = subprocess.Popen(
                command("work", "database", "--queue=q", "--json", "--tries=1"),
                env=server.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            wait_for(lambda: server.job(jobs[1])["status"] == "done", 30)

            upgrade(server, tmp_path, additive=False)
            out, error = worker.communicate(timeout=60)

        assert worker.returncode == 2
        assert "a newer Reverie has brought the store to version 9999" in error
        assert "Traceback" not in error
        assert '"failed"' not in out
    counts = statuses(tmp_path / "data" / "reverie.sqlite")
    assert set(counts) <= {"done", "waiting", "running"}
    assert sum(counts.values()) == 30
    assert counts["waiting"] > 0


def statuses(store: Path) -> dict[str, int]:
    """How many jobs are in each state, as the file says."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM job GROUP BY status").fetchall())


def test_a_newer_program_brings_an_older_store_up_to_date_and_runs_the_jobs_in_it(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", REVERIE_WORKERS="0") as server,
        script_service(server, "python3", "1", config={"queue": "q"}) as service,
    ):
        job = queued(server.as_admin("POST", service.path, {}))
        server.stop()
        as_before_metrics(server.data / "reverie.sqlite")
        refused = reverie(server, "queue", "work", "--once")
        assert "reverie migrate makes one" in refused.stderr

        server.start()
        server.log_in()

        assert work(server, "q").of(job)[-1][0] == "success"


def as_before_metrics(store: Path) -> None:
    """The store as a program left it that knew nothing of migration 0005, nor of what came after."""
    [file] = FOLDER.glob("0005_*.py")
    found = re.search(r'^down_revision = "(\d+)"$', file.read_text(), re.MULTILINE)
    assert found is not None
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        for table in ("version", "count", "watch", "capture", "fixture"):
            connection.execute(f"DROP TABLE script_{table}")
        connection.execute("DROP TABLE job_version")
        connection.execute("DROP TABLE sql_extra")
        connection.execute("DROP TABLE worker_metric")
        connection.execute("DELETE FROM service WHERE name = 'api_docs'")
        connection.execute("DELETE FROM fact WHERE name = 'schema_compatible_from'")
        connection.execute("UPDATE alembic_version SET version_num = ?", (found[1],))
