"""The ledger on PostgreSQL, all but the life of a job: looks, counts, clears away. ``postgresql.py`` has the map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.finding import Finding
from reverie.jobs.ledger import ENDED, Count, Holder, JobFilter, Rate, WorkerRecord
from reverie.jobs.ledgers import postgresql_sql as sql
from reverie.jobs.ledgers.postgresql_health import examine
from reverie.jobs.ledgers.rows import attempt_of, bytes_of, count_of, job_of, rate_of, worker_of
from reverie.model import Attempt, Job, JobStatus
from reverie.postgresql.database import PostgresqlDatabase

PATIENCE: Final = 2.0
"""Seconds within which who pushes a job is told that the store is away."""
LONG: Final = 30.0
_NUL: Final = "\ufdd0"
"""Stands for NUL; Unicode keeps it for such ends, so it is in no text."""
_AS_IT_IS: Final = float("inf")
"""For `job_of`: the statement has told delayed from waiting already."""


class PostgresqlRecords:
    """The half of the ledger that claims nothing."""

    def __init__(self, database: PostgresqlDatabase, clock: Clock, *, now: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock
        self._told = now

    def _now(self) -> float | None:
        """The first value of a statement; None lets the server's clock decide."""
        return None if self._told is None else self._told()

    async def _run(self, text: str, *values: object, within: float = LONG, again: str | None = None) -> list[Any]:
        try:
            return await self._database.statement(text, values, within=within, again=again)
        except DatabaseError as error:
            raise QueueUnavailable from error

    async def get(self, job_id: str) -> Job:
        rows = await self._run(sql.GET, self._now(), clean(job_id))
        if not rows:
            raise NotFound(f"There is no job {job_id!r}.")
        return with_payload(rows[0])

    async def get_many(self, ids: Sequence[str]) -> list[Job]:
        return [shown(row) for row in await self._run(sql.GET_MANY, self._now(), [clean(one) for one in ids])]

    async def attempts(self, job_id: str) -> list[Attempt]:
        return [attempt_of(row) for row in await self._run(sql.ATTEMPTS, clean(job_id))]

    async def result(self, job_id: str) -> bytes | None:
        rows = await self._run("SELECT result FROM job_result WHERE job_id = $1", clean(job_id))
        return bytes_of(rows[0][0]) if rows else None

    async def find(self, where: JobFilter, *, limit: int = 100, offset: int = 0) -> list[Job]:
        values: list[object] = [self._now()]
        conditions = _conditions(where, values)
        # By the time of its end, where an index has that order; ids grow with age.
        order = "finished_at DESC, id DESC" if where.status in ENDED else "id DESC"
        values += [limit, offset]
        page = f"LIMIT ${len(values) - 1} OFFSET ${len(values)}"
        text = f"WITH {sql.CLOCK} SELECT {sql.SHOWN} FROM job {conditions} ORDER BY {order} {page}"  # noqa: S608 - ours
        return [job_of(row, _AS_IT_IS) for row in await self._run(text, *values)]

    async def counts(self) -> list[Count]:
        return [count_of(row) for row in await self._run(sql.COUNTS, self._now())]

    async def rates(self, *, since: float) -> list[Rate]:
        return [rate_of(row) for row in await self._run(sql.RATES, since)]

    async def holder(self, job_id: str) -> Holder | None:
        for worker, began, until in await self._run(sql.HOLDER, clean(job_id)):
            return Holder(worker=str(worker), began=began, leased_until=until)
        return None

    async def ahead(self, job: Job) -> int:
        values = (clean(job.connection), clean(job.queue), job.priority, job.due_at, job.id)
        return int((await self._run(sql.AHEAD, self._now(), *values))[0][0])

    async def examine(self) -> list[Finding]:
        return await examine(self._database, self._clock)

    # -- queues and workers

    async def pause(self, connection: str, queue: str) -> None:
        await self._run(sql.PAUSE, self._now(), connection, queue)

    async def resume(self, connection: str, queue: str) -> None:
        await self._run("DELETE FROM queue_pause WHERE connection = $1 AND queue = $2", connection, queue)

    async def paused(self) -> list[tuple[str, str]]:
        rows = await self._run("SELECT connection, queue FROM queue_pause ORDER BY connection, queue")
        return [(str(row[0]), str(row[1])) for row in rows]

    async def register(self, worker: WorkerRecord) -> None:
        queues = None if worker.queues is None else ",".join(worker.queues)
        values = (worker.name, worker.host, worker.process, worker.connection, queues)
        await self._run(sql.REGISTER, self._now(), *values)

    async def workers(self) -> list[WorkerRecord]:
        return [worker_of(row) for row in await self._run(sql.WORKERS)]

    async def bury(self, worker: str) -> None:
        await self._run(sql.BURY, worker)

    # -- deleted

    async def forget(self, ids: Sequence[str]) -> list[str]:
        return [str(row[0]) for row in await self._run(sql.FORGET, [clean(one) for one in ids])]

    async def clear(self, connection: str, queue: str, *, limit: int = 1000) -> int:
        return len(await self._run(sql.CLEAR, connection, queue, limit))

    async def purge(self, *, status: JobStatus, ended_before: float, most: int | None = None, limit: int = 1000) -> int:
        await self._run(sql.FORGET_KEYS, self._now())
        gone = await self._run(sql.PURGE_OLD, status.value, ended_before, limit)
        if not gone and most is not None:
            gone = await self._run(sql.PURGE_BEYOND, status.value, most, limit)
        return len(gone)


