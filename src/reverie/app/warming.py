"""Keeps warm the languages that stored scripts are written in, and only those: a child costs time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reverie.clock import Clock
from reverie.database import DatabaseError
from reverie.errors import StoreUnavailable
from reverie.scripting.engine import Engine
from reverie.store.memory import Memory

LOOK_EVERY: Final = 0.2
"""Seconds between two looks for scripts in a language that is still cold."""


async def keep_warm(engines: Mapping[str, Engine], memory: Memory, clock: Clock) -> None:
    """Warm up each language once the first script in it is stored and active; end when all are warm.

    One after the other: all at once they would keep the first calls waiting for a processor. Who runs a script before
    that waits for the same child.
    """
    cold = {name: engine for name, engine in engines.items() if not engine.missing}
    looked_at: int | None = None
    while cold:
        try:
            version = await memory.fresh()
            if version != looked_at:
                in_use = await memory.languages()
                looked_at = version
                for name in [name for name in cold if name in in_use]:
                    await cold.pop(name).start()
        except (StoreUnavailable, DatabaseError):
            looked_at = None  # calls say so; here it is enough to look again
        await clock.sleep(LOOK_EVERY)
