"""What the definitions of all tables share: their names' conventions, and columns that many have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Integer, MetaData, String, false, true

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def stamps() -> list[Column[Any]]:
    """When and by whom a record was made and last changed."""
    return [
        Column("created_date", String(32), nullable=False),
        Column("last_modified_date", String(32), nullable=False),
        Column("created_by_id", Integer),
        Column("last_modified_by_id", Integer),
    ]


def flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=true() if default else false())
