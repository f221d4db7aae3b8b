"""The queue as a state machine, small enough to look at all of it: two workers, two jobs, three epochs.

Each action does what one statement of a ledger does, or what a worker or the world does between two of them. Time is
left out: a lease may end, and a delayed job may become due, at any moment. `Rules` switches clauses off, one by one, to
show what each is for.

    claim    WHERE status = 'waiting' AND due_at <= now: epoch + 1, lease
    start    WHERE id = ? AND epoch = ? AND status = 'running': the script begins
    renew    WHERE status = 'running' AND worker = ? AND (id, epoch) IN ...: the lease is long again
    settle   WHERE id = ? AND epoch = ? AND status = 'running': done, failed, retried, released
    sweep    WHERE status = 'running' AND leased_until <= now: released, crashed, failed
    cancel   WHERE status IN ('waiting', 'running')
    announce, lose                 a wake-up is sent, once more than needed, or gets lost
    crash                          a worker dies, with all it has in hand, and another takes its place
    expire, due                    time passes

A worker that is stopped, or cut off, is one that takes no step for a while: since anything that can happen next may be
the next to happen, every pause of every length is among the paths. A worker that still holds on to a lost run does not
claim the same job beside it; that would be two workers by another name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

WORKERS: Final = 2
JOBS: Final = 2
EPOCHS: Final = 3
TRIES: Final = 2
MAX_CRASHES: Final = 2
NOBODY: Final = -1
ENDED: Final = frozenset({"done", "failed", "cancelled"})
HELPFUL: Final = frozenset({"claim", "start", "settle", "expire", "sweep", "due"})
"""What happens sooner or later, as long as anybody serves the queue."""


class JobState(NamedTuple):
    """What the ledger knows of a job; `endings` counts, for each epoch, how often its run was settled."""

    status: str = "waiting"
    due: bool = False
    epoch: int = 0
    owner: int = NOBODY
    leased: bool = False
    begun: bool = False
    attempts: int = 0
    crashes: int = 0
    endings: tuple[int, ...] = (0,) * EPOCHS


class Hand(NamedTuple):
    """What a worker believes: it has the job under this epoch. `live`: no renewal of it is overdue."""

    worker: int
    epoch: int
    begun: bool = False
    live: bool = True


class Cell(NamedTuple):
    """A job and who believes to have it."""

    job: JobState
    hands: tuple[Hand, ...] = ()


class State(NamedTuple):
    """`woken`: a wake-up is on its way."""

    cells: tuple[Cell, ...]
    woken: bool = True


class Action(NamedTuple):
    verb: str
    worker: int = NOBODY
    job: int = NOBODY
    epoch: int = 0
    outcome: str = ""

    def __str__(self) -> str:
        parts = [self.verb]
        parts += [f"worker {self.worker}"] if self.worker != NOBODY else []
        parts += [f"job {self.job}"] if self.job != NOBODY else []
        parts += [f"epoch {self.epoch}"] if self.epoch else []
        return " ".join([*parts, self.outcome]).strip()


class Move(NamedTuple):
    """What can happen to one job: `taken` False when the ledger refused it; `wakes` when a wake-up follows."""

    verb: str
    cell: Cell
    worker: int = NOBODY
    epoch: int = 0
    outcome: str = ""
    taken: bool = True
    wakes: bool = False


class Step(NamedTuple):
    action: Action
    state: State
    taken: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The clauses; each can be taken out.

    Attributes:
        fence: a settlement names its epoch, and counts only for that.
        start_asks: a run that begins is still the job's own.
        sweep_waits: only a lease that has ended is taken back.
        tries_end: a worker gives up after so many tries.
        looks: who is not woken looks at the store all the same.
    """

    fence: bool = True
    start_asks: bool = True
    sweep_waits: bool = True
    tries_end: bool = True
    looks: bool = True


