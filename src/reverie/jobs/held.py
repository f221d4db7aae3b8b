"""A job in a worker's hands, and the line in the log when something is to be said about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from reverie.jobs.leases import LeaseKeeper
from reverie.jobs.settle import lease_of
from reverie.jobs.work import Report, Step
from reverie.model import Job
from reverie.trace import trace_id


@dataclass(slots=True, eq=False)
class Held:
    """A job that a worker claimed.

    Attributes:
        since: monotonic seconds of the claim.
        keeper: renews its lease.
        alone: no other job runs beside it.
        begun: its script had its beginning, so a lost lease is a crash.
        lost: it is another's now, or was cancelled.
        settling: it only waits for the store.
        task: None as long as it was not set going.
        mark: the note in the ledger that it has begun; its result is whether the job was lost.
    """

    job: Job
    since: float
    keeper: LeaseKeeper | None = None
    alone: bool = False
    begun: bool = False
    lost: bool = False
    settling: bool = False
    task: asyncio.Task[None] | None = None
    mark: asyncio.Task[bool] | None = None

    def holds(self) -> bool:
        """Neither known to be lost, nor renewed too late: what `Turn.holds` asks."""
        return not self.lost and (self.keeper is None or self.keeper.holds(lease_of(self.job)))


def log_step(log: FilteringBoundLogger, report: Report) -> None:
    """A warning for whatever is not the ordinary course; that is told to who wants every detail."""
    if report.step in (Step.RUNNING, Step.DONE):
        log.debug(f"job.{report.step}", job=report.job.id, name=report.job.name)  # noqa: G004
        return
    settlement = report.settlement
    cause = settlement.error if settlement is not None and isinstance(settlement.error, dict) else {}
    known = {"error": cause.get("message"), "type": cause.get("type"), "line": cause.get("line")}
    known["trace_id"] = trace_id(report.job.trace)
    seconds = round(report.seconds, 3)
    log.warning(f"job.{report.step}", job=report.job.id, name=report.job.name, seconds=seconds, **known)  # noqa: G004
