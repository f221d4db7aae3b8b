"""Lookups: names that stand for values, of the instance, an app, a role or a user."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import structlog
from sqlalchemy import and_, or_, select

from reverie.sealing import Sealer, Unsealable
from reverie.store.store import Record, Store
from reverie.store.tables import lookup

_ABOUT: Final = "lookup"
_OWNERS: Final = ("user_id", "role_id", "app_id")
log = structlog.get_logger()


class Lookups(NamedTuple):
    """Values in force for one caller. A name may be in both; then the private value wins where it may be used."""

    public: dict[str, str]
    private: dict[str, str]


def seal_value(sealer: Sealer, value: str) -> str:
    """A private value as the column ``lookup.value`` holds it."""
    return sealer.seal_text(value, about=_ABOUT)


def open_value(sealer: Sealer, sealed: str) -> str:
    """The opposite of `seal_value`.

    Raises:
        Unsealable
    """
    return sealer.open_text(sealed, about=_ABOUT)


async def lookups_for(store: Store, user_id: int | None, role_id: int | None, app_id: int | None) -> Lookups:
    """User over role over app over instance. A private value that cannot be opened is left out, and logged."""
    column = lookup.c
    conditions = [and_(column.app_id.is_(None), column.role_id.is_(None), column.user_id.is_(None))]
    for owner, owner_id in zip(_OWNERS, (user_id, role_id, app_id), strict=True):
        if owner_id is not None:
            conditions.append(column[owner] == owner_id)
    rows = await store.fetch(
        select(column.id, column.user_id, column.role_id, column.app_id, column.name, column.value, column.private)
        .where(or_(*conditions))
        .order_by(column.id)
    )
    found = Lookups({}, {})
    for row in sorted(rows, key=_rank):
        name, value = cast("str", row["name"]), cast("str | None", row["value"])
        if not row["private"]:
            found.public[name] = value or ""
        elif (opened := _opened(store.sealer, name, value)) is not None:
            found.private[name] = opened
    return found


def _rank(row: Record) -> int:
    """Later ones win."""
    for rank, owner in enumerate(_OWNERS):
        if row[owner] is not None:
            return -rank
    return -len(_OWNERS)


def _opened(sealer: Sealer, name: str, value: str | None) -> str | None:
    if not value:
        return ""
    try:
        return open_value(sealer, value)
    except Unsealable as error:
        log.warning("store.lookup_unreadable", lookup=name, cause=str(error))
        return None
