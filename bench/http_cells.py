"""Reading over HTTP, beside the bare handler: same rows, same bytes, one process each, turn about."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.server import Server, free_port, wait_for

from bench.load import Measured, drive, walk
from bench.report import Cell
from reverie.sqlite_connection import driver

ROWS = 10_000
PATHS = {
    "list of 25": "/api/v2/bench/_table/item?order=id&limit=25&offset=@",
    "one row": "/api/v2/bench/_table/item/@",
}


def make_rows(path: Path) -> None:
    """The table that both read."""
    db = driver.connect(str(path))
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL, sku VARCHAR(12), in_stock INTEGER,"
        " unit_price DOUBLE, added_on DATE, note TEXT)"
    )
    db.executemany(
        "INSERT INTO item (name, sku, in_stock, unit_price, added_on, note) VALUES (?, ?, ?, ?, ?, ?)",
        ((f"Item {n}", f"SKU-{n:06}", n % 90, n / 8, f"2023-01-{n % 28 + 1:02}", None) for n in range(ROWS)),
    )
    db.commit()
    db.close()


@contextlib.contextmanager
def bare_handler(database: Path) -> Iterator[str]:
    """The bare handler on a port of its own."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port), "--log-level", "warning"]
    command += ["--no-access-log", "--loop", "uvloop", "--http", "httptools", "--no-server-header"]
    process = subprocess.Popen(command, env={**os.environ, "BENCH_DB": str(database)})
    base = f"http://127.0.0.1:{port}"
    probe = Server(database, port, {})
    try:
        wait_for(lambda: _answers(probe), 20)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _answers(server: Server) -> bool:
    with contextlib.suppress(OSError):
        return server.call("GET", PATHS["one row"].replace("@", "1")).status == 200
    return False


@contextlib.contextmanager
def one_write_a_second(path: Path) -> Iterator[None]:
    """The table changes while it is read."""
    stop = threading.Event()

    def write() -> None:
        db = driver.connect(str(path), timeout=10)
        count = 0
        while not stop.wait(1.0):
            count += 1
            db.execute("UPDATE item SET in_stock = in_stock + 1 WHERE id = ?", (count % ROWS + 1,))
            db.commit()
        db.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def compare(server: Server, bare: str, database: Path, *, seconds: float, rounds: int) -> list[Cell]:
    """Both cells; every round drives ours and the bare handler in turn, and the other way round next time."""
    bare_server = Server(database, int(bare.rsplit(":", 1)[1]), {})
    cells = []
    with one_write_a_second(database):
        for name, path in PATHS.items():
            _same_bytes(server, bare_server, path)
            ratios, ours, theirs = [], [], []
            for turn in range(rounds):
                order = (server.base, bare) if turn % 2 == 0 else (bare, server.base)
                got: dict[str, Measured] = {
                    base: drive(base, walk(path, server.key, most=ROWS - 100), seconds=seconds) for base in order
                }
                ours.append(got[server.base])
                theirs.append(got[bare])
                ratios.append(got[server.base].rate / got[bare].rate)
            errors = sum(one.errors for one in (*ours, *theirs))
            cells.append(
                Cell(
                    f"GET {name}, key and role",
                    f"{statistics.median(one.rate for one in ours):,.0f} requests/s",
                    f"bare handler {statistics.median(one.rate for one in theirs):,.0f}",
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                    "0.60",
                    f"p99 {statistics.median(one.p99 for one in ours):.1f} ms, errors {errors}",
                )
            )
    return cells


def _same_bytes(server: Server, bare: Server, path: str) -> None:
    for number in ("1", "77", "4321"):
        ours = server.as_key("GET", path.replace("@", number))
        theirs = bare.call("GET", path.replace("@", number))
        if ours.body != theirs.body:
            raise SystemExit(f"the bodies differ:\n{ours.body[:300]!r}\n{theirs.body[:300]!r}")
