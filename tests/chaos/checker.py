"""Proves I1 to I6 from three things: what was accepted, what really ran, and what the ledger says afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.effects import BEGIN, END, Effect

ENDED: Final = frozenset({"done", "failed", "cancelled", "skipped"})
SETTLED_BY_ITS_OWN: Final = frozenset({"done", "failed", "retried", "skipped"})
"""Outcomes of a run that still had its lease; the others are those of a lease that was lost or given back."""
EARLY: Final = 0.05
"""Seconds that two clocks of one machine may differ by rounding and the order of system calls."""
AFTER_CANCEL: Final = 5.0
"""Seconds in which a script whose job was cancelled must have stopped."""
CROSSING: Final = 0.5
"""Seconds in which a beginning and a cancel may cross: a worker does not ask again right after its claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job somebody was promised. `key`: how its effects name it; `cancelled_at`: when a cancel was confirmed."""

    key: str
    due_at: float = 0.0
    cancelled_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job in the ledger."""

    id: str
    status: str
    epoch: int
    attempts: int
    crashes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One line of the ledger's history of a job."""

    job_id: str
    epoch: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a scenario leaves behind; `orphans` are rows of other tables whose job is gone.

    Attributes:
        tries, max_crashes: as the workers had them; None: not limited.
    """

    accepted: Mapping[str, Accepted]
    effects: Sequence[Effect]
    rows: Sequence[Row]
    runs: Sequence[Run]
    orphans: int = 0
    tries: int | None = None
    max_crashes: int | None = None


@dataclass(slots=True)
class Verdict:
    """What the evidence says; nothing in `violations` is good."""

    accepted: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    finished_twice: int = 0
    ran_again: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ends = " · ".join(f"{count} {status}" for status, count in sorted(self.ended.items()))
        return f"{self.accepted} accepted · {ends} · {self.lost} lost · {self.finished_twice} finished twice"


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict(accepted=len(evidence.accepted))
    rows = {row.id: row for row in evidence.rows}
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(evidence.runs, key=lambda one: one.epoch):
        runs[run.job_id].append(run)
    effects: dict[str, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        effects[effect.job].append(effect)
    for job_id, promised in evidence.accepted.items():
        row = rows.get(job_id)
        if row is None:
            verdict.lost += 1
            verdict.violations.append(f"I1: {job_id} was accepted and is not in the ledger")
            continue
        verdict.ended[row.status] += 1
        seen = effects[promised.key]
        broken = [
            *_ends_once(row, runs[job_id], seen),
            *_epochs_grow(row, runs[job_id], seen),
            *_begins_in_time(promised, seen),
            *_never_beside_itself(runs[job_id], seen),
            *_counts(row, runs[job_id], evidence),
        ]
        verdict.violations += [f"{text} ({job_id})" for text in broken]
        verdict.lost += row.status not in ENDED
        verdict.finished_twice += sum(run.outcome == "done" for run in runs[job_id]) > 1
        verdict.ran_again += max(0, sum(one.what == BEGIN for one in seen) - 1)
    verdict.violations += _left_over(evidence)
    return verdict


def _ends_once(row: Row, runs: Sequence[Run], seen: Sequence[Effect]) -> list[str]:
    done = sum(run.outcome == "done" for run in runs)
    ran_to_its_end = any(effect.what == END for effect in seen)
    found = []
    if row.status not in ENDED:
        found.append(f"I1: it has not ended: {row.status}")
    if row.status == "done" and done != 1:
        found.append(f"I1: it is done, and its history has {done} runs that finished it")
    if row.status != "done" and done:
        found.append(f"I1: it is {row.status}, and a run finished it")
    if row.status == "done" and not ran_to_its_end:
        found.append("I1: it is done, and nothing shows that its script ran to the end")
    return found


def _epochs_grow(row: Row, runs: Sequence[Run], seen: Sequence[Effect]) -> list[str]:
    found = []
    epochs = [run.epoch for run in runs]
    if len(set(epochs)) != len(epochs):
        found.append(f"I2: two outcomes under one epoch: {epochs}")
    if max(epochs, default=0) > row.epoch:
        found.append(f"I2: a run under epoch {max(epochs)}, the job is at {row.epoch}")
    begun = Counter(effect.epoch for effect in seen if effect.what == BEGIN and effect.epoch)
    found += [f"I2: epoch {epoch} began {count} times" for epoch, count in begun.items() if count > 1]
    in_time = [effect.epoch for effect in sorted(seen, key=lambda one: one.at) if effect.what == BEGIN and effect.epoch]
    if in_time != sorted(in_time):
        found.append(f"I2: runs began under epochs {in_time}")
    return found


def _begins_in_time(promised: Accepted, seen: Sequence[Effect]) -> list[str]:
    begun = [effect.at for effect in seen if effect.what == BEGIN]
    found = []
    if early := [at for at in begun if at < promised.due_at - EARLY]:
        found.append(f"I3: it began {promised.due_at - early[0]:.3f} s before it was due")
    if promised.cancelled_at is not None:
        late = [at for at in begun if at > promised.cancelled_at + CROSSING]
        found += [f"I3: it began {late[-1] - promised.cancelled_at:.3f} s after it was cancelled"] if late else []
        late = [effect.at for effect in seen if effect.at > promised.cancelled_at + AFTER_CANCEL]
        found += [f"I3: it still ran {late[-1] - promised.cancelled_at:.1f} s after it was cancelled"] if late else []
    return found


def _never_beside_itself(runs: Sequence[Run], seen: Sequence[Effect]) -> list[str]:
    """A run may overlap the next only if it had lost its lease."""
    outcomes = {run.epoch: run.outcome for run in runs}
    began = {effect.epoch: effect.at for effect in seen if effect.what == BEGIN and effect.epoch}
    ended = {effect.epoch: effect.at for effect in seen if effect.what != BEGIN and effect.epoch}
    return [
        f"I4: the run under epoch {later} began while the one under {epoch} had not ended, which kept its lease"
        for epoch in began
        for later in began
        if later > epoch and outcomes.get(epoch) in SETTLED_BY_ITS_OWN and began[later] < ended.get(epoch, began[epoch])
    ]


def _counts(row: Row, runs: Sequence[Run], evidence: Evidence) -> list[str]:
    found = []
    if evidence.tries is not None and row.attempts > evidence.tries:
        found.append(f"I5: {row.attempts} tries of {evidence.tries}")
    if evidence.max_crashes is not None and row.crashes > evidence.max_crashes:
        found.append(f"I5: {row.crashes} crashes of {evidence.max_crashes}")
    crashed = sum(run.outcome == "crashed" for run in runs)
    if crashed != row.crashes:
        found.append(f"I5: {row.crashes} crashes, and {crashed} in its history")
    return found


def _left_over(evidence: Evidence) -> list[str]:
    running = sum(row.status == "running" for row in evidence.rows)
    waiting = sum(row.status == "waiting" for row in evidence.rows)
    found = [f"I6: {running} jobs are still leased"] if running else []
    found += [f"I6: {waiting} jobs still wait"] if waiting else []
    found += [f"I6: {evidence.orphans} rows belong to no job"] if evidence.orphans else []
    return found
