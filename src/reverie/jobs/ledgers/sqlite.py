"""The ledger on SQLite.

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

Every change is a unit of work under ``BEGIN IMMEDIATE``, so that what it looks at cannot move; whether there is
anything to do is asked before, by a read that needs no lock. The store's clock is the clock of this host.

A *lane* is the waiting jobs of one queue and one priority, in due order: a contiguous piece of the first index. Lanes
are found by leaping from one to the next, so neither a million waiting jobs nor as many delayed ones slow a claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from reverie.clock import Clock
from reverie.database import Connection, Database, Value
from reverie.jobs.ledger import Kept, Lease, Settlement, Swept
from reverie.jobs.ledgers.rows import COLUMNS, job_of, json_text, number, row_of
from reverie.jobs.ledgers.sqlite_records import SqliteRecords
from reverie.model import JSON, Job, JobStatus

MOST_SWEPT: Final = 500
"""Jobs taken back in one transaction."""
LARGEST_STEP: Final = 5.0
"""Seconds that the host's clock may move against the monotonic one between two sweeps."""

log = structlog.get_logger()

_CREATE = f"INSERT INTO job ({COLUMNS}) VALUES ({', '.join('?' * COLUMNS.count(','))}, ?)"  # noqa: S608 - our own names

_FIND_KEY = "SELECT job_id, digest FROM job_key WHERE key = ? AND expires_at > ?"
_KEEP_KEY = "INSERT OR REPLACE INTO job_key (key, digest, job_id, expires_at) VALUES (?, ?, ?, ?)"
_KEEP_RESULT = "INSERT OR REPLACE INTO job_result (job_id, result) VALUES (?, ?)"

_CREATE_PAYLOAD = "INSERT INTO job_payload (job_id, payload) VALUES (?, ?)"

# The first row of the next connection, then of the next queue in it: so the head of its first lane. Not one comparison
# of both columns, for which SQLite steps over every row of the queue before.
_NEXT_CONNECTION = """
SELECT connection, queue, priority, due_at FROM job
WHERE status = 'waiting' AND connection > ?
ORDER BY connection, queue, priority DESC, due_at, id LIMIT 1
"""

_NEXT_QUEUE = """
SELECT connection, queue, priority, due_at FROM job
WHERE status = 'waiting' AND connection = ? AND queue > ?
ORDER BY queue, priority DESC, due_at, id LIMIT 1
"""

_QUEUE = """
SELECT connection, queue, priority, due_at FROM job
WHERE status = 'waiting' AND connection = ? AND queue = ?
ORDER BY priority DESC, due_at, id LIMIT 1
"""

_NEXT_PRIORITY = """
SELECT connection, queue, priority, due_at FROM job
WHERE status = 'waiting' AND connection = ? AND queue = ? AND priority < ?
ORDER BY priority DESC, due_at, id LIMIT 1
"""

# One statement picks and leases, so two workers can never take the same row.
_CLAIM = f"""
UPDATE job SET status = 'running', epoch = epoch + 1, worker = ?, leased_until = ?, started_at = NULL
WHERE id IN (
    SELECT id FROM job
    WHERE status = 'waiting' AND connection = ? AND queue = ? AND priority = ? AND due_at <= ?
    AND NOT EXISTS (SELECT 1 FROM queue_pause AS p WHERE p.connection = job.connection AND p.queue = job.queue)
    ORDER BY due_at, id LIMIT ?
)
RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is our own list of names

_START = "UPDATE job SET started_at = ? WHERE id = ? AND epoch = ? AND status = 'running'"

_EXTEND = """
UPDATE job SET leased_until = ?
WHERE status = 'running' AND worker = ?
AND (id, epoch) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
RETURNING id, epoch
"""

_SETTLE = """
UPDATE job SET status = ?, attempts = attempts + ?, crashes = crashes + ?, due_at = coalesce(?, due_at),
               started_at = coalesce(started_at, ?), finished_at = ?, error = coalesce(?, error)
