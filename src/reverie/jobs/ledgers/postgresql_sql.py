"""The statements of the ledger on PostgreSQL. ``postgresql.py`` has the map.

Each begins with the time: the first value is the time that a test tells, or null for the server's own clock.
"""

# ruff: noqa: S608 - put together from the constants here; every value is bound

from __future__ import annotations

from typing import Final

from reverie.jobs.ledgers.rows import COLUMNS

_NOW: Final = "SELECT coalesce($1::float8, extract(epoch FROM clock_timestamp())::float8) AS now"
CLOCK: Final = f"clock AS MATERIALIZED ({_NOW})"
AT: Final = "(SELECT now FROM clock)"
"""The time, the same all through a statement, and fit for comparing with an index."""

_NAMES: Final = [name.strip() for name in COLUMNS.split(",")]
_DELAYED: Final = f"CASE WHEN job.status = 'waiting' AND job.due_at > {AT} THEN 'delayed' ELSE job.status END"
SHOWN: Final = ", ".join(f"{_DELAYED} AS status" if name == "status" else f"job.{name}" for name in _NAMES)
"""The columns as `rows.job_of` reads them, what waits for a time to come as delayed."""

_TYPES: Final = {
    **dict.fromkeys(("delay", "timeout", "created_at", "due_at", "finished_at"), "float8"),
    **dict.fromkeys(
        ("priority", "tries", "attempts", "crashes", "epoch", "hops", "user_id", "role_id", "app_id"), "int"
    ),
    "stamp": "bigint",
}
_ARRAYS: Final = ", ".join(f"${at}::{_TYPES.get(name, 'text')}[]" for at, name in enumerate(_NAMES, 3))
_PAYLOADS: Final = f"${len(_NAMES) + 3}::bytea[]"
_SHIFTED: Final = ", ".join(
    f"{name} + shift.by" if name in ("created_at", "due_at", "finished_at") else name for name in _NAMES
)

# Jobs bring the times of their host ($2 is its time now), and are shifted to the server's clock. Once more is harmless:
# a caller whose connection was lost cannot know whether they are there.
_ADDED = f"""
given AS (SELECT * FROM unnest({_ARRAYS}, {_PAYLOADS}) AS g({COLUMNS}, payload)),
shift AS MATERIALIZED (SELECT now - $2::float8 AS by FROM clock),
added AS (INSERT INTO job ({COLUMNS}) SELECT {_SHIFTED} FROM given, shift %s ON CONFLICT (id) DO NOTHING)
INSERT INTO job_payload (job_id, payload) SELECT id, payload FROM given %s ON CONFLICT (job_id) DO NOTHING
"""
CREATE: Final = f"WITH {CLOCK}, {_ADDED % ('', '')}"

_AT_KEY: Final = len(_NAMES) + 4
CREATE_ONCE: Final = f"""
WITH {CLOCK},
kept AS (
    INSERT INTO job_key AS k (key, digest, job_id, expires_at)
    SELECT ${_AT_KEY}::text, ${_AT_KEY + 1}::text, ${_AT_KEY + 2}::text, now + ${_AT_KEY + 3}::float8 FROM clock
    ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, job_id = excluded.job_id, expires_at = excluded.expires_at
    WHERE k.expires_at <= {AT}
    RETURNING 1
),
{_ADDED % (("WHERE EXISTS (SELECT FROM kept)",) * 2)} RETURNING job_id
"""
FIND_KEY: Final = "SELECT job_id, digest FROM job_key WHERE key = $1"

# -- claimed

