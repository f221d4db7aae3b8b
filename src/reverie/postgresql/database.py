"""`Database` on PostgreSQL.

A unit of work that writes holds a lock of the whole database until its commit, so that units follow one another as on
SQLite: what one has read, no other changes meanwhile. They change settings, which is rare. What is frequent is written
by `statement`: one statement, one transaction, no lock. With *alone* false, as for the data of users, a unit is a plain
transaction, and units run side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from reverie.database import (
    MOST_STREAMS,
    STREAM_WITHIN,
    Connection,
    DatabaseBusy,
    DatabaseError,
    Row,
    TooSlow,
    Value,
)
from reverie.postgresql.address import Address
from reverie.postgresql.connection import PostgresqlConnection
from reverie.postgresql.errors import CAUGHT, is_conflict, is_lost, shows_pooler, translate, was_ended
from reverie.postgresql.listener import Listener
from reverie.postgresql.pool import Pool, Prepare

T = TypeVar("T")

SETTINGS_CHANNEL: Final = "reverie_settings"
"""Notified by a trigger of the store whenever the settings version moves."""
PATIENCE: Final = 2.0
"""Seconds until a caller is told that nobody is there."""
UNIT_WITHIN: Final = 10.0
"""Seconds for a unit of work, once it has begun: the others wait for it."""
ANSWER_WITHIN: Final = 30.0
"""Seconds for a long look."""
LOOK_DEAF: Final = 0.2
"""Seconds after which settings may have changed while nothing is heard of it."""
LOOK_HEARING: Final = 15.0
"""The same while notifications arrive: the backstop. A connection that breaks is no silence: it tells of a change."""
MOST_CONFLICTS: Final = 5
UNIT_LOCK: Final = 0x5E7E121E
"""Of units of work; any number that others do not use."""


class PostgresqlDatabase:
    """`Database` over connections of the event loop that uses it first.

    Work that comes from another loop, such as the one that renews leases, is done on a thread of this object: that
    other loop may end at any time, and connections cannot move.

    Args:
        size: connections at most; one more listens.
        alone: units that write follow one another.
        within: seconds for one unit; by default what suits the store.
        settings: of the server, for each connection.
        prepare: what is done with a connection before its first use.
    """

    dialect = "postgresql"

    def __init__(
        self,
        url: str | Address,
        *,
        size: int = 8,
        alone: bool = True,
        within: float | None = None,
        settings: Mapping[str, str] | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        address = url if isinstance(url, Address) else Address.parse(url)
        self._settings = dict(settings or {})
        self._new_pool = functools.partial(Pool, settings=settings, prepare=prepare)
        self._pool = self._new_pool(address, size)
        begin = "BEGIN READ ONLY" if self._settings.get("default_transaction_read_only") == "on" else "BEGIN"
        self._in_turn = alone
        self._begin = f"{begin}; SELECT pg_advisory_xact_lock({UNIT_LOCK})" if alone else begin
        self._look_within = within or ANSWER_WITHIN
        self._quick_within = within or PATIENCE
        self._unit_within = within or UNIT_WITHIN
        self._home: asyncio.AbstractEventLoop | None = None
        self._aside: Aside | None = None
        self._starting = threading.Lock()
        self._listener = Listener(lambda: self.address)
        self._listening = False
        self._streaming = 0
        self._moves = 0
        self._moved_at = time.monotonic()
        self._closed = False

    # -- units of work

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        answer_within = self._quick_within if quick else self._look_within

        async def unit(pool: Pool) -> T:
            async def reading(raw: Any) -> T:
                whole = raw.transaction(readonly=True) if pool.address.pooled or within else contextlib.nullcontext()
                async with whole:
                    await self._set(raw)
                    if within:
                        await raw.execute(f"SET LOCAL statement_timeout = {max(1, int(within * 1000))}")
                    return await work(PostgresqlConnection(raw))

            return await self._repeated(pool, reading, answer_within)

        try:
            return await self._at_home(unit)
        except DatabaseBusy as error:
            if within and was_ended(error):
                raise TooSlow("a statement took longer than it was given") from error
            raise

    async def stream(self, sql: str, values: Sequence[Value] = (), *, size: int) -> AsyncGenerator[list[Row], None]:
        if self._streaming >= MOST_STREAMS:
            raise DatabaseBusy("too many streams", cause="Too many long answers are on their way; try again.")
        self._streaming += 1
        give_up = time.monotonic() + STREAM_WITHIN
        raw: Any = None
        try:
            # A connection of its own: slow clients must not hold those that the others wait for.
            raw = await self._pool.apart()
            async with raw.transaction(readonly=True):
                await self._set(raw)
                cursor = await raw.cursor(sql, *values)
                while rows := await cursor.fetch(size, timeout=self._look_within):
                    yield [tuple(row) for row in rows]
                    if self._closed or time.monotonic() > give_up:
                        raise DatabaseBusy("the stream took too long, or the database was closed")
        except CAUGHT as error:
            raise translate(error) from error
        finally:
            self._streaming -= 1
            if raw is not None:
                raw.terminate()

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, single: bool = False) -> T:
        return await self._at_home(lambda pool: self._write(pool, work, single=single and not self._in_turn))

    async def _write(self, pool: Pool, work: Callable[[Connection], Awaitable[T]], *, single: bool) -> T:
        give_up = time.monotonic() + PATIENCE
        fresh = False
        while True:
            begun = False
            try:
                left = give_up - time.monotonic()
                async with pool.connection(within=left, fresh=fresh) as raw:
                    # A statement that stands alone does not run again: where its connection may have died, a
                    # transaction is begun first, which tells. Behind a pooler there are settings to be made too.
                    whole = not single or pool.address.pooled or not pool.trusts(raw)
                    if whole:
                        async with asyncio.timeout(left):
                            await raw.execute(self._begin)
                            await self._set(raw)
                    begun = True
                    if not whole:
                        return await self._alone(raw, work)
                    async with asyncio.timeout(self._unit_within):
                        return await self._finished(raw, work)
            except CAUGHT as error:
                # Only a connection that was dead before the work began may be replaced unseen.
                if begun or fresh or not is_lost(error):
                    raise translate(error) from error
                fresh = True

    async def _set(self, raw: Any) -> None:
        """Behind a pooler settings are those of whoever was there before: they are set anew for each transaction."""
        if self.address.pooled and self._settings:
            sql = "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS wanted (name, value)"
            await raw.execute(sql, list(self._settings), list(self._settings.values()))

    async def _alone(self, raw: Any, work: Callable[[Connection], Awaitable[T]]) -> T:
        # What ends the connection ends the wait for it, and costs less than a timeout of the task.
        ending = asyncio.get_running_loop().call_later(self._unit_within, raw.terminate)
        try:
            return await work(PostgresqlConnection(raw))
        finally:
            ending.cancel()

    @staticmethod
    async def _finished(raw: Any, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            result = await work(PostgresqlConnection(raw))
        except Exception:
            if not raw.is_closed():
                with contextlib.suppress(*CAUGHT):
                    await raw.execute("ROLLBACK")
            raise
        await raw.execute("COMMIT")
        return result

    # -- single statements

    async def statement(
        self, sql: str, values: Sequence[object] = (), *, within: float = ANSWER_WITHIN, again: str | None = None
    ) -> list[Any]:
        """Run a statement that is a transaction of its own; its rows. When this returns it is durable.

        It runs twice if its connection is lost on the way, so it must bear that.

        Args:
            within: seconds until there must be an answer; a connection must be there within 2 in any case.
            again: what runs in its place the second time, with the same values.

        Raises:
            Refusal: a constraint said no; nothing was done.
            DatabaseBusy: no answer; it may have been done nevertheless.
        """

        async def unit(pool: Pool) -> list[Any]:
            text = sql

            async def work(raw: Any) -> list[Any]:
                nonlocal text
                now, text = text, again or sql
                # Behind a pooler, a prepared statement must find the connection that knows it.
                whole = raw.transaction() if pool.address.pooled else contextlib.nullcontext()
                async with whole:
                    rows: list[Any] = await raw.fetch(now, *values)
                return rows

            return await self._repeated(pool, work, within)

        return await self._at_home(unit)

    async def _repeated(self, pool: Pool, work: Callable[[Any], Awaitable[T]], within: float) -> T:
        """Run *work* on a connection, once more if that was lost, and a few times if others were in the way."""
        give_up = time.monotonic() + within
        fresh, conflicts = False, 0
        while True:
            left = give_up - time.monotonic()
            connected = False
            try:
                async with pool.connection(within=min(PATIENCE, left), fresh=fresh) as raw, asyncio.timeout(left):
                    connected = True
                    return await work(raw)
            except DatabaseError as error:
                # Who could not be reached for that long is not asked again.
                if fresh or not connected or not is_lost(error):
                    raise
                fresh = True
            except CAUGHT as error:
                if is_conflict(error) and conflicts < MOST_CONFLICTS:
                    conflicts += 1
                    await asyncio.sleep(random.uniform(0.001, 0.01) * conflicts)
                    continue
                if shows_pooler(error) and not pool.address.pooled:
                    pool.believe_in_pooler(error)
                elif fresh or not is_lost(error):
                    raise translate(error) from error
                fresh = True
            if time.monotonic() >= give_up:
                raise DatabaseBusy("no answer in time")

    @property
    def address(self) -> Address:
        """As it was given, or as it turned out to be."""
        return self._pool.address

    # -- where it happens

    async def _at_home(self, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
        if self._closed:
            raise DatabaseBusy("the database is closed")
        here = asyncio.get_running_loop()
        if self._home is None:
            self._home = here
        if here is self._home:
            return await work(self._pool)
        with self._starting:
            if self._aside is None:
                self._aside = Aside(self._new_pool(self.address, 2))
        return await self._aside.run(work)

    # -- changes

    def listen(self, channel: str, heard: Callable[[], object]) -> Callable[[], None]:
        """Have *heard* called when *channel* is notified, and when something may have been missed.

        What it gives ends it. Behind a pooler nothing is ever heard.
        """
        if not self.address.pooled:
            self._listener.add(channel, heard)
        return lambda: self._listener.remove(channel, heard) if not self.address.pooled else None

    def _move(self) -> None:
        self._moves += 1
        self._moved_at = time.monotonic()

    def changes(self) -> int:
        """Moves when a change of settings was heard of, and after a while in any case, since one may be missed.

        Who asks begins to listen.
        """
        if not self._listening:
            self._listening = True
            self.listen(SETTINGS_CHANNEL, self._move)
        if time.monotonic() - self._moved_at >= (LOOK_HEARING if self._listener.hears else LOOK_DEAF):
            self._move()
        return self._moves

    async def close(self) -> None:
        """Twice does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._listener.close()
        await self._pool.close()
        if self._aside is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._aside.close)


class Aside:
    """A thread with a loop and two connections of its own, for callers on other loops."""

    def __init__(self, pool: Pool) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = pool
        self._thread = threading.Thread(target=self._loop.run_forever, name="store-aside", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(self._pool), self._loop))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._pool.close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
