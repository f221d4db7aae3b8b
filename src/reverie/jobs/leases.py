"""Holds on to the jobs of a worker, on a thread of its own, so that a busy event loop loses none.

And it knows until when they are held for certain, so that a script whose job may be another's by now can do nothing
more, even while the store cannot be asked.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from reverie.errors import QueueUnavailable
from reverie.jobs.ledger import Lease, Ledger

log = structlog.get_logger()


def real_time() -> float:
    """Seconds that only go forward; on Linux those in which the machine slept are among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class LeaseKeeper:
    """Renews the leases of *worker*, and shows that it is alive.

    It measures time by the real clock: what it defends against is real time going by, sleep of the machine included.

    Args:
        lease: seconds a renewal holds. `renew_every`: seconds between two, for all jobs in one statement.
        look_every: seconds between two looks whether a job was cancelled or taken.
        on_lost: called with each lease that is lost, on the keeper's thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        worker: str,
        *,
        on_lost: Callable[[Lease], object],
        lease: float = 30.0,
        renew_every: float = 10.0,
        look_every: float = 2.0,
    ) -> None:
        self._ledger = ledger
        self._worker = worker
        self._on_lost = on_lost
        self._lease = lease
        self._renew_every = renew_every
        self._look_every = min(look_every, renew_every)
        self._held: dict[Lease, float] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hold(self, lease: Lease, *, since: float | None = None) -> None:
        """Renew a lease from now on.

        Args:
            since: `real_time` of the moment before it was asked for; the store counted from a later one.
        """
        with self._guard:
            self._held[lease] = (real_time() if since is None else since) + self._lease

    def holds(self, lease: Lease) -> bool:
        """Whether nobody else can have the job yet: not known to be lost, and renewed in time."""
        return self._held.get(lease, 0.0) > real_time()

    def drop(self, lease: Lease) -> None:
        with self._guard:
            self._held.pop(lease, None)

    def close(self) -> None:
        """Stop renewing; waits for a renewal on its way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        until_renewal = self._renew_every
        while not self._stop.wait(self._look_every):  # nothing else lives on this loop
            until_renewal -= self._look_every
            held = self._now_held()
            try:
                if until_renewal <= 0:
                    until_renewal = self._renew_every
                    asked = real_time()
                    lost = set(await self._ledger.extend_many(self._worker, held, lease=self._lease))
                    self._renewed([lease for lease in held if lease not in lost], asked + self._lease)
                else:
                    lost = set(held) - await self._ledger.held(self._worker) if held else set()
            except QueueUnavailable:
                until_renewal = 0.0
                log.warning("lease.not_renewed", worker=self._worker, jobs=len(held))
                continue
            for lease in lost & set(self._now_held()):
                self.drop(lease)
                self._on_lost(lease)

    def _renewed(self, leases: Sequence[Lease], until: float) -> None:
        with self._guard:
            for lease in leases:
                if lease in self._held:
                    self._held[lease] = until

    def _now_held(self) -> list[Lease]:
        with self._guard:
            return list(self._held)