# Lanes, found by leaping from one to the next: the first row of the next priority, else of the next queue, else of the
# next connection. Three looks into the index for each lane, however many jobs wait in it.
_LEAP = """
lane AS (
    (SELECT connection, queue, priority, due_at FROM job WHERE status = 'waiting' {first}
     ORDER BY connection, queue, priority DESC, due_at, id LIMIT 1)
    UNION ALL
    SELECT next.connection, next.queue, next.priority, next.due_at FROM lane CROSS JOIN LATERAL (
        (SELECT 1 AS leap, connection, queue, priority, due_at FROM job
         WHERE status = 'waiting' AND connection = lane.connection AND queue = lane.queue AND priority < lane.priority
         ORDER BY priority DESC, due_at, id LIMIT 1)
        UNION ALL
        (SELECT 2, connection, queue, priority, due_at FROM job
         WHERE status = 'waiting' AND connection = lane.connection AND queue > lane.queue
         ORDER BY queue, priority DESC, due_at, id LIMIT 1)
        {beyond}
        ORDER BY leap LIMIT 1
    ) AS next
)
"""
_BEYOND = """
        UNION ALL
        (SELECT 3, connection, queue, priority, due_at FROM job
         WHERE status = 'waiting' AND connection > lane.connection
         ORDER BY connection, queue, priority DESC, due_at, id LIMIT 1)
"""
# The lanes of named queues: the first of each in each connection, and those below.
_NAMED = """
link AS (
    {links}
),
lane AS (
    SELECT head.connection, head.queue, head.priority, head.due_at
    FROM link CROSS JOIN (SELECT DISTINCT unnest($6::text[]) AS queue) AS wanted CROSS JOIN LATERAL (
        SELECT connection, queue, priority, due_at FROM job
        WHERE status = 'waiting' AND connection = link.connection AND queue = wanted.queue
        ORDER BY priority DESC, due_at, id LIMIT 1
    ) AS head
    UNION ALL
    SELECT next.connection, next.queue, next.priority, next.due_at FROM lane CROSS JOIN LATERAL (
        SELECT connection, queue, priority, due_at FROM job
        WHERE status = 'waiting' AND connection = lane.connection AND queue = lane.queue AND priority < lane.priority
        ORDER BY priority DESC, due_at, id LIMIT 1
    ) AS next
)
"""
_ALL_LINKS = """
    (SELECT connection FROM job WHERE status = 'waiting' ORDER BY connection LIMIT 1)
    UNION ALL
    SELECT next.connection FROM link CROSS JOIN LATERAL (
        SELECT connection FROM job WHERE status = 'waiting' AND connection > link.connection
        ORDER BY connection LIMIT 1
    ) AS next
"""
# Lanes that are known, from a due time on; see `postgresql_watermark`.
_MARKED = """
lane AS (
    SELECT known.connection, known.queue, known.priority, head.due_at
    FROM unnest({values}) AS known(connection, queue, priority, since)
    CROSS JOIN LATERAL (
        SELECT due_at FROM job
        WHERE status = 'waiting' AND connection = known.connection AND queue = known.queue
        AND priority = known.priority AND due_at >= known.since
        ORDER BY due_at, id LIMIT 1
    ) AS head
)
"""
_KNOWN = "$8::text[], $9::text[], $10::int[], $11::float8[]"
_OPEN = "NOT EXISTS (SELECT FROM queue_pause AS p WHERE p.connection = lane.connection AND p.queue = lane.queue)"


def lanes(*, one_connection: bool, named: bool) -> str:
    """The CTEs that find the lanes: $5 is the connection where there is one, $6 the queues where they are named."""
    if named:
        links = 'SELECT $5::text COLLATE "C" AS connection' if one_connection else _ALL_LINKS
        return _NAMED.format(links=links)
    first = "AND connection = $5::text" if one_connection else ""
    return _LEAP.format(first=first, beyond="" if one_connection else _BEYOND)


def claim(*, one_connection: bool, named: bool, marked: bool = False) -> str:
    """One statement that finds the lanes, locks what is due in their order, leases it, and brings the payloads.

    Values: the time, worker, seconds of the lease, how many, connection, queues, and the queue that comes first; with
    *marked*, the lanes of `postgresql_watermark`. Rows are `SHOWN`, the payload, and the place in the order.
    """
    found = _MARKED.format(values=_KNOWN) if marked else lanes(one_connection=one_connection, named=named)
    order = "array_position($6::text[], lane.queue::text)" if named else "lane.queue <> $7::text, lane.oldest"
    return f"""
WITH RECURSIVE {CLOCK}, unused AS (SELECT $5::text, $6::text[], $7::text),
{found},
ranked AS MATERIALIZED (
    SELECT lane.*, row_number() OVER (ORDER BY {order}, lane.connection, lane.queue, lane.priority DESC) AS rank
    FROM (SELECT *, min(due_at) OVER (PARTITION BY connection, queue) AS oldest FROM lane) AS lane
),
picked AS MATERIALIZED (
    SELECT next.id FROM (
        SELECT * FROM ranked AS lane WHERE lane.due_at <= {AT} AND {_OPEN} ORDER BY rank
    ) AS lane CROSS JOIN LATERAL (
        SELECT id FROM job
        WHERE status = 'waiting' AND connection = lane.connection AND queue = lane.queue AND priority = lane.priority
        AND due_at >= lane.due_at AND due_at <= {AT}
        ORDER BY due_at, id LIMIT $4::int FOR UPDATE SKIP LOCKED
    ) AS next
    LIMIT $4::int
)
UPDATE job SET status = 'running', epoch = epoch + 1, worker = $2::text, leased_until = {AT} + $3::float8,
               started_at = NULL
WHERE id = ANY (ARRAY(SELECT id FROM picked))
RETURNING {SHOWN}, (SELECT payload FROM job_payload AS p WHERE p.job_id = job.id),
    array_position(ARRAY(SELECT id FROM picked), job.id) AS place
"""


