"""One connection to a Redis, found through Sentinel where there is one. Every wait has an end.

Only redis-py's connection is used, not its client: that one connects again by itself, and would hide that messages were
missed meanwhile.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from reverie.jobs.address import RedisAddress

TIMEOUT: Final = 2.0
"""Seconds for connecting, and for each answer."""
TROUBLE: Final = (RedisError, OSError, UnicodeError)
"""What may go wrong on the way to a server, or there; UnicodeError is a host name that cannot be one."""


class Silent(RedisError):
    """The server did not answer in time."""


class NoMaster(RedisError):
    """No Sentinel names a server that is the master."""


class Session:
    """A connection that is open. What is in `TROUBLE` leaves its methods, and then it is of no more use."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection  # redis-py leaves the methods that are used here without types

    async def ask(self, *command: str) -> Any:
        """The answer to a command; texts come as bytes."""
        await self._connection.send_command(*command, check_health=False)
        return await self._connection.read_response()

    async def next_message(self, seconds: float) -> str | None:
        """The next message of what was subscribed to; ``""`` for any other sign of life, None for none in time."""
        match await self._connection.read_response(timeout=seconds, disconnect_on_error=False):
            case [b"message", _, bytes(message)]:
                return message.decode("utf-8", "replace")
            case None:
                return None
            case _:
                return ""

    async def ping(self) -> None:
        """Ask for a sign of life, which `next_message` gives."""
        await self._connection.send_command("PING", check_health=False)

    async def facts(self) -> dict[str, str]:
        """What the server says of itself; nothing where this user may not ask."""
        try:
            answer = await self.ask("INFO")
        except ResponseError:
            return {}
        lines = answer.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


async def open_session(address: RedisAddress) -> Session:
    """
    Raises:
        RedisError, OSError, UnicodeError: see `TROUBLE`.
    """
    if address.path:
        return await _opened(
            UnixDomainSocketConnection(
                path=address.path, username=address.username, password=address.password, **_limits()
            )
        )
    if not address.service:
        [(host, port)] = address.hosts
        return await _opened(_over_network(address, host, port, address.username, address.password))
    return await _open_master(address)


async def _open_master(address: RedisAddress) -> Session:
    """Ask the Sentinels one after the other, and believe the first whose master says that it is one."""
    reasons = []
    for host, port in address.hosts:
        try:
            at = await _ask_sentinel(address, host, port)
            session = await _opened(_over_network(address, *at, address.username, address.password))
            try:
                role = await _role(session)
            except BaseException:
                await session.close()
                raise
            if role in ("master", ""):
                return session
            await session.close()
            reasons.append(f"{at[0]}:{at[1]} is no master yet")
        except TROUBLE as error:
            reasons.append(f"{host}:{port}: {cause_of(error)}")
    raise NoMaster(f"no Sentinel leads to a master of {address.service!r} ({'; '.join(reasons)})")


async def _ask_sentinel(address: RedisAddress, host: str, port: int) -> tuple[str, int]:
    sentinel = await _opened(_over_network(address, host, port, address.sentinel_username, address.sentinel_password))
    try:
        answer = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
    finally:
        await sentinel.close()
    if not answer:
        raise NoMaster("it does not know the service")
    return answer[0].decode(), int(answer[1])


async def _role(session: Session) -> str:
    """``""`` where this user may not ask."""
    try:
        answer = await session.ask("ROLE")
    except ResponseError:
        return ""
    return str(answer[0].decode())


def _over_network(
    address: RedisAddress, host: str, port: int, username: str | None, password: str | None
) -> Connection:
    known: dict[str, Any] = {"host": host, "port": port, "username": username, "password": password, **_limits()}
    known["socket_keepalive"] = True
    if not address.tls:
        return Connection(**known)
    known.update(address.tls_files)
    return SSLConnection(**known)


def _limits() -> dict[str, Any]:
    # Tried once: connecting again is decided where somebody knows what was missed.
    retry = Retry(NoBackoff(), 0)
    return {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": retry, "protocol": 2}


async def _opened(connection: Any) -> Session:
    try:
        await connection.connect()
    except BaseException:
        with contextlib.suppress(*TROUBLE):
            await connection.disconnect(nowait=True)
        raise
    return Session(connection)


def cause_of(error: Exception) -> str:
    """What went wrong, in a line; never with a password."""
    return " ".join(str(error).split()) or type(error).__name__
