"""What an operator should know about the PostgreSQL that keeps the jobs."""

from __future__ import annotations

from typing import Any, Final

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.jobs.finding import Finding
from reverie.postgresql.database import PostgresqlDatabase

OLDEST_VERSION: Final = 130000
LONGEST_SNAPSHOT: Final = 60.0
"""Seconds after which somebody's transaction keeps vacuum from the dead rows of the queue."""
MOST_DEAD: Final = 100_000
LEAST_ROOM: Final = 10
"""Connections that should be free."""
LARGEST_SKEW: Final = 1.0
WITHIN: Final = 5.0

_LOOK = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('synchronous_commit'), current_setting('autovacuum'),
       current_setting('max_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'job'),
       (SELECT array_to_string(reloptions, ',') FROM pg_class WHERE oid = 'job'::regclass),
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
       extract(epoch FROM clock_timestamp())::float8
"""

_OLDEST = """
SELECT extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start))::float8, pid,
       coalesce(nullif(application_name, ''), usename, 'a client'), coalesce(state, 'unknown')
FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
ORDER BY age(backend_xmin) DESC LIMIT 1
"""

_SLOTS = (
    "SELECT slot_name FROM pg_replication_slots WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL)"
)


async def examine(database: PostgresqlDatabase, clock: Clock) -> list[Finding]:
    """Changes nothing and never raises."""
    try:
        [row] = await database.statement(_LOOK, within=WITHIN)
        before = clock.now()
        oldest = await database.statement(_OLDEST, within=WITHIN)
        slots = await database.statement(_SLOTS, within=WITHIN)
    except DatabaseError as error:
        message = f"{database.address} does not answer: {error}. Jobs wait; start it, or see its log."
        return [Finding(level="error", subject="PostgreSQL", message=message)]
    return [
        _version(row[0], row[1]),
        _writable(read_only=row[8]),
        _durable(row[2]),
        _vacuum(row[3], row[7] or ""),
        _dead(row[6]),
        _snapshot(oldest),
        *(_slot(one[0]) for one in slots),
        _room(row[4], row[5]),
        _skew(row[9] - before),
        _hearing(database),
    ]


def _version(number: int, name: str) -> Finding:
    if number < OLDEST_VERSION:
        return Finding(level="error", subject="version", message=f"PostgreSQL {name} is too old; take 13 or newer.")
    return Finding(level="ok", subject="version", message=f"PostgreSQL {name}")


def _writable(*, read_only: bool) -> Finding:
    if read_only:
        message = "The server only reads: a standby, or default_transaction_read_only. Point the URL at the primary."
        return Finding(level="error", subject="writable", message=message)
    return Finding(level="ok", subject="writable", message="The server takes writes.")


def _durable(value: str) -> Finding:
    if value == "off":
        message = "synchronous_commit is off: a crash of the server can lose the newest jobs. Set it to on."
        return Finding(level="warning", subject="durability", message=message)
    return Finding(level="ok", subject="durability", message=f"synchronous_commit is {value}.")


def _vacuum(value: str, options: str) -> Finding:
    if value != "on" or "autovacuum_enabled=false" in options.replace(" ", "").lower():
        message = "autovacuum is off: the queue will grow slower with every job. Set autovacuum to on."
        return Finding(level="error", subject="autovacuum", message=message)
    return Finding(level="ok", subject="autovacuum", message="autovacuum is on.")


def _dead(dead: int) -> Finding:
    if dead > MOST_DEAD:
        message = f"{dead} dead rows in table job: vacuum does not keep up, see the oldest snapshot. VACUUM job helps."
        return Finding(level="warning", subject="dead rows", message=message)
    return Finding(level="ok", subject="dead rows", message=f"{dead} dead rows in table job.")


def _snapshot(oldest: list[Any]) -> Finding:
    if oldest and oldest[0][0] > LONGEST_SNAPSHOT:
        age, pid, name, state = oldest[0]
        message = (
            f"{name} (process {pid}, {state}) has held a snapshot for {age:.0f} s: no dead row of the queue can be"
            f" removed meanwhile. End that transaction, or SELECT pg_terminate_backend({pid})."
        )
        return Finding(level="warning", subject="oldest snapshot", message=message)
    return Finding(level="ok", subject="oldest snapshot", message="Nobody holds an old snapshot.")


def _slot(name: str) -> Finding:
    message = f"Replication slot {name} is used by nobody and keeps dead rows. Use it, or pg_drop_replication_slot."
    return Finding(level="warning", subject="replication slot", message=message)


def _room(most: int, used: int) -> Finding:
    if most - used < LEAST_ROOM:
        message = f"{used} of {most} connections are in use. Raise max_connections, or put a pooler before it."
        return Finding(level="warning", subject="connections", message=message)
    return Finding(level="ok", subject="connections", message=f"{used} of {most} connections are in use.")


def _skew(seconds: float) -> Finding:
    if abs(seconds) > LARGEST_SKEW:
        message = f"The server's clock is {seconds:+.1f} s from this host's. What is due follows the server's; run NTP."
        return Finding(level="warning", subject="clocks", message=message)
    return Finding(level="ok", subject="clocks", message="The clocks of server and host agree within a second.")


def _hearing(database: PostgresqlDatabase) -> Finding:
    if database.address.pooled:
        message = "Behind a transaction pooler nothing is heard: other hosts' jobs are found by looking (--sleep)."
        return Finding(level="warning", subject="notifications", message=message)
    return Finding(level="ok", subject="notifications", message="LISTEN is in use.")