def next_due(*, one_connection: bool, named: bool) -> str:
    """Seconds until a job of a lane that is not paused is due, or a lease ends. Values as of `claim`, 2 to 4 unused."""
    return f"""
WITH RECURSIVE {CLOCK}, unused AS (SELECT $2::text, $3::text, $4::text, $5::text, $6::text[]),
{lanes(one_connection=one_connection, named=named)}
SELECT greatest(moment - {AT}, 0) FROM (VALUES
    ((SELECT min(due_at) FROM lane WHERE {_OPEN})), ((SELECT min(leased_until) FROM job WHERE status = 'running'))
) AS moments(moment) WHERE moment IS NOT NULL ORDER BY moment LIMIT 1
"""


# Of the lanes of `postgresql_watermark` alone, and no later than $2 seconds from now, when everything is looked at.
NEXT_DUE_MARKED: Final = f"""
WITH {CLOCK}, {_MARKED.format(values="$3::text[], $4::text[], $5::int[], $6::float8[]")}
SELECT greatest(least(min(due_at) - {AT}, $2::float8), 0) FROM lane WHERE {_OPEN}
"""

# Hidden from the planner, who else finds jobs by the index of running jobs, and walks past all that is dead in it.
_RUNS: Final = "job.status || '' = 'running'"

START: Final = f"""
WITH {CLOCK}
UPDATE job SET started_at = {AT} FROM unnest($2::text[], $3::int[]) AS g(id, epoch)
WHERE job.id = g.id AND job.epoch = g.epoch AND {_RUNS}
RETURNING job.id, job.epoch
"""

EXTEND: Final = f"""
WITH {CLOCK}, seen AS (UPDATE worker SET seen_at = {AT} WHERE name = $4)
UPDATE job SET leased_until = {AT} + $5::float8 FROM unnest($2::text[], $3::int[]) AS g(id, epoch)
WHERE job.id = g.id AND job.epoch = g.epoch AND {_RUNS} AND job.worker = $4
RETURNING job.id, job.epoch
"""

HELD: Final = "SELECT id, epoch FROM job WHERE status = 'running' AND worker = $1"

# -- ended

_SETTLED = f"""
WITH {CLOCK},
given AS (
    SELECT * FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::int[], $7::int[], $8::float8[], $9::text[],
                         $10::text[], $11::bytea[], $12::float8[])
        AS g(id, epoch, status, outcome, tried, crashed, pause, error, output, result, ran)
),
settled AS (
    UPDATE job SET status = g.status, attempts = attempts + g.tried, crashes = crashes + g.crashed,
                   due_at = coalesce({AT} + g.pause, due_at), error = coalesce(g.error, job.error),
                   started_at = coalesce(job.started_at, {AT} - g.ran),
                   finished_at = CASE WHEN g.status = 'waiting' THEN NULL ELSE {AT} END
    FROM given AS g WHERE job.id = g.id AND job.epoch = g.epoch AND {_RUNS}
    RETURNING job.id, job.epoch, job.attempts + 1 - g.tried AS number, job.worker, job.started_at, g.outcome,
              g.error, g.output, g.result
),
kept AS (
    INSERT INTO job_attempt (job_id, epoch, number, worker, started_at, ended_at, outcome, error, output)
    SELECT id, epoch, number, worker, coalesce(started_at, {AT}), {AT}, outcome, error, output FROM settled
    WHERE outcome <> 'released' OR started_at IS NOT NULL
),
answered AS (
    INSERT INTO job_result (job_id, result) SELECT id, result FROM settled WHERE result IS NOT NULL
    ON CONFLICT (job_id) DO UPDATE SET result = excluded.result
)
SELECT id, epoch FROM settled
"""
SETTLE: Final = _SETTLED
# When the answer of an earlier attempt was lost: with what that one stored. Nobody but the holder of its lease ends a
# run so; what it gave back before it began is in no attempt.
SETTLE_AGAIN: Final = f"""
{_SETTLED}
UNION ALL
SELECT g.id, g.epoch FROM given AS g JOIN job_attempt AS a ON a.job_id = g.id AND a.epoch = g.epoch
WHERE a.outcome = g.outcome
UNION ALL
SELECT g.id, g.epoch FROM given AS g JOIN job ON job.id = g.id AND job.epoch = g.epoch
WHERE g.outcome = 'released' AND job.status = 'waiting' AND job.started_at IS NULL
"""

