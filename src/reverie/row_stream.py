"""Rows of a synchronous driver, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from reverie.database import MOST_STREAMS, STREAM_WITHIN, DatabaseBusy, DatabaseError, Row, Value


class RowStreams:
    """Streams of one database (`reverie.database.Streams`), each on a connection and a thread of its own.

    Args:
        connect: opens a DB-API connection that any thread may use, and another may interrupt.
        translate: the exceptions that are *caught* as ours.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        caught: tuple[type[Exception], ...],
        translate: Callable[[Exception], DatabaseError],
        name: str,
    ) -> None:
        self._connect = connect
        self._caught = caught
        self._translate = translate
        self._name = name
        self._open = 0
        self._closed = False

    async def stream(self, sql: str, values: Sequence[Value], size: int) -> AsyncGenerator[list[Row], None]:
        if self._open >= MOST_STREAMS:
            raise DatabaseBusy("too many streams", cause="Too many long answers are on their way; try again.")
        self._open += 1
        give_up = time.monotonic() + STREAM_WITHIN
        rows = _Rows(self._connect, sql, values, self._name)
        try:
            while part := await self._fetched(rows, size):
                yield part
                if self._closed or time.monotonic() > give_up:
                    raise DatabaseBusy("the stream took too long, or the database was closed")
        finally:
            self._open -= 1
            rows.close()

    async def _fetched(self, rows: _Rows, size: int) -> list[Row]:
        try:
            return await rows.fetch(size)
        except self._caught as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Those that are on their way end before their next part."""
        self._closed = True


class _Rows:
    """One statement."""

    def __init__(self, connect: Callable[[], Any], sql: str, values: Sequence[Value], name: str) -> None:
        self._connect = connect
        self._statement = (sql, values)
        self._raw: Any = None
        self._cursor: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"stream-{name}")

    async def fetch(self, size: int) -> list[Row]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch, size)

    def _fetch(self, size: int) -> list[Row]:
        if self._cursor is None:
            self._raw = self._connect()
            self._cursor = self._raw.execute(*self._statement)
        return cast("list[Row]", self._cursor.fetchmany(size))

    def close(self) -> None:
        """End what is under way; the connection is closed behind it, on its thread."""
        if self._raw is not None:
            self._raw.interrupt()
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._raw is not None:
            self._raw.close()
