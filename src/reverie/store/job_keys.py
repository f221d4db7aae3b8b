"""Idempotency keys, as whoever asks for a job finds them; the ledger writes them beside their jobs."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from reverie.store.store import Store
from reverie.store.tables import job_key


class KnownKey(NamedTuple):
    job_id: str
    digest: str


async def find_key(store: Store, key: str) -> KnownKey | None:
    """What a key stands for; None when it is free, or its time is over."""
    query = select(job_key.c.job_id, job_key.c.digest).where(
        job_key.c.key == key, job_key.c.expires_at > store.clock.now()
    )
    row = await store.fetch_one(query)
    return None if row is None else KnownKey(str(row["job_id"]), str(row["digest"]))
