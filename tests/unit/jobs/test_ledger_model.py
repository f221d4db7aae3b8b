"""The ledger against a model of it: whatever is done in whatever order, both tell the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.jobs.scene import MovingClock

from reverie.jobs.ids import JobIds
from reverie.jobs.ledger import JobFilter, Lease, Settlement
from reverie.jobs.ledgers.sqlite import SqliteLedger
from reverie.model import Job, JobStatus
from reverie.sqlite import SqliteDatabase
from reverie.store.migrate import migrate

LEASE = 30.0
MAX_CRASHES = 2
# Few names, and one of them often: jobs must meet in a queue to show their order.
CONNECTIONS = st.sampled_from(["database", "database", "database", "other"])
QUEUES = st.sampled_from(["default", "default", "default", "low"])
WORKERS = st.sampled_from(["a", "b"])
OUTCOMES = {
    "done": Settlement(lease=Lease("", 0), status=JobStatus.DONE, outcome="done", tried=True),
    "failed": Settlement(lease=Lease("", 0), status=JobStatus.FAILED, outcome="failed", tried=True),
    "skipped": Settlement(lease=Lease("", 0), status=JobStatus.SKIPPED, outcome="skipped"),
    "released": Settlement(lease=Lease("", 0), status=JobStatus.WAITING, outcome="released"),
    "retried": Settlement(lease=Lease("", 0), status=JobStatus.WAITING, outcome="retried", tried=True, pause=5),
    "crashed": Settlement(lease=Lease("", 0), status=JobStatus.WAITING, outcome="crashed", crashed=True, pause=1),
}


@dataclass
class Known:
    """What the model knows of a job."""

    id: str
    connection: str
    queue: str
    priority: int
    due_at: float
    status: str = "waiting"
    epoch: int = 0
    attempts: int = 0
    crashes: int = 0
    worker: str = ""
    leased_until: float = 0.0
    started: bool = False
    history: list[str] = field(default_factory=list)

    def holds(self, lease: Lease) -> bool:
        return self.status == "running" and self.epoch == lease.epoch

    def shown(self, now: float) -> str:
        return "delayed" if self.status == "waiting" and self.due_at > now else self.status


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does the same to the ledger and to the model, and compares what comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.clock = MovingClock()
        self.ids = JobIds(self.clock)
        self.jobs: dict[str, Known] = {}
        self.leases: list[tuple[str, Lease]] = []
        self.paused: set[tuple[str, str]] = set()
        self.ledger: SqliteLedger
        self.database: SqliteDatabase

    @initialize()
    def open(self) -> None:
        migrate(self.folder / "store.db")
        self.database = SqliteDatabase(self.folder / "store.db", synchronous="NORMAL")
        self.ledger = SqliteLedger(self.database, self.clock)

    def teardown(self) -> None:
        self.do(self.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    # -- rules

    @rule(
        connection=CONNECTIONS,
        queue=QUEUES,
        priority=st.sampled_from([0, 0, 0, 1]),
        delay=st.sampled_from([0, 0, 0, 7]),
    )
    def push(self, connection: str, queue: str, priority: int, delay: int) -> None:
        now = self.clock.now()
        job = Job(
            id=self.ids.make(),
            kind="script.service",
            script="service:1",
            name="service:x",
            connection=connection,
            queue=queue,
            priority=priority,
            created_at=now,
            due_at=now + delay,
            payload=b"x",
        )
        self.do(self.ledger.create_many([job]))
        self.jobs[job.id] = Known(job.id, connection, queue, priority, now + delay)

    @rule(
        worker=WORKERS,
        limit=st.integers(1, 4),
        connection=st.none() | CONNECTIONS,
        queues=st.none() | st.lists(QUEUES, min_size=1, max_size=2, unique=True),
    )
    def claim(self, worker: str, limit: int, connection: str | None, queues: list[str] | None) -> None:
        expected = self.claimable(connection, queues)[:limit]

        taken = self.do(
            self.ledger.claim(worker=worker, limit=limit, lease=LEASE, connection=connection, queues=queues)
        )

        assert [job.id for job in taken] == [known.id for known in expected]
        for job, known in zip(taken, expected, strict=True):
            known.status, known.epoch, known.started = "running", known.epoch + 1, False
            known.worker, known.leased_until = worker, self.clock.now() + LEASE
            assert (job.epoch, job.payload) == (known.epoch, b"x")
            self.leases.append((worker, Lease(job.id, job.epoch)))

    def claimable(self, connection: str | None, queues: list[str] | None) -> list[Known]:
        """Due jobs in the order of claiming."""
        now = self.clock.now()
        lines: dict[tuple[str, str], list[Known]] = {}
        for known in self.jobs.values():
            if known.status == "waiting" and (connection is None or known.connection == connection):
                lines.setdefault((known.connection, known.queue), []).append(known)
        if queues is None:
            order = sorted(lines, key=lambda key: (key[1] != "default", min(one.due_at for one in lines[key]), key))
        else:
            order = sorted((key for key in lines if key[1] in queues), key=lambda key: (queues.index(key[1]), key))
        return [
            known
            for key in order
            if key not in self.paused
            for known in sorted(lines[key], key=lambda one: (-one.priority, one.due_at, one.id))
            if known.due_at <= now
        ]

    @precondition(lambda self: bool(self.leases))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        _, lease = data.draw(st.sampled_from(self.leases[-5:]))
        known = self.jobs.get(lease.job_id)
        held = known is not None and known.holds(lease)

        assert self.do(self.ledger.start_many([lease])) == ([] if held else [lease])

        if known is not None and held:
            known.started = True

    @precondition(lambda self: bool(self.leases))
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        worker, lease = data.draw(st.sampled_from(self.leases[-5:]))
        known = self.jobs.get(lease.job_id)
        held = known is not None and known.holds(lease)

        assert self.do(self.ledger.extend_many(worker, [lease], lease=LEASE)) == ([] if held else [lease])

        if known is not None and held:
            known.leased_until = self.clock.now() + LEASE

    @precondition(lambda self: bool(self.leases))
    @rule(data=st.data(), outcome=st.sampled_from(sorted(OUTCOMES)))
    def settle(self, data: st.DataObject, outcome: str) -> None:
        self.settle_one(data.draw(st.sampled_from(self.leases[-5:]))[1], outcome)

    def settle_one(self, lease: Lease, outcome: str) -> None:
        plan = OUTCOMES[outcome]
        settlement = Settlement(
            lease=lease,
            status=plan.status,
            outcome=plan.outcome,
            tried=plan.tried,
            crashed=plan.crashed,
            pause=plan.pause,
        )
        known = self.jobs.get(lease.job_id)
        held = known is not None and known.holds(lease)

        assert self.do(self.ledger.settle_many([settlement])) == ([] if held else [lease])

        if known is not None and held:
            known.status = plan.status.value
            known.attempts += plan.tried
            known.crashes += plan.crashed
            if plan.pause is not None:
                known.due_at = self.clock.now() + plan.pause
            if outcome != "released" or known.started:
                known.history.append(outcome)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 31.0]))
    def move(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule()
    def sweep(self) -> None:
        swept = self.do(self.ledger.sweep(max_crashes=MAX_CRASHES))

        seen = {"released": 0, "crashed": 0, "failed": 0}
        for known in self.jobs.values():
            if known.status == "running" and known.leased_until <= self.clock.now():
                seen[self.take_back(known)] += 1
        assert (swept.released, swept.crashed, swept.failed) == tuple(seen.values())

    @staticmethod
    def take_back(known: Known) -> str:
        known.status = "waiting"
        if not known.started:
            return "released"
        known.crashes += 1
        known.history.append("crashed")
        if known.crashes < MAX_CRASHES:
            return "crashed"
        known.status = "failed"
        return "failed"

    @rule(worker=WORKERS)
    def bury(self, worker: str) -> None:
        self.do(self.ledger.bury(worker))
        for known in self.jobs.values():
            if known.status == "running" and known.worker == worker:
                known.leased_until = 0.0

    @rule()
    def lose_everything_and_claim_again(self) -> None:
        """What fences are for; by chance alone it would be rare."""
        self.claim("a", 2, None, None)
        self.bury("a")
        self.sweep()
        self.claim("b", 2, None, None)

    @rule()
    def try_again_behind_a_newer_one(self) -> None:
        """Order by due time, not by age; by chance alone it would be rare."""
        self.push("database", "default", 0, 0)
        self.claim("a", 1, "database", ["default"])
        if self.leases:
            self.settle_one(self.leases[-1][1], "retried")
        self.push("database", "default", 0, 0)
        self.clock.move(6)
        self.claim("b", 4, "database", ["default"])

    @precondition(lambda self: bool(self.jobs))
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "retry", "forget"]))
    def by_hand(self, data: st.DataObject, verb: str) -> None:
        known = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        fits = {
            "cancel": known.status in ("waiting", "running"),
            "retry": known.status in ("failed", "cancelled", "skipped"),
            "forget": known.status not in ("waiting", "running"),
        }[verb]

        changed = self.do(getattr(self.ledger, verb)([known.id]))

        assert len(changed) == fits
        if not fits:
            return
        if verb == "forget":
            del self.jobs[known.id]
        elif verb == "cancel":
            known.status = "cancelled"
        else:
            known.status, known.attempts, known.crashes, known.due_at = "waiting", 0, 0, self.clock.now()

    @rule(connection=CONNECTIONS, queue=QUEUES)
    def pause_or_resume(self, connection: str, queue: str) -> None:
        if (connection, queue) in self.paused:
            self.do(self.ledger.resume(connection, queue))
            self.paused.discard((connection, queue))
        else:
            self.do(self.ledger.pause(connection, queue))
            self.paused.add((connection, queue))

    # -- what always holds

    @invariant()
    def both_know_the_same(self) -> None:
        if not self.jobs:
            return
        now = self.clock.now()
        found = self.do(self.ledger.find(JobFilter(), limit=1000))
        assert {
            job.id: (job.status.value, job.epoch, job.attempts, job.crashes, job.due_at, job.finished_at is not None)
            for job in found
        } == {
            known.id: (
                known.shown(now),
                known.epoch,
                known.attempts,
                known.crashes,
                known.due_at,
                known.status not in ("waiting", "running"),
            )
            for known in self.jobs.values()
        }

    @invariant()
    def histories_are_the_same(self) -> None:
        for known in list(self.jobs.values())[:3]:
            attempts = self.do(self.ledger.attempts(known.id))
            assert [attempt.outcome for attempt in attempts] == known.history


LedgerMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestLedger = LedgerMachine.TestCase