SWEEP: Final = f"""
WITH {CLOCK},
ended AS (
    SELECT id, epoch, attempts, crashes, worker, started_at FROM job
    WHERE status = 'running' AND leased_until <= {AT}
    ORDER BY leased_until LIMIT $3::int FOR UPDATE SKIP LOCKED
),
judged AS (
    SELECT *, CASE WHEN started_at IS NULL THEN 'released' WHEN crashes + 1 >= $2::int THEN 'failed' ELSE 'crashed'
              END AS fate,
           CASE WHEN started_at IS NOT NULL THEN json_build_object(
               'type', 'WorkerLost',
               'message', format('The worker that ran the job was lost while it ran (crash %s).', crashes + 1),
               'line', NULL, 'column', NULL, 'excerpt', '', 'source', '', 'output', '')::text END AS cause
    FROM ended
),
freed AS (
    UPDATE job SET status = CASE fate WHEN 'failed' THEN 'failed' ELSE 'waiting' END,
                   crashes = job.crashes + (fate <> 'released')::int, error = coalesce(cause, job.error),
                   finished_at = CASE fate WHEN 'failed' THEN {AT} END
    FROM judged WHERE job.id = judged.id
),
kept AS (
    INSERT INTO job_attempt (job_id, epoch, number, worker, started_at, ended_at, outcome, error)
    SELECT id, epoch, attempts + 1, worker, started_at, {AT}, 'crashed', cause FROM judged WHERE fate <> 'released'
)
SELECT fate, count(*) FROM judged GROUP BY fate
"""

CANCEL: Final = f"""
WITH {CLOCK}
UPDATE job SET status = 'cancelled', finished_at = {AT}
WHERE status IN ('waiting', 'running') AND id = ANY ($2::text[]) RETURNING {SHOWN}
"""

RETRY: Final = f"""
WITH {CLOCK}
UPDATE job SET status = 'waiting', attempts = 0, crashes = 0, due_at = {AT}, finished_at = NULL, error = NULL
WHERE status IN ('failed', 'cancelled', 'skipped') AND id = ANY ($2::text[]) RETURNING {SHOWN}
"""

PRIORITISE: Final = f"""
WITH {CLOCK}
UPDATE job SET priority = $3::int WHERE status = 'waiting' AND id = ANY ($2::text[]) RETURNING {SHOWN}
"""

# -- deleted: what other tables hold of the jobs goes with them, in the same statement

_WITH_PARTS = """
payloads AS (DELETE FROM job_payload WHERE job_id = ANY (ARRAY(SELECT id FROM gone))),
attempts AS (DELETE FROM job_attempt WHERE job_id = ANY (ARRAY(SELECT id FROM gone))),
results AS (DELETE FROM job_result WHERE job_id = ANY (ARRAY(SELECT id FROM gone)))
SELECT id FROM gone
"""

FORGET: Final = f"""
WITH gone AS (
    DELETE FROM job WHERE id = ANY ($1::text[]) AND status IN ('done', 'failed', 'cancelled', 'skipped') RETURNING id
), {_WITH_PARTS}
"""

