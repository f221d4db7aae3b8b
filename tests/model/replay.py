"""Walk a path of the model on a real ledger, and compare after every step."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from reverie.jobs.ledger import Lease, Settlement
from reverie.jobs.queue import Queue
from reverie.model import Job, JobStatus
from tests.model.rules import ENDED, MAX_CRASHES, Action, Rules, State, Step, first, steps
from tests.unit.jobs.scene import MovingClock, draft, push

LEASE = 30.0
FAR = 1e6
"""Seconds until the first job is due; the next is due as much later."""
SETTLEMENTS = {
    "done": (JobStatus.DONE, True, None),
    "failed": (JobStatus.FAILED, False, None),
    "retried": (JobStatus.WAITING, True, 0.0),
    "released": (JobStatus.WAITING, False, None),
}


@dataclass(slots=True)
class Replay:
    """One walk: the model's state, and the jobs of a queue that stand for it."""

    queue: Queue
    clock: MovingClock
    state: State = field(default_factory=first)
    jobs: list[Job] = field(default_factory=list)

    async def begin(self) -> None:
        self.jobs = [
            await push(self.queue, draft(queue=f"q{at}", delay=FAR * (at + 1))) for at in range(len(self.state.cells))
        ]

    async def end(self) -> None:
        """Leave nothing behind that the next walk's sweep would find."""
        await self.queue.ledger.cancel([job.id for job in self.jobs])

    async def take(self, step: Step) -> None:
        """Do it to both, and see that both say the same."""
        before, self.state = self.state, step.state
        await self._do(step, before)
        await self.compare(step.action)

    async def _do(self, step: Step, before: State) -> None:
        ledger, action = self.queue.ledger, step.action
        lease = Lease(self.jobs[action.job].id, action.epoch)
        answer = [] if step.taken else [lease]
        match action.verb:
            case "claim":
                [job] = await ledger.claim(
                    worker=f"w{action.worker}", limit=5, lease=LEASE, connection="database", queues=[f"q{action.job}"]
                )
                assert (job.id, job.epoch) == (self.jobs[action.job].id, step.state.cells[action.job].job.epoch)
            case "start":
                assert await ledger.start_many([lease]) == answer, str(action)
            case "renew":
                assert await ledger.extend_many(f"w{action.worker}", [lease], lease=LEASE) == answer, str(action)
            case "settle":
                assert await ledger.settle_many([_settlement(lease, action.outcome)]) == answer, str(action)
            case "cancel":
                assert [job.id for job in await ledger.cancel([lease.job_id])] == [lease.job_id]
            case "sweep":
                await ledger.sweep(max_crashes=MAX_CRASHES)
            case "expire":
                await self._let_go_by(LEASE + 1, before, spare=action.job)
            case "due":
                await self._let_go_by(self.jobs[action.job].due_at - self.clock.now(), before)
            case "announce":
                await self.queue.transport.announce("database", "q0")

    async def _let_go_by(self, seconds: float, before: State, *, spare: int = -1) -> None:
        """Time passes, and no lease ends of those that run, except that of the job *spare*."""
        for at, (job, _) in enumerate(before.cells):
            if job.leased and at != spare:
                lease = Lease(self.jobs[at].id, job.epoch)
                assert await self.queue.ledger.extend_many(f"w{job.owner}", [lease], lease=seconds + LEASE) == []
        self.clock.move(seconds)

    async def compare(self, action: Action) -> None:
        ledger = self.queue.ledger
        held: dict[int, set[Lease]] = {0: set(), 1: set()}
        for expected, pushed in zip(self.state.cells, self.jobs, strict=True):
            job = await ledger.get(pushed.id)
            status = "waiting" if job.status is JobStatus.DELAYED else job.status.value
            assert (status, job.epoch, job.attempts, job.crashes) == (
                expected.job.status,
                expected.job.epoch,
                expected.job.attempts,
                expected.job.crashes,
            ), str(action)
            if expected.job.status == "running":
                held[expected.job.owner].add(Lease(job.id, job.epoch))
        for worker, leases in held.items():
            assert await ledger.held(f"w{worker}") == leases, str(action)


def _settlement(lease: Lease, outcome: str) -> Settlement:
    status, tried, pause = SETTLEMENTS[outcome]
    return Settlement(lease=lease, status=status, outcome=outcome, tried=tried, pause=pause)


def random_walk(state: State, chance: random.Random, length: int) -> list[Step]:
    """Steps one after another; what changes neither a job nor a hand comes rarely."""
    walk: list[Step] = []
    while len(walk) < length:
        possible = [step for step in steps(state, Rules()) if replayable(state, step.action)]
        useful = [step for step in possible if step.state.cells != state.cells]
        if not useful:
            break
        step = chance.choice(useful if chance.random() < 0.9 else possible)
        walk.append(step)
        state = step.state
        if step.action.verb == "sweep":  # the real one takes back whatever has ended
            rest = [at for at, (job, _) in enumerate(state.cells) if job.status == "running" and not job.leased]
            for at in rest:
                [swept] = [s for s in steps(state, Rules()) if s.action == Action("sweep", job=at)]
                walk[-1] = walk[-1]._replace(state=swept.state)
                state = swept.state
    return walk


def replayable(state: State, action: Action) -> bool:
    """The second job is due after the first, since there is one clock; and nothing follows on the end of all jobs."""
    earlier = [cell.job for cell in state.cells[: action.job]]
    return action.verb != "due" or all(job.due or job.status in ENDED for job in earlier)
