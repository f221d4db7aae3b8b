"""Users and administrators, as the gate needs them."""

from __future__ import annotations

from typing import cast

from sqlalchemy import ColumnElement, func, insert, select, update

from reverie.database import Connection
from reverie.store.records import UserRecord
from reverie.store.store import Record, Store
from reverie.store.tables import user, user_to_app_to_role


async def user_by_id(store: Store, user_id: int) -> UserRecord | None:
    return await _one(store, user.c.id == user_id)


async def user_by_email(store: Store, email: str) -> UserRecord | None:
    """*email* in whatever case."""
    return await _one(store, user.c.email == email.strip().lower())


async def user_by_username(store: Store, username: str) -> UserRecord | None:
    return await _one(store, user.c.username == username)


async def _one(store: Store, condition: ColumnElement[bool]) -> UserRecord | None:
    row = await store.fetch_one(select(user).where(condition))
    if row is None:
        return None
    mapping = user_to_app_to_role
    rows = await store.fetch(
        select(mapping.c.app_id, mapping.c.role_id).where(mapping.c.user_id == row["id"]).order_by(mapping.c.id)
    )
    return _record(row, rows)


def _record(row: Record, mappings: list[Record]) -> UserRecord:
    return UserRecord(
        id=cast("int", row["id"]),
        name=cast("str", row["name"]),
        username=cast("str | None", row["username"]),
        first_name=cast("str | None", row["first_name"]),
        last_name=cast("str | None", row["last_name"]),
        email=cast("str", row["email"]),
        password=cast("str | None", row["password"]),
        is_sys_admin=bool(row["is_sys_admin"]),
        is_active=bool(row["is_active"]),
        last_login_date=cast("str | None", row["last_login_date"]),
        ldap_username=cast("str | None", row["ldap_username"]),
        roles={cast("int", each["app_id"]): cast("int", each["role_id"]) for each in mappings},
    )


async def count_administrators(store: Store, connection: Connection | None = None) -> int:
    """How many administrators there are that may log in."""
    count = await store.scalar(
        select(func.count()).select_from(user).where(user.c.is_sys_admin, user.c.is_active), connection
    )
    return cast("int", count)


async def create_first_administrator(
    store: Store, *, email: str, password: str, name: str = "Administrator", first_name: str = "", last_name: str = ""
) -> int | None:
    """Make the first administrator; None when there is one already, so two processes cannot both make one.

    Args:
        password: its argon2id hash.

    Raises:
        Refusal: the e-mail belongs to a user.
    """
    now = store.now_text()
    statement = (
        insert(user)
        .values(
            name=name,
            first_name=first_name or None,
            last_name=last_name or None,
            email=email.strip().lower(),
            username=email.strip().lower(),
            password=password,
            is_sys_admin=True,
            is_active=True,
            created_date=now,
            last_modified_date=now,
        )
        .returning(user.c.id)
    )

    async def work(connection: Connection) -> int | None:
        if await count_administrators(store, connection):
            return None
        return cast("int", await store.scalar(statement, connection))

    return await store.write(work)


async def set_password(store: Store, user_id: int, password: str, connection: Connection) -> None:
    """Store a new hash, inside a write unit; sessions are ended apart (`sessions.revoke_all`)."""
    values = {"password": password, "last_modified_date": store.now_text()}
    await store.execute(update(user).where(user.c.id == user_id).values(values), connection)


async def note_login(store: Store, user_id: int, connection: Connection) -> None:
    """The user has logged in now; a confirmation code that waited is void."""
    values = {"last_login_date": store.now_text(), "confirm_code": None}
    await store.execute(update(user).where(user.c.id == user_id).values(values), connection)
