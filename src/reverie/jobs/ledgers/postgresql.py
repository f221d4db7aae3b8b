"""The ledger on PostgreSQL.

    job           one narrow row for each job; everything that moves. Found by
                    ix_job_waiting  (connection, queue, priority desc, due_at, id) of those that wait
                    ix_job_running  (leased_until) of those that run
                    ix_job_ended    (status, finished_at) of those that have ended
    job_payload   job_id → sealed payload, written once
    job_result    job_id → sealed answer of its run, where one is kept
    job_key       idempotency key → job and digest, until it expires
    job_attempt   (job_id, epoch) → how that run ended
    queue_pause   (connection, queue) nobody may take from
    worker        name → who is alive

Every method is one statement, and so one transaction and one trip to the server. Claims pass by what others hold
(SKIP LOCKED), everything else is fenced by epoch. The statements are in ``postgresql_sql.py``.

A *lane* is the waiting jobs of one queue and one priority, in due order: a contiguous piece of the first index.

The store's clock is the server's. Jobs are made with the time of their host, and shifted by the difference when they
are stored; so hosts whose clocks differ agree on what is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from reverie.clock import Clock
from reverie.database import Connection, Value
from reverie.jobs.ledger import Kept, Lease, Settlement, Swept
from reverie.jobs.ledgers import postgresql_sql as sql
from reverie.jobs.ledgers.postgresql_records import (
    PATIENCE,
    PostgresqlRecords,
    clean,
    shown,
    with_payload,
)
from reverie.jobs.ledgers.postgresql_watermark import Watermark
from reverie.jobs.ledgers.rows import json_text, number, row_of
from reverie.model import Job
from reverie.postgresql.database import PostgresqlDatabase

MOST_SWEPT: Final = 500
"""Jobs taken back in one transaction."""

_KINDS: Final = [(one, named) for one in (False, True) for named in (False, True)]
_CLAIMS: Final = {kind: sql.claim(one_connection=kind[0], named=kind[1]) for kind in _KINDS}
_MARKED: Final = {named: sql.claim(one_connection=False, named=named, marked=True) for named in (False, True)}
_NEXT_DUES: Final = {kind: sql.next_due(one_connection=kind[0], named=kind[1]) for kind in _KINDS}


class PostgresqlLedger(PostgresqlRecords):
    """`Ledger` in a PostgreSQL database, the store's own.

    Args:
        clock: of this host; what jobs were made by.
        now: tells the time instead of the server's clock; for tests that move it.
    """

    def __init__(self, database: PostgresqlDatabase, clock: Clock, *, now: Callable[[], float] | None = None) -> None:
        super().__init__(database, clock, now=now)
        self._marks: dict[tuple[str | None, tuple[str, ...] | None], Watermark] = {}

    # -- in

    async def create(self, connection: Connection, jobs: Sequence[Job]) -> None:
        if jobs:
            values: Any = self._columns_of(jobs)
            await connection.execute(sql.CREATE, values)

    async def create_many(self, jobs: Sequence[Job]) -> None:
        if jobs:
            await self._run(sql.CREATE, *self._columns_of(jobs), within=PATIENCE)

    async def create_once(self, job: Job, *, key: str, digest: str, keep_for: float) -> Kept | None:
        values = (*self._columns_of([job]), key, digest, job.id, keep_for)
        while not await self._run(sql.CREATE_ONCE, *values, within=PATIENCE):
            known = await self._run(sql.FIND_KEY, key, within=PATIENCE)
            if known and known[0][0] == job.id:
                return None  # ours, of an attempt whose answer was lost
            if known:
                return Kept(str(known[0][0]), str(known[0][1]))
        return None

    def _columns_of(self, jobs: Sequence[Job]) -> list[object]:
        """The values of `sql.CREATE`."""
        rows = [row_of(job) for job in jobs]
        columns = [[_clean(value) for value in column] for column in zip(*rows, strict=True)]
        return [self._now(), self._clock.now(), *columns, [job.payload for job in jobs]]

    # -- claimed, begun, extended

    async def claim(
        self,
        *,
        worker: str,
        limit: int,
        lease: float,
        connection: str | None = None,
        queues: Sequence[str] | None = None,
        first: str = "default",
        thorough: bool = False,
    ) -> list[Job]:
        if limit < 1:
            return []
        named = None if queues is None else list(dict.fromkeys(queues))
        values = (self._now(), worker, lease, limit, connection, named, first)
        mark = self._mark(connection, named)
        if (known := mark.lanes(limit)) is not None:
            jobs = _claimed(await self._run(_MARKED[named is not None], *values, *known))
            mark.note_claim(jobs, limit)
            if jobs or not (thorough or mark.lanes(limit) is None):
                return jobs
        began = time.monotonic()
        jobs = _claimed(await self._run(_CLAIMS[connection is not None, named is not None], *values))
        mark.note_look(jobs, limit, time.monotonic() - began)
        return jobs

    def _mark(self, connection: str | None, named: list[str] | None) -> Watermark:
        return self._marks.setdefault((connection, None if named is None else tuple(named)), Watermark())

    async def start_many(self, leases: Sequence[Lease]) -> list[Lease]:
        ids, epochs = _parted(leases)
        return _missing(leases, await self._run(sql.START, self._now(), ids, epochs))

    async def extend_many(self, worker: str, leases: Sequence[Lease], *, lease: float) -> list[Lease]:
        ids, epochs = _parted(leases)
        return _missing(leases, await self._run(sql.EXTEND, self._now(), ids, epochs, worker, lease))

    async def held(self, worker: str) -> set[Lease]:
        return {Lease(row[0], row[1]) for row in await self._run(sql.HELD, worker)}

    # -- out

    async def settle_many(self, settlements: Sequence[Settlement], *, again: bool = False) -> list[Lease]:
        # In the order of ids, as whoever else changes many does it, so that none waits for the other in a circle.
        ordered = sorted(settlements, key=lambda one: one.lease)
        leases = [one.lease for one in ordered]
        rows = [
            (
                *one.lease,
                one.status.value,
                one.outcome,
                int(one.tried),
                int(one.crashed),
                one.pause,
                json_text(one.error),
                clean(one.output) or None,
                one.result,
                one.ran,
            )
            for one in ordered
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        if not rows:
            return []
        text = sql.SETTLE_AGAIN if again else sql.SETTLE
        return _missing(leases, await self._run(text, self._now(), *columns, again=sql.SETTLE_AGAIN))

    async def cancel(self, ids: Sequence[str]) -> list[Job]:
        return await self._change_named(sql.CANCEL, ids)

    async def retry(self, ids: Sequence[str]) -> list[Job]:
        return await self._change_named(sql.RETRY, ids)

    async def prioritise(self, ids: Sequence[str], priority: int) -> list[Job]:
        return await self._change_named(sql.PRIORITISE, ids, priority)

    async def _change_named(self, text: str, ids: Sequence[str], *values: object) -> list[Job]:
        return [shown(row) for row in await self._run(text, self._now(), [clean(one) for one in ids], *values)]

    # -- taken back

    async def sweep(self, *, max_crashes: int) -> Swept:
        found = {row[0]: row[1] for row in await self._run(sql.SWEEP, self._now(), max_crashes, MOST_SWEPT)}
        return Swept(**found)

    async def next_due(self, connection: str | None = None, queues: Sequence[str] | None = None) -> float | None:
        named = None if queues is None else list(dict.fromkeys(queues))
        mark = self._mark(connection, named)
        if (known := mark.lanes()) is not None:
            rows = await self._run(sql.NEXT_DUE_MARKED, self._now(), mark.seconds_left(), *known)
        else:
            text = _NEXT_DUES[connection is not None, named is not None]
            rows = await self._run(text, self._now(), None, None, None, connection, named)
        return number(rows[0][0]) if rows else None


def _clean(value: Value) -> Value:
    return clean(value) if isinstance(value, str) else value


def _claimed(rows: list[Any]) -> list[Job]:
    return [with_payload(row) for row in sorted(rows, key=_place)]


def _place(row: Any) -> int:
    place: int = row[27]
    return place


def _parted(leases: Sequence[Lease]) -> tuple[list[str], list[int]]:
    """Ids and epochs, in the order of ids: who changes many does it in that order, and none waits in a circle."""
    ordered = sorted(leases)
    return [one.job_id for one in ordered], [one.epoch for one in ordered]


def _missing(leases: Sequence[Lease], rows: Sequence[Any]) -> list[Lease]:
    """The leases that are in no row; of one that is named twice, the second."""
    left = {Lease(row[0], row[1]) for row in rows}
    lost: list[Lease] = []
    for lease in leases:
        if lease in left:
            left.remove(lease)
        else:
            lost.append(lease)
    return lost
