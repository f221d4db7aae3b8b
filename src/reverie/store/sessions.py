"""Sessions by the id of their token. Ending one moves the settings version, so that every process notices."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from reverie.database import Connection
from reverie.store.store import Store
from reverie.store.tables import session


async def record(store: Store, jti: str, user_id: int, expires_at: int, connection: Connection) -> None:
    """Remember a session, inside a write unit; those that nobody can use any more are forgotten."""
    await store.execute(delete(session).where(session.c.expires_at < int(store.clock.now())), connection)
    values = {"jti": jti, "user_id": user_id, "expires_at": expires_at, "is_revoked": False}
    await store.execute(insert(session).values(values), connection)


async def is_live(store: Store, jti: str, connection: Connection | None = None) -> bool:
    """Whether the session is known and not ended."""
    return await store.scalar(select(session.c.is_revoked).where(session.c.jti == jti), connection) is False


async def revoke(store: Store, jti: str, connection: Connection) -> None:
    """End a session, inside a write unit that moves the settings version."""
    await store.execute(update(session).where(session.c.jti == jti).values(is_revoked=True), connection)


async def revoke_all(store: Store, user_id: int, connection: Connection) -> int:
    """End every session of a user, inside a write unit that moves the settings version; how many there were."""
    statement = update(session).where(session.c.user_id == user_id, session.c.is_revoked.is_(False))
    return await store.execute(statement.values(is_revoked=True), connection)
