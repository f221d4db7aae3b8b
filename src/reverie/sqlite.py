"""A SQLite file: quick reads on the event loop, one writer thread with group commit.

Rules, and why (docs/explanation/decisions.md): WAL; ``synchronous=FULL``, since 202 is a promise; ``BEGIN IMMEDIATE``
tried with a short jittered wait, since SQLite's own busy handler sleeps up to 100 ms a step and lets two writing
processes starve each other; an engine of 3.51.3 or newer, since older ones can corrupt a WAL file that several
connections write.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from reverie.database import Connection, DatabaseBusy, DatabaseError, Row, TooSlow, Value
from reverie.row_stream import RowStreams
from reverie.sqlite_connection import CAUGHT, SqliteConnection, driver
from reverie.sqlite_errors import TOO_LONG, translated
from reverie.sqlite_units import Unit, settle, step

T = TypeVar("T")

SAFE_ENGINE = (3, 51, 3)
QUICK_BUDGET = 0.005
"""Seconds a read may hold the event loop before it moves to a thread."""
BUSY_FOR = 5.0
"""Seconds a write waits for another process's transaction."""
MOST_UNITS = 64
"""Units of work that share one commit."""


def driver_module() -> ModuleType:
    """The one SQLite of this process, for SQLAlchemy: two builds on one file would break each other's locks."""
    return cast("ModuleType", driver)


def engine_version() -> tuple[int, ...]:
    return tuple(int(part) for part in str(driver.sqlite_version).split("."))


def engine_is_safe() -> bool:
    """Whether this SQLite is one whose WAL files several connections may write."""
    return engine_version() >= SAFE_ENGINE


