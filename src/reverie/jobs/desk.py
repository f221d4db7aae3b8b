"""What the command line and the API need of the queue beside the queue itself."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.clock import Clock
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    queue: Queue
    signals: Signals
    store: Store
    clock: Clock
