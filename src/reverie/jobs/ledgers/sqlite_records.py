"""The ledger on SQLite, all but the life of a job: looks, counts, clears away, pauses. ``sqlite.py`` has the map."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from reverie.clock import Clock
from reverie.database import Connection, Database, DatabaseError, Row, Value
from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.finding import Finding
from reverie.jobs.ledger import ENDED, Count, Holder, JobFilter, Rate, WorkerRecord
from reverie.jobs.ledgers.rows import COLUMNS, attempt_of, bytes_of, count_of, job_of, number, rate_of, worker_of
from reverie.jobs.ledgers.sqlite_examine import examine
from reverie.jobs.ledgers.sqlite_filter import conditions_of
from reverie.model import Attempt, Job, JobStatus
from reverie.sqlite import SqliteDatabase

T = TypeVar("T")

_PAYLOADS = "SELECT job_id, payload FROM job_payload WHERE job_id IN (SELECT value FROM json_each(?))"

_ATTEMPTS = """
SELECT number, started_at, ended_at, outcome, error, worker, output FROM job_attempt WHERE job_id = ? ORDER BY epoch
"""

_COUNTS = """
SELECT connection, queue, CASE WHEN status = 'waiting' AND due_at > ? THEN 'delayed' ELSE status END AS shown,
       count(*), min(due_at)
FROM job GROUP BY connection, queue, shown ORDER BY connection, queue, shown
"""

_ENDED_BEFORE = """
SELECT id FROM job WHERE status = ? AND finished_at IS NOT NULL AND finished_at < ? ORDER BY finished_at, id LIMIT ?
"""

_BEYOND_NEWEST = """
SELECT id FROM job WHERE status = ? AND finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT ? OFFSET ?
"""

_FORGET = """
DELETE FROM job WHERE id IN (SELECT value FROM json_each(?)) AND status IN ('done', 'failed', 'cancelled', 'skipped')
RETURNING id
"""


_MOST_COUNTED: Final = 10_000
"""Of very many that ended, so many are looked at."""
_ENDED_SINCE = """
WITH newest AS (
    SELECT connection, queue, status, due_at, started_at, finished_at FROM job
    WHERE status IN ('done', 'failed', 'skipped') AND finished_at IS NOT NULL AND finished_at > ?
    ORDER BY finished_at DESC LIMIT ?
)
SELECT connection, queue, count(*), sum(status = 'failed'),
       avg(max(started_at - due_at, 0)), avg(finished_at - started_at),
       (SELECT CASE WHEN count(*) >= ? THEN min(finished_at) END FROM newest)
