"""The ledger on SQLite, all but the life of a job: looks, counts, clears away, pauses. ``sqlite.py`` has the map."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from reverie.clock import Clock
from reverie.database import Connection, Database, DatabaseError, Row, Value
from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.finding import Finding
from reverie.jobs.ledger import ENDED, Count, Holder, JobFilter, Rate, WorkerRecord
from reverie.model import JSON, Attempt, Job, JobStatus

T = TypeVar("T")

COLUMNS: Final = (
    "id, kind, script, name, connection, queue, status, priority, delay, tries, timeout, attempts, crashes, epoch,"
    " hops, stamp, verb, service, user_id, role_id, app_id, trace, created_at, due_at, finished_at, error"
)
"""Of table `job`, in the order that `job_of` reads."""

_WAITING = "status = 'waiting' AND due_at <= ?"
_DELAYED = "status = 'waiting' AND due_at > ?"

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


_ENDED_SINCE = """
SELECT connection, queue, count(*), sum(status = 'failed'),
       avg(max(started_at - due_at, 0)), avg(finished_at - started_at)
FROM (SELECT * FROM job WHERE status IN ('done', 'failed', 'skipped') AND finished_at IS NOT NULL AND finished_at > ?
      ORDER BY finished_at DESC LIMIT 10000)
GROUP BY connection, queue ORDER BY connection, queue
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
            raise QueueUnavailable("the queue cannot be reached") from error

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.write(work)
        except DatabaseError as error:
            raise QueueUnavailable("the queue cannot be reached") from error

    async def _rows(self, sql: str, values: Sequence[Value], *, quick: bool = True) -> list[Row]:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(sql, values)

        return await self._read(work, quick=quick)

    async def _with_payloads(self, jobs: list[Job]) -> list[Job]:
        if not jobs:
            return jobs
        rows = await self._rows(_PAYLOADS, (_names([job.id for job in jobs]),))
        payloads = {row[0]: row[1] for row in rows}
        return [replace(job, payload=_bytes(payloads.get(job.id))) for job in jobs]

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
        return [
            Attempt(
                number=int(number(row[0])),
                started_at=number(row[1]),
                ended_at=number(row[2]),
                outcome=str(row[3]),
                error=_json(row[4]),
                worker=str(row[5] or ""),
                output=str(row[6] or ""),
            )
            for row in await self._rows(_ATTEMPTS, (job_id,))
        ]

    async def find(self, where: JobFilter, *, limit: int = 100, offset: int = 0) -> list[Job]:
        now = self._clock.now()
        conditions, values = _conditions(where, now)
        # By the time of its end, where an index has that order; ids grow with age.
        order = "finished_at DESC, id DESC" if where.status in ENDED else "id DESC"
        sql = f"SELECT {COLUMNS} FROM job {conditions} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - ours, all of it
        return [job_of(row, now) for row in await self._rows(sql, (*values, limit, offset))]

    async def counts(self) -> list[Count]:
        return [
            Count(
                connection=str(row[0]),
                queue=str(row[1]),
                status=JobStatus(str(row[2])),
                jobs=int(number(row[3])),
                oldest_due=number(row[4]),
            )
            for row in await self._rows(_COUNTS, (self._clock.now(),), quick=False)
        ]

    async def rates(self, *, since: float) -> list[Rate]:
        return [
            Rate(
                connection=str(row[0]),
                queue=str(row[1]),
                ended=int(number(row[2])),
                failed=int(number(row[3])),
                waited=None if row[4] is None else number(row[4]),
                ran=None if row[5] is None else number(row[5]),
            )
            for row in await self._rows(_ENDED_SINCE, (since,), quick=False)
        ]

    async def result(self, job_id: str) -> bytes | None:
        rows = await self._rows("SELECT result FROM job_result WHERE job_id = ?", (job_id,))
        return _bytes(rows[0][0]) if rows else None

    async def holder(self, job_id: str) -> Holder | None:
        sql = "SELECT worker, started_at, leased_until FROM job WHERE id = ? AND status = 'running'"
        for worker, began, until in await self._rows(sql, (job_id,)):
            return Holder(
                worker=str(worker), began=None if began is None else number(began), leased_until=number(until)
            )
        return None

    async def examine(self) -> list[Finding]:
        return []

    # -- queues and workers

    async def pause(self, connection: str, queue: str) -> None:
        sql = "INSERT INTO queue_pause (connection, queue, paused_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._execute(sql, (connection, queue, self._clock.now()))

    async def resume(self, connection: str, queue: str) -> None:
        await self._execute("DELETE FROM queue_pause WHERE connection = ? AND queue = ?", (connection, queue))

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
        return [
            WorkerRecord(
                name=str(row[0]),
                host=str(row[1]),
                process=int(number(row[2])),
                connection=None if row[3] is None else str(row[3]),
                queues=None if row[4] is None else tuple(str(row[4]).split(",")),
                started_at=number(row[5]),
                seen_at=number(row[6]),
            )
            for row in rows
        ]

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


