"""Connections of one event loop, opened when they are needed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final

import asyncpg
import structlog

from reverie.pooling import Watch, take_place
from reverie.postgresql.address import Address
from reverie.postgresql.errors import CAUGHT, is_lost, shows_pooler, translate

CONNECT_WITHIN: Final = 5
CACHED: Final = 256
"""Prepared statements that a connection keeps."""

_SERVER_SETTINGS: Final = {
    "application_name": "reverie",
    # Our statements are short; compiling one costs more than running it.
    "jit": "off",
    # A unit of work whose process hangs must not hold up the others for ever.
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "2s",
}

log = structlog.get_logger()


Prepare = Callable[[Any], Coroutine[Any, Any, None]]
"""What is done with a connection before its first use."""


async def connect(address: Address, settings: Mapping[str, str] | None = None, prepare: Prepare | None = None) -> Any:
    """A connection; asyncpg's exceptions when there is none. *settings* are those of the server, beside ours."""
    named = address.dsn.partition("?")[2]
    ours = {name: value for name, value in _SERVER_SETTINGS.items() if f"{name}=" not in named}
    raw = await asyncpg.connect(
        address.dsn,
        timeout=CONNECT_WITHIN,
        statement_cache_size=0 if address.pooled else CACHED,
        # A pooler refuses settings that it does not follow.
        server_settings={} if address.pooled else {**ours, **(settings or {})},
    )
    if prepare is not None:
        try:
            await prepare(raw)
        except BaseException:
            raw.terminate()
            raise
    return raw


class Pool:
    """Gives out connections, the last used first; never more than *size* at a time."""

    def __init__(
        self,
        address: Address,
        size: int,
        *,
        settings: Mapping[str, str] | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        self.address = address
        self._settings = settings
        self._prepare = prepare
        self._idle: list[Any] = []
        self._watched: dict[Any, Watch] = {}
        self._places = asyncio.Semaphore(size)
        self._closed = False

    @contextlib.asynccontextmanager
    async def connection(self, *, within: float, fresh: bool = False) -> AsyncIterator[Any]:
        """A connection for the block. It is given up if the block ends in a way that leaves it in doubt.

        Args:
            within: seconds until one must be there.
            fresh: not one that lay idle: it may have died with the server.

        Raises:
            DatabaseBusy: none was there in time.
        """
        give_up = asyncio.get_running_loop().time() + within
        await take_place(self._places, give_up)
        try:
            raw = await self._take(give_up, fresh=fresh)
            try:
                yield raw
            except BaseException as error:
                if not isinstance(error, Exception) or isinstance(error, TimeoutError) or is_lost(error):
                    raw.terminate()
                raise
            finally:
                self._put_back(raw)
        finally:
            self._places.release()

    def trusts(self, raw: Any) -> bool:
        """Whether a connection that was given out surely leads to the server: it is new, or was just used."""
        watch = self._watched.get(raw)
        return watch is None or watch.trusts(asyncio.get_running_loop().time())

    async def _take(self, give_up: float, *, fresh: bool) -> Any:
        if fresh:
            self._drop_idle()
        while self._idle:
            raw = self._idle.pop()
            if not raw.is_closed():
                return raw
            self._watched.pop(raw, None)
        loop = asyncio.get_running_loop()
        known: Exception | None = None
        while True:
            try:
                async with asyncio.timeout_at(give_up):
                    return await connect(self.address, self._settings, self._prepare)
            except CAUGHT as error:
                pause = random.uniform(0.05, 0.2)
                # An attempt that is cut off by the end of the time says less than one that was answered.
                known = known if known is not None and isinstance(error, TimeoutError) else error
                if shows_pooler(error) and not self.address.pooled:
                    self.believe_in_pooler(error)
                elif not is_lost(error) or loop.time() + pause >= give_up:
                    raise translate(known) from known
            await asyncio.sleep(pause)

    async def apart(self) -> Any:
        """A connection beside those that are given out, for who closes it; asyncpg's exceptions when there is none."""
        return await connect(self.address, self._settings, self._prepare)

    def believe_in_pooler(self, why: Exception) -> None:
        """From now on, behave as behind one that gives each transaction another connection."""
        log.warning("store.pooler_found", cause=str(why), cure="add ?pooler=transaction to REVERIE_DATABASE_URL")
        self.address = Address(self.address.dsn, pooled=True)

    def _put_back(self, raw: Any) -> None:
        if self._closed or raw.is_closed() or raw.is_in_transaction():
            self._watched.pop(raw, None)
            raw.terminate()
        else:
            watch = self._watched.get(raw)
            if watch is None:
                watch = self._watched[raw] = Watch(raw._transport)
            watch.used = asyncio.get_running_loop().time()
            self._idle.append(raw)

    def _drop_idle(self) -> None:
        for raw in self._idle:
            self._watched.pop(raw, None)
            raw.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """Connections that are in use end when they are put back."""
        self._closed = True
        while self._idle:
            raw = self._idle.pop()
            try:
                await raw.close(timeout=1)
            except CAUGHT:
                raw.terminate()