FROM newest GROUP BY connection, queue ORDER BY connection, queue
"""

# In the order of the index by which jobs are claimed; ids grow with age.
_AHEAD = """
SELECT count(*) FROM (
    SELECT 1 FROM job WHERE status = 'waiting' AND connection = ? AND queue = ? AND due_at <= ?
    AND (priority > ? OR (priority = ? AND (due_at, id) < (?, ?))) LIMIT 100000
)
"""

_CLEAR = """
DELETE FROM job WHERE id IN (
    SELECT id FROM job WHERE connection = ? AND queue = ? AND status IN ('waiting', 'running') LIMIT ?
) RETURNING id
"""


class SqliteRecords:
    """The half of the ledger that claims nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def _read(self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True) -> T:
        try:
            return await self._database.read(work, quick=quick)
        except DatabaseError as error:
            raise QueueUnavailable from error

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.write(work)
        except DatabaseError as error:
            raise QueueUnavailable from error

    async def _rows(self, sql: str, values: Sequence[Value], *, quick: bool = True) -> list[Row]:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(sql, values)

        return await self._read(work, quick=quick)

    async def _with_payloads(self, jobs: list[Job]) -> list[Job]:
        if not jobs:
            return jobs
        rows = await self._rows(_PAYLOADS, (_names([job.id for job in jobs]),))
        payloads = {row[0]: row[1] for row in rows}
        return [replace(job, payload=bytes_of(payloads.get(job.id))) for job in jobs]

    async def get(self, job_id: str) -> Job:
        sql = f"SELECT {COLUMNS} FROM job WHERE id = ?"  # noqa: S608 - COLUMNS is our own list of names
        rows = await self._rows(sql, (job_id,))
        if not rows:
            raise NotFound(f"There is no job {job_id!r}.")
        return (await self._with_payloads([job_of(rows[0], self._clock.now())]))[0]

    async def get_many(self, ids: Sequence[str]) -> list[Job]:
        sql = f"SELECT {COLUMNS} FROM job WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - as above
        now = self._clock.now()
        return [job_of(row, now) for row in await self._rows(sql, (_names(ids),))]

    async def attempts(self, job_id: str) -> list[Attempt]:
        return [attempt_of(row) for row in await self._rows(_ATTEMPTS, (job_id,))]

    async def find(self, where: JobFilter, *, limit: int = 100, offset: int = 0) -> list[Job]:
        now = self._clock.now()
        conditions, values = conditions_of(where, now)
        # By the time of its end, where an index has that order; ids grow with age.
        order = "finished_at DESC, id DESC" if where.status in ENDED else "id DESC"
        sql = f"SELECT {COLUMNS} FROM job {conditions} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - ours, all of it
        return [job_of(row, now) for row in await self._rows(sql, (*values, limit, offset))]

    async def counts(self) -> list[Count]:
        return [count_of(row) for row in await self._rows(_COUNTS, (self._clock.now(),), quick=False)]

    async def rates(self, *, since: float) -> list[Rate]:
        values = (since, _MOST_COUNTED, _MOST_COUNTED)
        return [rate_of(row) for row in await self._rows(_ENDED_SINCE, values, quick=False)]

    async def result(self, job_id: str) -> bytes | None:
        rows = await self._rows("SELECT result FROM job_result WHERE job_id = ?", (job_id,))
        return bytes_of(rows[0][0]) if rows else None

    async def holder(self, job_id: str) -> Holder | None:
        sql = "SELECT worker, started_at, leased_until FROM job WHERE id = ? AND status = 'running'"
        for worker, began, until in await self._rows(sql, (job_id,)):
            return Holder(
                worker=str(worker), began=None if began is None else number(began), leased_until=number(until)
            )
        return None

    async def ahead(self, job: Job) -> int:
        values = (job.connection, job.queue, self._clock.now(), job.priority, job.priority, job.due_at, job.id)
        return int(number((await self._rows(_AHEAD, values, quick=False))[0][0]))

    async def examine(self) -> list[Finding]:
        return await examine(self._database, self._clock.now())

    async def measures(self) -> Mapping[str, float]:
        """Size of the write-ahead log, which grows as long as somebody reads for long."""
        if not isinstance(self._database, SqliteDatabase):
            return {}
        try:
            size = self._database.path.with_name(self._database.path.name + "-wal").stat().st_size
        except OSError:
            size = 0
        return {"wal_bytes": float(size)}

    # -- queues and workers

    async def pause(self, connection: str, queue: str) -> None:
        sql = "INSERT INTO queue_pause (connection, queue, paused_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._execute(sql, (connection, queue, self._clock.now()))

    async def resume(self, connection: str, queue: str) -> None:
        await self._execute("DELETE FROM queue_pause WHERE connection = ? AND queue = ?", (connection, queue))

    async def paused(self) -> list[tuple[str, str]]:
        rows = await self._rows("SELECT connection, queue FROM queue_pause ORDER BY connection, queue", ())
        return [(str(row[0]), str(row[1])) for row in rows]

    async def register(self, worker: WorkerRecord) -> None:
        now = self._clock.now()
        queues = None if worker.queues is None else ",".join(worker.queues)
        await self._execute(
            "INSERT OR REPLACE INTO worker (name, host, process, connection, queues, started_at, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (worker.name, worker.host, worker.process, worker.connection, queues, now, now),
        )

    async def bury(self, worker: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                "UPDATE job SET leased_until = 0 WHERE status = 'running' AND worker = ?", (worker,)
            )
            await connection.execute("DELETE FROM worker WHERE name = ?", (worker,))

        await self._write(work)

    async def _execute(self, sql: str, values: Sequence[Value]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(sql, values)

        await self._write(work)

    async def workers(self) -> list[WorkerRecord]:
        rows = await self._rows(
            "SELECT name, host, process, connection, queues, started_at, seen_at FROM worker ORDER BY started_at", ()
        )
        return [worker_of(row) for row in rows]

    async def purge(self, *, status: JobStatus, ended_before: float, most: int | None = None, limit: int = 1000) -> int:
        await self._execute("DELETE FROM job_key WHERE expires_at <= ?", (self._clock.now(),))
        # Looked up by a read, so that the writer is held only for the deletes.
        rows = await self._rows(_ENDED_BEFORE, (status.value, ended_before, limit), quick=False)
        if not rows and most is not None:
            rows = await self._rows(_BEYOND_NEWEST, (status.value, limit, most), quick=False)
        return len(await self.forget([str(row[0]) for row in rows])) if rows else 0

    async def forget(self, ids: Sequence[str]) -> list[str]:
        async def work(connection: Connection) -> list[str]:
            gone = [str(row[0]) for row in await connection.fetch(_FORGET, (_names(ids),))]
            await _forget_parts(connection, gone)
            return gone

        return await self._write(work)

    async def clear(self, connection: str, queue: str, *, limit: int = 1000) -> int:
        async def work(unit: Connection) -> int:
            gone = [str(row[0]) for row in await unit.fetch(_CLEAR, (connection, queue, limit))]
            await _forget_parts(unit, gone)
            return len(gone)

        return await self._write(work)


async def _forget_parts(connection: Connection, ids: Sequence[str]) -> None:
    """Delete what other tables hold of jobs that are gone."""
    named = [(job_id,) for job_id in ids]
    for table in ("job_payload", "job_attempt", "job_result"):
        await connection.execute_many(f"DELETE FROM {table} WHERE job_id = ?", named)  # noqa: S608 - our own names


def _names(ids: Sequence[str]) -> str:
    return msgspec.json.encode(ids).decode()