def _conditions(where: JobFilter, values: list[object]) -> str:
    """The WHERE of a filter; what it binds is added to *values*, the first of which is the time."""
    parts: list[str] = []
    for statuses in filter(None, ((where.status,) if where.status else (), where.statuses)):
        each = [_status_condition(status, values) for status in statuses]
        parts.append(f"({' OR '.join(each)})")
    for condition, value in (
        ("connection = {}", where.connection),
        ("queue = {}", where.queue),
        ("script = {}", where.script),
        ("verb = {}", where.verb),
        ("service = {}", where.service),
        ("user_id = {}", where.user_id),
        ("role_id = {}", where.role_id),
        ("app_id = {}", where.app_id),
        ("created_at < {}", where.before),
        ("created_at >= {}", where.after),
        ("finished_at < {}", where.ended_before),
        (sql.IN_ERROR, where.text),
    ):
        if value is not None:
            values.append(clean(value) if isinstance(value, str) else value)
            parts.append(condition.format(f"${len(values)}"))
    return f"WHERE {' AND '.join(parts)}" if parts else ""


def _status_condition(status: JobStatus, values: list[object]) -> str:
    if status is JobStatus.WAITING:
        return f"status = 'waiting' AND due_at <= {sql.AT}"
    if status is JobStatus.DELAYED:
        return f"status = 'waiting' AND due_at > {sql.AT}"
    values.append(status.value)
    # The second half says nothing new, but shows that the partial index holds every such row.
    return f"status = ${len(values)}" + (" AND finished_at IS NOT NULL" if status in ENDED else "")


def with_payload(row: Any) -> Job:
    """Of `sql.SHOWN` and the payload after it."""
    return shown(row, bytes_of(row[26]))


def shown(row: Any, payload: bytes = b"") -> Job:
    """Of `sql.SHOWN`."""
    job = job_of(row, _AS_IT_IS, payload)
    if _NUL in job.name or _NUL in job.queue:
        return replace(job, name=job.name.replace(_NUL, "\0"), queue=job.queue.replace(_NUL, "\0"))
    return job


def clean(text: str) -> str:
    """*text* as PostgreSQL can store it: it takes no NUL, and no half of a surrogate pair."""
    if "\0" in text:
        text = text.replace("\0", _NUL)
    return text if text.isascii() else text.encode(errors="replace").decode()