class SqliteDatabase:
    """`Database` over one file.

    Args:
        read_only: opened so that nothing can be written; `write` then raises DatabaseError.
        synchronous: ``FULL``, or ``NORMAL``, which may lose the last transactions when the power fails.
        within: seconds that a read may take where it says nothing itself; beyond them DatabaseBusy. None: for ever.
    """

    dialect = "sqlite"

    def __init__(
        self, path: Path, *, read_only: bool = False, synchronous: str = "FULL", within: float | None = None
    ) -> None:
        self.path = path
        self._within = within
        self.read_only = read_only
        self._synchronous = "NORMAL" if synchronous.upper() == "NORMAL" else "FULL"
        self._quick_until = 0.0
        self._owner = threading.get_ident()
        self._reader = SqliteConnection(self._open(writes=False))
        self._reader.raw.set_progress_handler(self._over_budget, 2000)
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix=f"read-{path.name}")
        self._local = threading.local()
        self._opened: list[Any] = [self._reader.raw]
        self._units: queue.SimpleQueue[Unit[Any] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._streams = RowStreams(lambda: self._open(writes=False), CAUGHT, translated, path.name)
        self._closed = False

    # -- reading

    def fetch_now(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """A look-up by key or a short page, on the event loop. Raises TooSlow beyond the budget."""
        if threading.get_ident() != self._owner:
            raise TooSlow("another thread has connections of its own")
        self._quick_until = time.monotonic() + QUICK_BUDGET
        return self._reader.fetch_now(sql, values)

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        if threading.get_ident() != self._owner:
            # Another thread's loop, such as the one that renews leases: it has a connection of its own.
            return self._read_in_thread(work, within)
        if quick:
            self._quick_until = time.monotonic() + QUICK_BUDGET
            try:
                return step(work(self._reader))
            except TooSlow:
                pass
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_in_thread, work, within)

    def _read_in_thread(self, work: Callable[[Connection], Awaitable[T]], within: float | None) -> T:
        connection: SqliteConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = SqliteConnection(self._open(writes=False))
            self._opened.append(connection.raw)
        seconds = self._within if within is None else within
        if seconds is None:
            return step(work(connection))
        until = time.monotonic() + seconds
        connection.raw.set_progress_handler(lambda: 1 if time.monotonic() > until else 0, 2000)
        try:
            return step(work(connection))
        except TooSlow as error:
            raise (DatabaseBusy(str(error), cause=TOO_LONG) if within is None else error) from error
        finally:
            connection.raw.set_progress_handler(None, 0)

    def stream(self, sql: str, values: Sequence[Value] = (), *, size: int) -> AsyncGenerator[list[Row], None]:
        return self._streams.stream(sql, values, size)

    def changes(self) -> int:
        self._quick_until = time.monotonic() + QUICK_BUDGET
        return cast("int", self._reader.fetch_now("PRAGMA data_version")[0][0])

    def _over_budget(self) -> int:
        return 1 if time.monotonic() > self._quick_until else 0

    # -- writing

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, single: bool = False) -> T:
        unit = Unit(work, single=single, loop=asyncio.get_running_loop())
        self._submit(unit)
        return cast("T", await unit.done)

    def write_from_thread(self, work: Callable[[Connection], Awaitable[T]], *, timeout: float) -> T:
        """`write` for a thread without an event loop, such as the one that renews leases.

        Raises:
            TimeoutError: not committed within *timeout* seconds; it may still be.
        """
        unit = Unit(work)
        self._submit(unit)
        return cast("T", unit.done.result(timeout))

    def _submit(self, unit: Unit[Any]) -> None:
        if self.read_only:
            raise DatabaseError("the database is open for reading only")
        if self._closed:
            raise DatabaseBusy("the database is closed")
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    self._writer = threading.Thread(
                        target=self._write_units, name=f"write-{self.path.name}", daemon=True
                    )
                    self._writer.start()
        self._units.put(unit)

    def _write_units(self) -> None:
        connection: SqliteConnection | None = None
        while (first := self._units.get()) is not None:
            units = [first]
            try:
                if connection is None:
                    connection = SqliteConnection(self._open(writes=True))
                stop = self._commit_together(connection, units)
            except Exception as error:  # noqa: BLE001, RUF100 - without this thread every write would wait for ever
                stop = False
                cause = error if isinstance(error, DatabaseError) else translated(error)
                for unit in units:
                    unit.error = unit.error or cause
                if connection is not None and connection.raw.in_transaction:
                    with contextlib.suppress(driver.Error):
                        connection.raw.execute("ROLLBACK")
            settle(units)
            if stop:
                break
        if connection is not None:
            connection.raw.close()

    def _commit_together(self, connection: SqliteConnection, units: list[Unit[Any]]) -> bool:
        """One transaction for the unit in *units* and for those that wait behind it; True when asked to stop."""
        self._begin(connection)
        stop = False
        whole = self._perform(connection, units[0])
        while whole and len(units) < MOST_UNITS:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                stop = True
                break
            units.append(unit)
            whole = self._perform(connection, unit)
        if not whole:
            if connection.raw.in_transaction:
                connection.raw.execute("ROLLBACK")
            self._commit_apart(connection, units)
            return stop
        try:
            connection.raw.execute("COMMIT")
        except driver.IntegrityError:
            connection.raw.execute("ROLLBACK")
            if len(units) == 1:
                raise
            self._commit_apart(connection, units)
        return stop

    def _commit_apart(self, connection: SqliteConnection, units: list[Unit[Any]]) -> None:
        """Each unit that did not fail yet in a transaction of its own, since what they did together was undone.

        A constraint that is checked at the end, as of a deferred reference, refused the commit: whose was it? Or one
        of them left more behind than its error.
        """
        for unit in units:
            if unit.error is not None or not unit.begun:
                continue
            try:
                self._begin(connection)
                unit.result = step(unit.work(connection))
                connection.raw.execute("COMMIT")
            except Exception as error:  # noqa: BLE001, RUF100 - a unit's failure is its caller's, not the batch's
                unit.error = error if not isinstance(error, driver.Error) else translated(error)
                if connection.raw.in_transaction:
                    connection.raw.execute("ROLLBACK")

    @staticmethod
    def _perform(connection: SqliteConnection, unit: Unit[Any]) -> bool:
        """Do it beside those that were done in this transaction; False where that must now be undone with it."""
        if not unit.begin():
            return True
        raw = connection.raw
        try:
            # SQLite undoes a single statement that fails, and each call here waits for Python's lock.
            if not unit.single:
                raw.execute("SAVEPOINT unit")
            unit.result = step(unit.work(connection))
            if not unit.single:
                raw.execute("RELEASE unit")
        except Exception as error:  # noqa: BLE001, RUF100 - a unit's failure is its caller's, not the batch's
            unit.error = error
            if not raw.in_transaction:
                return False  # a constraint with ON CONFLICT ROLLBACK, say, or a full disk
            if unit.single:
                # What keeps a part of a statement that failed has this word in it: ON CONFLICT FAIL, RAISE(FAIL ...).
                return raw.execute("SELECT 1 FROM sqlite_master WHERE sql LIKE '%FAIL%' LIMIT 1").fetchone() is None
            raw.execute("ROLLBACK TO unit")
            raw.execute("RELEASE unit")
        return True

    @staticmethod
    def _begin(connection: SqliteConnection) -> None:
        give_up = time.monotonic() + BUSY_FOR
        while True:
            try:
                connection.raw.execute("BEGIN IMMEDIATE")
                return
            except driver.OperationalError as error:
                if time.monotonic() > give_up or not isinstance(translated(error), DatabaseBusy):
                    raise translated(error) from error
            time.sleep(random.uniform(0.0002, 0.002))

    async def rebuild(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`write` for a unit that makes tables anew, on a connection that follows no reference to what is dropped."""
        return await asyncio.get_running_loop().run_in_executor(None, self._rebuild, work)

    def _rebuild(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self.read_only:
            raise DatabaseError("the database is open for reading only")
        with contextlib.closing(self._open(writes=True)) as raw:
            raw.execute("PRAGMA foreign_keys=OFF")
            raw.execute("PRAGMA legacy_alter_table=ON")
            connection = SqliteConnection(raw)
            self._begin(connection)
            result = step(work(connection))  # closing without a commit undoes what was done
            raw.execute("COMMIT")
            return result

    # -- opening and closing

    def _open(self, *, writes: bool) -> Any:
        mode = "ro" if self.read_only else "rwc"
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            raw = driver.connect(
                address, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            # Opening and switching to WAL may meet another process that recovers the file.
            raw.execute("PRAGMA busy_timeout=5000")
            if not self.read_only:
                self._use_wal(raw)
            raw.execute(f"PRAGMA synchronous={self._synchronous}")
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute("PRAGMA cache_size=-16384")
            if writes:
                raw.execute("PRAGMA busy_timeout=0")
                raw.execute("PRAGMA journal_size_limit=67108864")  # else a log stays as long as a long reader made it
            else:
                raw.execute("PRAGMA query_only=ON")
        except driver.Error as error:
            raise translated(error) from error
        return raw

    @staticmethod
    def _use_wal(raw: Any) -> None:
        """Switch a new file to WAL; SQLite does not wait for a writer here, whatever its busy timeout says."""
        give_up = time.monotonic() + BUSY_FOR
        while True:
            try:
                raw.execute("PRAGMA journal_mode=WAL")
                return
            except driver.OperationalError as error:
                if time.monotonic() > give_up or not isinstance(translated(error), DatabaseBusy):
                    raise
            time.sleep(random.uniform(0.0005, 0.005))

    async def close(self) -> None:
        """Finish the writes that wait, then close. Twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._streams.close()
        if self._writer is not None:
            self._units.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._writer.join)
        self._threads.shutdown(wait=True)
        for raw in self._opened:
            raw.close()