WHERE id = ? AND epoch = ? AND status = 'running'
RETURNING attempts, worker, started_at
"""

_KEEP_ATTEMPT = """
INSERT INTO job_attempt (job_id, epoch, number, worker, started_at, ended_at, outcome, error, output)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_EXPIRED = """
SELECT id, epoch, attempts, crashes, worker, started_at FROM job
WHERE status = 'running' AND leased_until <= ? ORDER BY leased_until LIMIT ?
"""

_TAKE_BACK = """
UPDATE job SET status = ?, crashes = crashes + ?, finished_at = ?, error = coalesce(?, error)
WHERE id = ? AND epoch = ? AND status = 'running'
"""

_CANCEL = f"""
UPDATE job SET status = 'cancelled', finished_at = ?
WHERE status IN ('waiting', 'running') AND id IN (SELECT value FROM json_each(?)) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is our own list of names

_RETRY = f"""
UPDATE job SET status = 'waiting', attempts = 0, crashes = 0, due_at = ?, finished_at = NULL, error = NULL
WHERE status IN ('failed', 'cancelled', 'skipped') AND id IN (SELECT value FROM json_each(?)) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is our own list of names


_PRIORITISE = f"""
UPDATE job SET priority = ?
WHERE status = 'waiting' AND id IN (SELECT value FROM json_each(?)) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is our own list of names


class Lane(NamedTuple):
    connection: str
    queue: str
    priority: int
    due_at: float


class SqliteLedger(SqliteRecords):
    """`Ledger` in a SQLite database, the store's own or one for itself."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._offset = clock.now() - clock.monotonic()
        self._longest_lease = 30.0
        self._trusts_after = float("-inf")

    # -- in

    async def create(self, connection: Connection, jobs: Sequence[Job]) -> None:
        await connection.execute_many(_CREATE, [row_of(job) for job in jobs])
        await connection.execute_many(_CREATE_PAYLOAD, [(job.id, job.payload) for job in jobs])

    async def create_many(self, jobs: Sequence[Job]) -> None:
        async def work(connection: Connection) -> None:
            await self.create(connection, jobs)

        await self._write(work)

    async def create_once(self, job: Job, *, key: str, digest: str, keep_for: float) -> Kept | None:
        now = self._clock.now()

        async def work(connection: Connection) -> Kept | None:
            known = await connection.fetch(_FIND_KEY, (key, now))
            if known:
                return Kept(str(known[0][0]), str(known[0][1]))
            await connection.execute(_KEEP_KEY, (key, digest, job.id, now + keep_for))
            await self.create(connection, [job])
            return None

        return await self._write(work)

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
        now = self._clock.now()
        lanes = await self._lanes(connection, queues, first)
        due = [lane for lane in lanes if lane.due_at <= now]
        if not due or limit < 1:
            return []
        self._longest_lease = max(self._longest_lease, lease)

        async def work(connection: Connection) -> list[Job]:
            taken: list[Job] = []
            for lane in due:
                values = (worker, now + lease, *lane[:3], now, limit - len(taken))
                rows = await connection.fetch(_CLAIM, values)
                taken += sorted((job_of(row, now) for row in rows), key=lambda job: (job.due_at, job.id))
                if len(taken) >= limit:
                    break
            return taken

        return await self._with_payloads(await self._write(work))

    async def _lanes(self, connection: str | None, queues: Sequence[str] | None, first: str) -> list[Lane]:
        """The lanes that may be taken from, in the order of taking."""

        async def work(reader: Connection) -> tuple[list[list[Lane]], set[tuple[Value, Value]]]:
            paused = {(row[0], row[1]) for row in await reader.fetch("SELECT connection, queue FROM queue_pause")}
            heads = await self._heads(reader, connection, queues)
            return [await self._lanes_below(reader, head) for head in heads], paused

        lanes_of_queues, paused = await self._read(work)
        if queues is None:
            lanes_of_queues.sort(key=lambda lanes: (lanes[0].queue != first, min(lane.due_at for lane in lanes)))
        else:
            rank = {name: index for index, name in reversed(list(enumerate(queues)))}
            lanes_of_queues.sort(key=lambda lanes: rank[lanes[0].queue])
        return [lane for lanes in lanes_of_queues for lane in lanes if (lane.connection, lane.queue) not in paused]

    async def _heads(self, reader: Connection, connection: str | None, queues: Sequence[str] | None) -> list[Lane]:
        """The first lane of each queue wanted that has one."""
        heads: list[Lane] = []
        after = ""  # comes before every name, and is none itself
        if connection is None:
            while rows := await reader.fetch(_NEXT_CONNECTION, (after,)):
                after = _lane(rows[0]).connection
                heads += await self._heads(reader, after, queues)
        elif queues is None:
            while rows := await reader.fetch(_NEXT_QUEUE, (connection, after)):
                heads.append(_lane(rows[0]))
                after = heads[-1].queue
        else:
            for queue in dict.fromkeys(queues):
                heads += [_lane(row) for row in await reader.fetch(_QUEUE, (connection, queue))]
        return heads

    @staticmethod
    async def _lanes_below(reader: Connection, head: Lane) -> list[Lane]:
        lanes = [head]
        while rows := await reader.fetch(_NEXT_PRIORITY, lanes[-1][:3]):
            lanes.append(_lane(rows[0]))
        return lanes

    async def start_many(self, leases: Sequence[Lease]) -> list[Lease]:
        now = self._clock.now()

        async def work(connection: Connection) -> list[Lease]:
            return [lease for lease in leases if not await connection.execute(_START, (now, *lease))]

        return await self._write(work)

    async def extend_many(self, worker: str, leases: Sequence[Lease], *, lease: float) -> list[Lease]:
        now = self._clock.now()
        named = msgspec.json.encode(leases).decode()

        async def work(connection: Connection) -> list[Lease]:
            await connection.execute("UPDATE worker SET seen_at = ? WHERE name = ?", (now, worker))
            rows = await connection.fetch(_EXTEND, (now + lease, worker, named)) if leases else []
            kept = {(row[0], row[1]) for row in rows}
            return [one for one in leases if one not in kept]

        return await self._write(work)

    async def held(self, worker: str) -> set[Lease]:
        async def work(connection: Connection) -> set[Lease]:
            sql = "SELECT id, epoch FROM job WHERE status = 'running' AND worker = ?"
            rows = await connection.fetch(sql, (worker,))
            return {Lease(str(row[0]), int(number(row[1]))) for row in rows}

        return await self._read(work, quick=False)

    # -- out

    async def settle_many(self, settlements: Sequence[Settlement], *, again: bool = False) -> list[Lease]:
        # Nothing is between a commit and its answer here, so there is no *again* to be told apart.
        now = self._clock.now()

        async def work(connection: Connection) -> list[Lease]:
            lost: list[Lease] = []
            attempts: list[tuple[Value, ...]] = []
            for one in settlements:
                error = json_text(one.error)
                due_at = None if one.pause is None else now + one.pause
                ended = None if one.status is JobStatus.WAITING else now
                start = None if one.ran is None else now - one.ran
                values = (one.status.value, one.tried, one.crashed, due_at, start, ended, error, *one.lease)
                rows = await connection.fetch(_SETTLE, values)
                if not rows:
                    lost.append(one.lease)
                    continue
                tries, worker, started_at = rows[0]
                if one.outcome != "released" or started_at is not None:
                    run = int(number(tries)) + (not one.tried)
                    began = now if started_at is None else started_at
                    attempts.append((*one.lease, run, worker, began, now, one.outcome, error, one.output or None))
                if one.result is not None:
                    await connection.execute(_KEEP_RESULT, (one.lease.job_id, one.result))
            if attempts:
                await connection.execute_many(_KEEP_ATTEMPT, attempts)
            return lost

        return await self._write(work)

    async def cancel(self, ids: Sequence[str]) -> list[Job]:
        return await self._change_named(_CANCEL, ids)

    async def retry(self, ids: Sequence[str]) -> list[Job]:
        return await self._change_named(_RETRY, ids)

    async def prioritise(self, ids: Sequence[str], priority: int) -> list[Job]:
        return await self._change_named(_PRIORITISE, ids, priority)

    async def _change_named(self, sql: str, ids: Sequence[str], value: float | None = None) -> list[Job]:
        """Run a statement of one value, now unless it is given, and of ids."""
        now = self._clock.now()
        first = now if value is None else value

        async def work(connection: Connection) -> list[Job]:
            return [job_of(row, now) for row in await connection.fetch(sql, (first, msgspec.json.encode(ids).decode()))]

        return await self._write(work)

    # -- taken back

    async def sweep(self, *, max_crashes: int) -> Swept:
        now = self._clock.now()
        if not self._clock_is_steady() or not await self._any_expired(now):
            return Swept()

        async def work(connection: Connection) -> Swept:
            rows = await connection.fetch(_EXPIRED, (now, MOST_SWEPT))
            outcomes = [await self._take_back(connection, row, now, max_crashes) for row in rows]
            return Swept(
                released=outcomes.count("released"), crashed=outcomes.count("crashed"), failed=outcomes.count("failed")
            )

        return await self._write(work)

    async def _any_expired(self, now: float) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await connection.fetch(_EXPIRED, (now, 1)))

        return await self._read(work)

    @staticmethod
    async def _take_back(connection: Connection, row: tuple[Value, ...], now: float, max_crashes: int) -> str:
        """Free one job whose lease has ended: released, crashed or failed."""
        job_id, epoch, attempts, crashes, worker, started_at = row
        if started_at is None:
            await connection.execute(_TAKE_BACK, ("waiting", 0, None, None, job_id, epoch))
            return "released"
        lost = int(number(crashes)) + 1
        failed = lost >= max_crashes
        cause: JSON = {
            "type": "WorkerLost",
            "message": f"The worker that ran the job was lost while it ran (crash {lost}).",
            "line": None,
            "column": None,
            "excerpt": "",
            "source": "",
            "output": "",
        }
        error = json_text(cause)
        run = int(number(attempts)) + 1
        await connection.execute(
            _TAKE_BACK, ("failed" if failed else "waiting", 1, now if failed else None, error, job_id, epoch)
        )
        kept = (job_id, epoch, run, worker, started_at, now, "crashed", error, None)
        await connection.execute_many(_KEEP_ATTEMPT, [kept])
        return "failed" if failed else "crashed"

    def _clock_is_steady(self) -> bool:
        """False for one lease after the host's clock jumped: every lease would look ended, or none ever would.

        In that time living workers renew theirs by the new time; what is left then is really lost.
        """
        offset, last = self._clock.now() - self._clock.monotonic(), self._offset
        self._offset = offset
        if abs(offset - last) > LARGEST_STEP:
            log.warning("clock.jumped", seconds=round(offset - last, 1))
            self._trusts_after = self._clock.monotonic() + self._longest_lease
        return self._clock.monotonic() >= self._trusts_after

    async def next_due(self, connection: str | None = None, queues: Sequence[str] | None = None) -> float | None:
        async def work(reader: Connection) -> list[float]:
            rows = await reader.fetch("SELECT min(leased_until) FROM job WHERE status = 'running'")
            return [number(row[0]) for row in rows if row[0] is not None]

        moments = [lane.due_at for lane in await self._lanes(connection, queues, "")] + await self._read(work)
        return max(0.0, min(moments) - self._clock.now()) if moments else None


def _lane(row: tuple[Value, ...]) -> Lane:
    return Lane(str(row[0]), str(row[1]), int(number(row[2])), number(row[3]))