def _conditions(where: JobFilter, now: float) -> tuple[str, list[Value]]:
    parts: list[str] = []
    values: list[Value] = []
    if where.status in (JobStatus.WAITING, JobStatus.DELAYED):
        parts.append(_WAITING if where.status is JobStatus.WAITING else _DELAYED)
        values.append(now)
    elif where.status is not None:
        # The second half says nothing new, but shows SQLite that the partial index holds every such row.
        parts.append("status = ? AND finished_at IS NOT NULL" if where.status in ENDED else "status = ?")
        values.append(where.status.value)
    for condition, value in (
        ("connection = ?", where.connection),
        ("queue = ?", where.queue),
        ("script = ?", where.script),
        ("user_id = ?", where.user_id),
        ("created_at < ?", where.before),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values


def job_of(row: Row, now: float) -> Job:
    """A job without payload from a row of `COLUMNS`; one that waits for a time to come shows as delayed."""
    status = JobStatus(str(row[6]))
    due_at = number(row[23])
    return Job(
        id=str(row[0]),
        kind=str(row[1]),
        script=str(row[2]),
        name=str(row[3]),
        connection=str(row[4]),
        queue=str(row[5]),
        status=JobStatus.DELAYED if status is JobStatus.WAITING and due_at > now else status,
        priority=int(number(row[7])),
        delay=None if row[8] is None else number(row[8]),
        tries=None if row[9] is None else int(number(row[9])),
        timeout=None if row[10] is None else number(row[10]),
        attempts=int(number(row[11])),
        crashes=int(number(row[12])),
        epoch=int(number(row[13])),
        hops=int(number(row[14])),
        stamp=int(number(row[15])),
        verb=str(row[16]),
        service=str(row[17]),
        user_id=None if row[18] is None else int(number(row[18])),
        role_id=None if row[19] is None else int(number(row[19])),
        app_id=None if row[20] is None else int(number(row[20])),
        trace=str(row[21]),
        created_at=number(row[22]),
        due_at=due_at,
        finished_at=None if row[24] is None else number(row[24]),
        error=_json(row[25]),
    )


def row_of(job: Job) -> tuple[Value, ...]:
    """The opposite of `job_of`."""
    return (
        job.id,
        job.kind,
        job.script,
        job.name,
        job.connection,
        job.queue,
        JobStatus.WAITING.value if job.status is JobStatus.DELAYED else job.status.value,
        job.priority,
        job.delay,
        job.tries,
        job.timeout,
        job.attempts,
        job.crashes,
        job.epoch,
        job.hops,
        job.stamp,
        job.verb,
        job.service,
        job.user_id,
        job.role_id,
        job.app_id,
        job.trace,
        job.created_at,
        job.due_at,
        job.finished_at,
        json_text(job.error),
    )


def number(value: Value) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a number was expected, not {type(value).__name__}")
    return value


def json_text(value: JSON) -> str | None:
    """JSON as it is stored; None stays NULL. Half a surrogate pair, which a script may print, is escaped."""
    if value is None:
        return None
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value)


def _json(value: Value) -> JSON:
    if value is None:
        return None
    found: JSON = json.loads(str(value))
    return found


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _names(ids: Sequence[str]) -> str:
    return msgspec.json.encode(ids).decode()
