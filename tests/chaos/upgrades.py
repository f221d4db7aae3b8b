"""Transactions that break off, keys and versions that change: D21, D22, D24."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from reverie.sqlite import driver_module
from reverie.store import migrate as migrations
from tests.chaos.checker import Accepted
from tests.chaos.crashes import Real, real
from tests.chaos.places import FILE
from tests.chaos.scenarios import scenario
from tests.chaos.stage import Stage

NEWER: Final = '''"""Of a version to come."""

revision = "{number}"
down_revision = "{before}"
branch_labels = None
depends_on = None
additive = {additive}


def upgrade() -> None:
    pass
'''


@scenario("D24", "a process dies between a record and its job", "the record is there if and only if its job is")
async def d24(stage: Stage) -> None:
    """L0: the platform's own record and the job are one transaction. Short: 100 crash points; full: 1,000."""
    given = json.dumps({"place": stage.place.as_text(), "count": stage.count(1000), "seed": 24})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.outbox", given),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    told = (await process.communicate())[0].decode().split("\n")
    assert process.returncode == 0
    promised = dict(line.split(" ") for line in told if line)
    records = {row[0]: row[1] for row in await stage.rows("SELECT name, value FROM script_value")}
    jobs = {row[0]: row[1] for row in await stage.rows("SELECT name, id FROM job")}
    stage.figure("deviations", len(set(records.items()) ^ set(jobs.items())), "n", most=0)
    stage.figure("confirmed, and not there", len(set(promised.items()) - set(jobs.items())), "n", most=0)
    stage.figure("broken off", stage.count(1000) - len(promised), "n", least=stage.count(1000) / 4)
    stage.figure("committed, never confirmed", len(jobs) - len(promised), "n", least=1)
    stage.accepted |= {job_id: Accepted(key=job_id) for job_id in jobs.values()}
    await stage.host(concurrency=8)
    await stage.drained()


@scenario("D22", "the secret key changes while 10,000 sealed jobs wait", "all readable; the old key can go afterwards")
async def d22(stage: Stage) -> None:
    """Short: 1,000."""
    await asyncio.to_thread(rotate, stage)


def rotate(stage: Stage) -> None:
    with real(stage, REVERIE_WORKERS="0") as up:
        up.script("fine", "")
        with ThreadPoolExecutor(8) as callers:
            list(callers.map(lambda _: up.call("fine"), range(stage.count(10_000))))
        old = json.loads(reverie(up, "keys", "show", "--json").stdout)[0]["key"]
        assert reverie(up, "keys", "rotate").returncode == 0
        for _ in range(10):
            up.call("fine")
        stage.figure("refused while needed", float(reverie(up, "keys", "drop", old).returncode != 0), "n", least=1)
        worked = reverie(up, "queue", "work", "--stop-when-empty", "--tries=1", "--timeout=20")
        assert worked.returncode == 0, worked.stderr
        failed = stage.place.rows("SELECT error FROM job WHERE status <> 'done' LIMIT 3")
        stage.figure("unreadable", len(failed), "n", most=0)
        dropped = reverie(up, "keys", "drop", old, "--ended")
        stage.figure("the old key is gone", float(dropped.returncode == 0), "n", least=1)
        for _ in range(3):
            up.call("fine")
        assert reverie(up, "queue", "work", "--stop-when-empty").returncode == 0


def reverie(up: Real, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the real commands, beside the server."""
    command = [sys.executable, "-m", "reverie", *arguments]
    return subprocess.run(command, env=up.server.environment, capture_output=True, text=True, timeout=3600)


@scenario("D21", "an older worker meets a newer store", "goes on, or refuses and says why; 0 lost")
async def d21(stage: Stage) -> None:
    await asyncio.to_thread(upgrade, stage)


def upgrade(stage: Stage) -> None:
    """First a migration that older programs may ignore, then one that they may not. `queue work` is the older one."""
    with real(stage, REVERIE_WORKERS="0") as up:
        up.script("nap", "import time\ntime.sleep(0.1)")
        work = worker(up, stage)
        try:
            calls(up, 5)
            with migrated(stage, "9998", additive=True):
                calls(up, 5)
                up.drained()
                stage.figure("goes on with what it may ignore", float(work.poll() is None), "n", least=1)
            calls(up, 20)
            with migrated(stage, "9999", additive=False):
                stage.figure("ends when it may not go on", float(work.wait(60) != 0), "n", least=1)
                log = (stage.folder / "old-worker.log").read_text()
                stage.figure("says which version", float("9999" in log), "n", least=1)
                refused = reverie(up, "queue", "work", "--stop-when-empty")
                says_why = refused.returncode != 0 and "9999" in refused.stderr
                stage.figure("a new start refuses and says why", float(says_why), "n", least=1)
        finally:
            work.kill()
            work.wait()
        # Who may work on it again finds everything there.
        assert reverie(up, "queue", "work", "--stop-when-empty").returncode == 0


@contextlib.contextmanager
def migrated(stage: Stage, number: str, *, additive: bool) -> Iterator[None]:
    """The store as a program with one migration more has made it, and then as it was."""
    store: str | Path = stage.place.postgres or Path(stage.place.folder) / FILE
    before = migrations.newest()
    folder = stage.folder / f"migrations-{number}"
    shutil.copytree(migrations.FOLDER, folder)
    (folder / f"{number}_to_come.py").write_text(NEWER.format(number=number, before=before, additive=additive))
    kept = stage.place.rows("SELECT value FROM fact WHERE name = 'schema_compatible_from'")
    migrations.migrate(store, folder=folder)
    try:
        yield
    finally:
        undo = [f"UPDATE alembic_version SET version_num = '{before}'"]
        undo.append("DELETE FROM fact WHERE name = 'schema_compatible_from'")
        undo += [f"INSERT INTO fact (name, value) VALUES ('schema_compatible_from', '{value}')" for (value,) in kept]
        undo.append("UPDATE settings_version SET version = version + 1")
        change(stage, undo)


def change(stage: Stage, statements: Sequence[str]) -> None:
    """Change the store past everything of ours."""
    if stage.place.postgres:
        for one in statements:
            stage.place.rows(one)
        return
    driver: Any = driver_module()
    with contextlib.closing(driver.connect(str(Path(stage.place.folder) / FILE), timeout=10)) as connection:
        for one in statements:
            connection.execute(one)
        connection.commit()


def worker(up: Real, stage: Stage) -> subprocess.Popen[bytes]:
    with (stage.folder / "old-worker.log").open("wb") as log:
        command = [sys.executable, "-m", "reverie", "queue", "work", "--sleep=1"]
        return subprocess.Popen(command, env=up.server.environment, stdout=log, stderr=log)


def calls(up: Real, count: int) -> list[str]:
    return [up.call("nap")[1] for _ in range(count)]
