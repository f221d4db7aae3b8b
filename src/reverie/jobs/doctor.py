"""Looks whether the queue is well, and says of each thing that is not what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal

from reverie.database import Connection, DatabaseError
from reverie.errors import QueueUnavailable, StoreUnavailable, UnknownConnection
from reverie.jobs.connections import normalise_options
from reverie.jobs.desk import Desk
from reverie.jobs.finding import Finding
from reverie.jobs.ledger import JobFilter
from reverie.jobs.payload import PayloadUnreadable, about_of, unpack
from reverie.jobs.queue import Retention
from reverie.jobs.stats import Stats, is_alive, stats
from reverie.model import JSON, JobStatus
from reverie.store.key_mark import OTHER_KEY, shares_key
from reverie.store.scripts import active_event_scripts
from reverie.store.services import all_services

MOST_SKEW: Final = 1.0
WRONG_SKEW: Final = 60.0
"""Seconds between the clocks of this host and of the store."""
OPENED: Final = 20
"""Newest waiting jobs whose payload is opened."""
LATE: Final = 3600.0
"""Seconds by which clearing away may lag behind."""
MANY_FAILED: Final = 10
BAD_SHARE: Final = 0.2
"""Of what ended within the last hour: from this share on, failures are worth a look."""
_HOUR: Final = 3600.0
_STORE_CLOCK: Final = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch from clock_timestamp())::float8",
}


async def examine(desk: Desk, retention: Retention | None = None) -> list[Finding]:
    """Every finding, in a fixed order. Changes nothing; a store that is away is a finding too."""
    findings = await desk.queue.ledger.examine() + await desk.queue.transport.examine()
    for look in (
        _clocks,
        _queues,
        _key,
        _payloads,
        lambda desk: _retention(desk, retention or Retention()),
        _connections,
    ):
        findings += await _seen(look(desk))
    return findings


async def _seen(look: AsyncIterator[Finding]) -> list[Finding]:
    found: list[Finding] = []
    try:
        async for finding in look:
            found.append(finding)  # noqa: PERF401 - what was found before the store went away is kept
    except (QueueUnavailable, StoreUnavailable, DatabaseError) as error:
        cause = error.__cause__ or error
        found.append(_finding("error", "store", f"The store cannot be reached ({cause}); see whether it is up."))
    return found


async def _clocks(desk: Desk) -> AsyncIterator[Finding]:
    sql = _STORE_CLOCK.get(desk.store.database.dialect)
    if sql is None:
        return

    async def work(connection: Connection) -> float:
        value = (await connection.fetch(sql))[0][0]
        return float(value) if isinstance(value, int | float) else 0.0

    before = desk.clock.now()
    skew = abs(await desk.store.database.read(work) - (before + desk.clock.now()) / 2)
    if skew > WRONG_SKEW:
        yield _finding("error", "clock", f"This host and the store are {skew:.0f} s apart. Set the clock; use NTP.")
    elif skew > MOST_SKEW:
        yield _finding("warning", "clock", f"This host and the store are {skew:.1f} s apart; jobs follow the store's.")
    else:
        yield _finding("ok", "clock", f"{skew * 1000:.0f} ms from the store's")


async def _queues(desk: Desk) -> AsyncIterator[Finding]:
    known = await stats(desk.queue, desk.signals, desk.clock.now())
    for finding in (*_workers(known), *_waits(known), *_failures(known)):
        yield finding
    yield _finding("ok", "leases and timeouts", "leases are renewed while a script runs, so --timeout may be longer")


def _workers(known: Stats) -> Iterator[Finding]:
    alive = [one for one in known.workers if is_alive(one, known.at)]
    silent = [one for one in known.workers if not is_alive(one, known.at)]
    for one in silent:
        seconds = known.at - one.seen_at
        message = f"{one.name} on {one.host} was not seen for {seconds:.0f} s. Its jobs are taken back by other workers"
        yield _finding("warning", "workers", f"{message}; if it still runs there, look at its log.")
    if not alive:
        message = "No worker is there: nothing that is queued runs. Start `reverie up`, or `reverie queue work`."
        yield _finding("warning", "workers", message)
    elif not silent:
        yield _finding("ok", "workers", f"{len(alive)} there, all seen within a minute")
    if known.maintenance:
        message = "Maintenance mode is on: workers take nothing. `reverie maintenance off` ends it."
        yield _finding("warning", "maintenance", message)


def _waits(known: Stats) -> Iterator[Finding]:
    well = True
    for one in known.queues:
        name, jobs = f"{one.connection}:{one.queue}", one.unfinished
        if not jobs:
            continue
        if not one.workers:
            well = False
            start = f"`reverie queue work {one.connection} --queue={one.queue}`"
            yield _finding("error", f"queue {name}", f"{jobs} jobs wait and no worker serves it. Start {start}.")
        if one.paused:
            well = False
            message = f"It is paused with {jobs} jobs. `reverie queue resume {name}` lets them go on."
            yield _finding("warning", f"queue {name}", message)
    if well:
        yield _finding("ok", "queues", "every queue with jobs is served")


def _failures(known: Stats) -> Iterator[Finding]:
    well = True
    for one in known.queues:
        lately = one.speed.five_minutes
        if lately.failed >= MANY_FAILED and lately.failed >= BAD_SHARE * lately.ended:
            well = False
            yield _finding(
                "warning",
                f"queue {one.connection}:{one.queue}",
                f"{lately.failed} of {lately.ended} jobs failed in the last minutes. `reverie queue failed` says why.",
            )
    total = sum(one.jobs.get(JobStatus.FAILED, 0) for one in known.queues)
    if well:
        yield _finding("ok", "failed jobs", f"{total} kept; they are not growing")


async def _key(desk: Desk) -> AsyncIterator[Finding]:
    if await shares_key(desk.store):
        yield _finding("ok", "secret key", "what others seal can be opened here")
    else:
        yield _finding("error", "secret key", OTHER_KEY)


async def _payloads(desk: Desk) -> AsyncIterator[Finding]:
    waiting = (JobStatus.WAITING, JobStatus.DELAYED)
    lost: list[str] = []
    newest = await desk.queue.ledger.find(JobFilter(statuses=waiting), limit=OPENED)
    for each in newest:
        job = await desk.queue.ledger.get(each.id)
        try:
            unpack(job.payload, desk.store.sealer, about=about_of(job.kind, job.script))
        except PayloadUnreadable:
            lost.append(job.id)
    if lost:
        message = f"{len(lost)} of the {len(newest)} newest waiting jobs cannot be opened, such as {lost[0]}:"
        yield _finding("error", "payloads", f"{message} they were sealed under another secret key. Set it back.")
    else:
        yield _finding("ok", "payloads", f"the {len(newest)} newest waiting jobs can be opened")


async def _retention(desk: Desk, retention: Retention) -> AsyncIterator[Finding]:
    now, late = desk.clock.now(), []
    for status, kept in ((JobStatus.DONE, retention.done), (JobStatus.FAILED, retention.failed)):
        where = JobFilter(status=status, ended_before=now - kept - LATE)
        if await desk.queue.ledger.find(where, limit=1):
            late.append(f"{status} ones of more than {kept / 86400:.0f} days")
    if late:
        message = f"Jobs stay that should be gone: {' and '.join(late)}. Every worker clears away; is one there?"
        yield _finding("warning", "retention", message)
    else:
        yield _finding("ok", "retention", "nothing is kept for longer than it should be")


async def _connections(desk: Desk) -> AsyncIterator[Finding]:
    """What stored scripts name; lookups are put in only when a job is queued, so those cannot be judged."""
    named: dict[str, list[str]] = {}
    for script in (await active_event_scripts(desk.store)).values():
        _note(named, script.name, dict(script.config))
    for service in await all_services(desk.store):
        if service.is_active and service.config.get("queued"):
            _note(named, f"service {service.name}", service.config.get("config"))
    well = True
    for connection, users in sorted(named.items()):
        try:
            desk.queue.connections.find(connection)
        except UnknownConnection:
            well = False
            known = ", ".join(desk.queue.connections.names())
            message = f"{', '.join(users)}: named there, but not configured; there are {known}. Its calls fail."
            yield _finding("error", f"connection {connection}", message)
    try:
        driver = desk.queue.connections.find(None).driver
    except UnknownConnection as error:
        yield _finding("error", "default connection", f"{error.message} Set REVERIE_QUEUE_CONNECTION to one that is.")
        return
    if driver in ("sync", "null"):
        what = "runs queued scripts inside the call" if driver == "sync" else "discards what is queued"
        yield _finding("warning", "default connection", f"{desk.queue.connections.default!r} {what}.")
    elif well:
        yield _finding("ok", "connections", "every one that a script names is configured")


def _note(named: dict[str, list[str]], user: str, config: JSON) -> None:
    connection = normalise_options(config).connection
    if connection is not None and "{" not in connection:
        named.setdefault(connection, []).append(user)


def _finding(level: Literal["ok", "warning", "error"], subject: str, message: str) -> Finding:
    return Finding(level=level, subject=subject, message=message)
