"""What an operator should know about a SQLite file that holds jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reverie.database import Connection, Database, DatabaseError, Row
from reverie.jobs.finding import Finding
from reverie.sqlite import SAFE_ENGINE, engine_is_safe, engine_version

MIB: Final = 2**20
LARGEST_WAL: Final = 256 * MIB
LEAST_FREE: Final = 512 * MIB
"""Bytes of free disk below which a day's jobs may fill it."""
ALMOST_FULL: Final = 32 * MIB
OVERDUE: Final = 60.0
"""Seconds after the end of a lease by which somebody should have taken the job back."""
_SYNCHRONOUS: Final = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
_FAR: Final = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "fuse.sshfs", "fuse.gluster", "lustre", "gfs2", "ocfs2")
"""Beginnings of the names of file systems that live on another machine: their locks do not guard a SQLite file."""
MOUNTS: Final = Path("/proc/self/mounts")

# Rows that belong to no job any more, or a job that has nothing to run.
_ORPHANS = """
SELECT (SELECT count(*) FROM job_payload AS p WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = p.job_id)),
       (SELECT count(*) FROM job_attempt AS a WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = a.job_id)),
       (SELECT count(*) FROM job_result AS r WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = r.job_id)),
       (SELECT count(*) FROM job WHERE status = 'waiting'
        AND NOT EXISTS (SELECT 1 FROM job_payload AS p WHERE p.job_id = job.id))
"""
_OVERDUE = "SELECT count(*) FROM job WHERE status = 'running' AND leased_until < ?"


async def examine(database: Database, now: float) -> list[Finding]:
    """Look at the file and what is in it; *now* is the store's clock."""

    async def work(reader: Connection) -> tuple[list[Row], list[Row], list[Row], list[Row], list[Row]]:
        return (
            await reader.fetch("PRAGMA database_list"),
            await reader.fetch("PRAGMA journal_mode"),
            await reader.fetch("PRAGMA synchronous"),
            await reader.fetch(_ORPHANS),
            await reader.fetch(_OVERDUE, (now - OVERDUE,)),
        )

    try:
        files, journal, synchronous, orphans, overdue = await database.read(work, quick=False)
    except DatabaseError as error:
        return [_error("store", f"The store cannot be read ({error}): nothing can be queued, taken or shown.")]
    path = Path(str(files[0][2]))
    return [
        _engine(),
        _journal(str(journal[0][0])),
        _synchronous(_SYNCHRONOUS.get(_int(synchronous[0][0]), "?")),
        *_sizes(path),
        _file_system(path),
        _orphans(*(_int(value) for value in orphans[0])),
        _overdue(_int(overdue[0][0])),
    ]


def _engine() -> Finding:
    version = ".".join(map(str, engine_version()))
    if engine_is_safe():
        return _ok("SQLite engine", version)
    wanted = ".".join(map(str, SAFE_ENGINE))
    return _warning(
        "SQLite engine",
        f"{version} can corrupt a file that several connections write; use {wanted} or newer (the package pysqlite3).",
    )


def _journal(mode: str) -> Finding:
    if mode == "wal":
        return _ok("journal mode", "WAL")
    message = (
        f"The file is in mode {mode!r}, not WAL: readers and writers wait for one another. Is the folder writable?"
    )
    return _error("journal mode", message)


def _synchronous(level: str) -> Finding:
    if level in ("FULL", "EXTRA"):
        return _ok("synchronous", f"{level}: what was answered with 202 survives a power failure")
    return _warning(
        "synchronous",
        f"{level}: jobs accepted in the last moments before a power failure may be lost, and some may run twice."
        " Processes that are killed lose nothing. FULL keeps every job.",
    )


def _sizes(path: Path) -> Iterator[Finding]:
    try:
        size = path.stat().st_size
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        yield _error("store size", f"{path} cannot be looked at ({error.strerror}).")
        return
    yield _ok("store size", f"{size / MIB:.1f} MiB")
    wal_path = path.with_name(f"{path.name}-wal")
    wal = wal_path.stat().st_size if wal_path.exists() else 0
    if wal > LARGEST_WAL:
        yield _warning(
            "WAL size",
            f"{wal / MIB:.0f} MiB: some reader has held its view of the file for long, so the log cannot be cleared."
            " Look for a backup or a program that keeps a transaction open on the store.",
        )
    else:
        yield _ok("WAL size", f"{wal / MIB:.1f} MiB")
    if free < ALMOST_FULL:
        yield _error("free disk", f"{free / MIB:.0f} MiB are left: soon nothing can be queued. Make room.")
    elif free < LEAST_FREE:
        yield _warning("free disk", f"{free / MIB:.0f} MiB are left where the store is. Make room.")
    else:
        yield _ok("free disk", f"{free / MIB:.0f} MiB")


def _file_system(path: Path) -> Finding:
    kind = file_system_of(path)
    if kind is not None and kind.startswith(_FAR):
        message = (
            f"{kind} is a network file system: its locks do not guard SQLite. Move the data folder to a local disk."
        )
        return _error("file system", message)
    return _ok("file system", kind or "unknown")


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of file system that holds *path*; None where the system does not tell."""
    try:
        lines = [line.split(" ") for line in mounts.read_text("utf-8").splitlines()]
    except OSError:
        return None
    folder = path.absolute()
    found = [(len(words[1]), at) for at, words in enumerate(lines) if folder.is_relative_to(_unescaped(words[1]))]
    return lines[max(found)[1]][2] if found else None


def _unescaped(name: str) -> str:
    """The name of a mount point as it is: in the list, a blank is written ``\\040``."""
    return name.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _orphans(payloads: int, attempts: int, results: int, empty: int) -> Finding:
    if empty:
        message = f"{empty} waiting jobs have no payload: they will fail when their turn comes. Cancel or forget them."
        return _error("orphans", message)
    if payloads or attempts or results:
        message = f"Left over from jobs that are gone: {payloads} payloads, {attempts} attempts, {results} results."
        return _warning("orphans", f"{message} They only take room; please report it, since nothing should leave any.")
    return _ok("orphans", "none")


def _overdue(jobs: int) -> Finding:
    if jobs:
        message = f"{jobs} jobs are held by workers that no longer renew their leases, and nobody takes them back."
        return _error("leases", f"{message} Start a worker: every worker takes back what others lost.")
    return _ok("leases", "every running job is held by a worker that renews its lease")


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _ok(subject: str, message: str) -> Finding:
    return Finding(level="ok", subject=subject, message=message)


def _warning(subject: str, message: str) -> Finding:
    return Finding(level="warning", subject=subject, message=message)


def _error(subject: str, message: str) -> Finding:
    return Finding(level="error", subject=subject, message=message)