CLEAR: Final = f"""
WITH gone AS (
    DELETE FROM job WHERE id = ANY (ARRAY(
        SELECT id FROM job WHERE connection = $1 AND queue = $2 AND status IN ('waiting', 'running')
        LIMIT $3 FOR UPDATE SKIP LOCKED
    )) RETURNING id
), {_WITH_PARTS}
"""

_PURGE = """
WITH gone AS (
    DELETE FROM job WHERE id = ANY (ARRAY(
        SELECT id FROM job WHERE status = $1 AND finished_at IS NOT NULL {which} FOR UPDATE SKIP LOCKED
    )) RETURNING id
), {parts}
"""
PURGE_OLD: Final = _PURGE.format(which="AND finished_at < $2 ORDER BY finished_at, id LIMIT $3", parts=_WITH_PARTS)
PURGE_BEYOND: Final = _PURGE.format(which="ORDER BY finished_at DESC, id DESC LIMIT $3 OFFSET $2", parts=_WITH_PARTS)
FORGET_KEYS: Final = f"WITH {CLOCK} DELETE FROM job_key WHERE expires_at <= {AT}"

# -- looking

GET: Final = f"""
WITH {CLOCK} SELECT {SHOWN}, (SELECT payload FROM job_payload AS p WHERE p.job_id = job.id) FROM job WHERE id = $2
"""

GET_MANY: Final = f"WITH {CLOCK} SELECT {SHOWN} FROM job WHERE id = any($2::text[])"

COUNTS: Final = f"""
WITH {CLOCK}
SELECT connection, queue, {_DELAYED} AS shown, count(*), min(due_at)
FROM job GROUP BY connection, queue, shown ORDER BY connection, queue, shown
"""

RATES: Final = """
WITH newest AS (
    SELECT connection, queue, status, due_at, started_at, finished_at FROM job
    WHERE status IN ('done', 'failed', 'skipped') AND finished_at IS NOT NULL AND finished_at > $1
    ORDER BY finished_at DESC LIMIT 10000
)
SELECT connection, queue, count(*), count(*) FILTER (WHERE status = 'failed'),
       avg(greatest(started_at - due_at, 0)), avg(finished_at - started_at),
       (SELECT CASE WHEN count(*) >= 10000 THEN min(finished_at) END FROM newest)
FROM newest GROUP BY connection, queue ORDER BY connection, queue
"""

ATTEMPTS: Final = """
SELECT number, started_at, ended_at, outcome, error, worker, output FROM job_attempt WHERE job_id = $1 ORDER BY epoch
"""

HOLDER: Final = "SELECT worker, started_at, leased_until FROM job WHERE id = $1 AND status = 'running'"

# In the order of the index by which jobs are claimed; ids grow with age.
AHEAD: Final = f"""
WITH {CLOCK} SELECT count(*) FROM (
    SELECT 1 FROM job WHERE status = 'waiting' AND connection = $2 AND queue = $3 AND due_at <= {AT}
    AND (priority > $4 OR (priority = $4 AND (due_at, id) < ($5::float8, $6))) LIMIT 100000
) AS before
"""

_ERROR: Final = "coalesce(error::json ->> 'type', '') || ' ' || coalesce(error::json ->> 'message', '')"
IN_ERROR: Final = f"strpos(lower({_ERROR}), lower({{}})) > 0"

# -- queues and workers

PAUSE: Final = f"""
WITH {CLOCK} INSERT INTO queue_pause (connection, queue, paused_at) VALUES ($2, $3, {AT}) ON CONFLICT DO NOTHING
"""

REGISTER: Final = f"""
WITH {CLOCK}
INSERT INTO worker (name, host, process, connection, queues, started_at, seen_at)
VALUES ($2, $3, $4, $5, $6, {AT}, {AT})
ON CONFLICT (name) DO UPDATE SET host = excluded.host, process = excluded.process, connection = excluded.connection,
    queues = excluded.queues, started_at = excluded.started_at, seen_at = excluded.seen_at
"""

WORKERS: Final = """
SELECT name, host, process, connection, queues, started_at, seen_at FROM worker ORDER BY started_at
"""

BURY: Final = """
WITH freed AS (UPDATE job SET leased_until = 0 WHERE status = 'running' AND worker = $1)
DELETE FROM worker WHERE name = $1
"""
