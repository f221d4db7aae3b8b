"""Connections of one event loop, opened when they are needed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from asyncmy.connection import Connection
from asyncmy.converters import conversions
from asyncmy.cursors import Cursor, SSCursor

from reverie.mysql.address import Address
from reverie.mysql.errors import BROKEN, is_final, is_lost, translate
from reverie.pooling import Watch, take_place

CONNECT_WITHIN: Final = 5
_FOUND_ROWS: Final = 2
"""A capability of the protocol: an update counts the rows it matched, changed or not."""
_SET_OPTION: Final = 0x1B
_ONE_STATEMENT: Final = b"\x01\x00"
"""A command of the protocol and its argument: from now on, what is sent is one statement."""
_DATES: Final = (7, 10, 11, 12)
_DECIMALS: Final = (0, 246)
_BIT: Final = 16

Settings = Callable[[str], Sequence[str]]
"""Given the server's version: the statements that prepare a connection."""


def _number(text: str) -> int | float:
    """As JSON numbers are read everywhere."""
    return float(text) if not text.lstrip("-").isdigit() else int(text)


def _conversions() -> dict[Any, Any]:
    """Dates and times stay the texts that the server wrote; numbers with digits after the point become floats."""
    found: Mapping[Any, Any] = conversions
    kept = {key: value for key, value in found.items() if key not in _DATES}
    return {**kept, **dict.fromkeys(_DECIMALS, _number), _BIT: lambda bits: int.from_bytes(bits, "big")}


CONVERSIONS: Final = _conversions()


class QuietCursor(Cursor):
    """Asks for no warnings of the server: they hold values, and would be logged."""

    async def _show_warnings(self, conn: object) -> None:
        pass


class QuietStream(SSCursor):
    """As `QuietCursor`, and takes rows as they come."""

    async def _show_warnings(self, conn: object) -> None:
        pass


async def connect(address: Address, settings: Settings) -> Any:
    """A connection that commits every statement; asyncmy's exceptions when there is none."""
    make: Any = Connection  # asyncmy's types lack what is its own business
    raw = make(
        host=address.host,
        port=address.port,
        user=address.user,
        # As asyncmy would encode it, only Latin letters could be in it.
        password=address.password.encode(),
        database=address.database,
        charset="utf8mb4",
        ssl=address.context(),
        conv=CONVERSIONS,
        cursor_cls=QuietCursor,
        client_flag=_FOUND_ROWS,
        connect_timeout=CONNECT_WITHIN,
        autocommit=True,
        program_name="reverie",
    )
    try:
        await raw.connect()
        await raw._execute_command(_SET_OPTION, _ONE_STATEMENT)
        await raw.read_packet()
        cursor = raw.cursor()
        for statement in settings(raw.get_server_info()):
            await cursor.execute(statement)
    except BaseException:
        raw.close()
        raise
    return raw


class Pool:
    """Gives out connections, the last used first; never more than *size* at a time."""

    def __init__(self, address: Address, size: int, settings: Settings) -> None:
        self.address = address
        self._settings = settings
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
                    raw.close()
                raise
            finally:
                self._put_back(raw)
        finally:
            self._places.release()

    def trusts(self, raw: Any) -> bool:
        """Whether a connection that was given out surely leads to the server: it is new, or was just used."""
        watch = self._watched.get(raw)
        return watch is None or (watch.trusts(asyncio.get_running_loop().time()) and not raw._stream_broken)

    async def apart(self) -> Any:
        """A connection beside the pool, to be closed by who asked. Raises DatabaseBusy."""
        try:
            return await connect(self.address, self._settings)
        except BROKEN as error:
            raise translate(error) from error

    async def _take(self, give_up: float, *, fresh: bool) -> Any:
        if fresh:
            self._drop_idle()
        while self._idle:
            raw = self._idle.pop()
            if raw.connected:
                return raw
            self._watched.pop(raw, None)
        loop = asyncio.get_running_loop()
        known: Exception | None = None
        while True:
            try:
                async with asyncio.timeout_at(give_up):
                    return await connect(self.address, self._settings)
            except BROKEN as error:
                pause = random.uniform(0.05, 0.2)
                # An attempt that is cut off by the end of the time says less than one that was answered.
                known = known if known is not None and isinstance(error, TimeoutError) else error
                if not is_lost(error) or is_final(error) or loop.time() + pause >= give_up:
                    raise translate(known) from known
            await asyncio.sleep(pause)

    def _put_back(self, raw: Any) -> None:
        if self._closed or not raw.connected or raw.get_transaction_status():
            self._watched.pop(raw, None)
            raw.close()
        else:
            watch = self._watched.get(raw)
            if watch is None:
                watch = self._watched[raw] = Watch(raw._transport)
            watch.used = asyncio.get_running_loop().time()
            self._idle.append(raw)

    def _drop_idle(self) -> None:
        for raw in self._idle:
            self._watched.pop(raw, None)
            raw.close()
        self._idle.clear()

    async def close(self) -> None:
        """Connections that are in use end when they are put back."""
        self._closed = True
        while self._idle:
            raw = self._idle.pop()
            try:
                async with asyncio.timeout(1):
                    await raw.ensure_closed()
            except BROKEN:
                raw.close()