def first(jobs: int = JOBS) -> State:
    """Jobs were pushed, each due at some moment to come."""
    return State((Cell(JobState()),) * jobs)


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """All that can happen next."""
    for at, cell in enumerate(state.cells):
        for move in moves(cell, rules):
            if move.verb == "claim" and not (state.woken or rules.looks):
                continue
            cells = (*state.cells[:at], move.cell, *state.cells[at + 1 :])
            action = Action(move.verb, move.worker, at, move.epoch, move.outcome)
            yield Step(action, State(cells, state.woken or move.wakes), move.taken)
    for worker in range(WORKERS):
        yield Step(Action("crash", worker), state._replace(cells=tuple(crashed(cell, worker) for cell in state.cells)))
    yield Step(Action("lose"), state._replace(woken=False))
    yield Step(Action("announce"), state._replace(woken=True))


def crashed(cell: Cell, worker: int) -> Cell:
    """A worker has died with all it had in hand."""
    return cell._replace(hands=tuple(hand for hand in cell.hands if hand.worker != worker))


def moves(cell: Cell, rules: Rules) -> Iterator[Move]:
    """All that can happen to one job."""
    job, hands = cell
    if job.status in ("waiting", "running"):
        endings = _ending(job, job.epoch) if job.status == "running" else job.endings
        yield Move("cancel", Cell(job._replace(status="cancelled", leased=False, endings=endings), hands))
    if job.status == "waiting" and not job.due:
        yield Move("due", Cell(job._replace(due=True), hands))
    if job.status == "waiting" and job.due and job.epoch < EPOCHS:
        epoch = job.epoch + 1
        for worker in range(WORKERS):
            if all(hand.worker != worker for hand in hands):
                taken = job._replace(status="running", epoch=epoch, owner=worker, leased=True, begun=False)
                yield Move("claim", Cell(taken, _sorted((*hands, Hand(worker, epoch)))), worker)
    if job.status == "running" and job.leased:
        overdue = tuple(hand._replace(live=False) if hand.epoch == job.epoch else hand for hand in hands)
        yield Move("expire", Cell(job._replace(leased=False), overdue))
    if job.status == "running" and (not job.leased or not rules.sweep_waits):
        yield Move("sweep", Cell(_taken_back(job), hands), wakes=True)
    for hand in hands:
        yield from _of_a_hand(cell, hand, rules)


def _taken_back(job: JobState) -> JobState:
    freed = job._replace(status="waiting", leased=False, endings=_ending(job, job.epoch))
    if not job.begun:
        return freed
    crashes = job.crashes + 1
    return freed._replace(crashes=crashes, status="failed" if crashes >= MAX_CRASHES else "waiting")


def _of_a_hand(cell: Cell, hand: Hand, rules: Rules) -> Iterator[Move]:
    """What a worker may do with a job that it believes to have."""
    job, hands = cell
    mine = job.status == "running" and job.epoch == hand.epoch
    who, epoch = hand.worker, hand.epoch
    without = tuple(one for one in hands if one != hand)
    dropped = Cell(job, without)
    given_up = rules.tries_end and job.attempts >= TRIES

    if not hand.begun and not given_up:
        begun = Cell(job._replace(begun=True) if mine else job, _sorted((*without, hand._replace(begun=True))))
        begins = mine or not rules.start_asks
        yield Move("start", begun if begins else dropped, who, epoch, taken=begins)

    renews = mine and job.owner == hand.worker
    renewed = Cell(job._replace(leased=True), _sorted((*without, hand._replace(live=True))))
    yield Move("renew", renewed if renews else dropped, who, epoch, taken=renews)

    outcomes = ("done", "retried", "released") if hand.begun else ("failed",) if given_up else ("released",)
    accepted = job.status == "running" and (mine or not rules.fence)
    for outcome in outcomes:
        settled = Cell(_settled(job, epoch, outcome), without) if accepted else dropped
        wakes = accepted and outcome in ("retried", "released")
        yield Move("settle", settled, who, epoch, outcome, accepted, wakes)


def _settled(job: JobState, epoch: int, outcome: str) -> JobState:
    status = outcome if outcome in ENDED else "waiting"
    attempts = job.attempts + (outcome in ("done", "retried"))
    return job._replace(status=status, attempts=attempts, leased=False, endings=_ending(job, epoch))


def _ending(job: JobState, epoch: int) -> tuple[int, ...]:
    return tuple(count + (at == epoch - 1) for at, count in enumerate(job.endings))


def _sorted(hands: tuple[Hand, ...]) -> tuple[Hand, ...]:
    return tuple(sorted(hands))
