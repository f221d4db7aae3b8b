"""A worker in a process of its own, to be killed, stopped, cut off and lied to about the time.

It is the product's `Worker`, with a lease that no setting offers; its performer sleeps as long as the payload says and
writes its effects straight into the effect file. ``python -m tests.chaos.host <json>`` prints one line when it serves.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from reverie.clock import SystemClock
from reverie.jobs.queue import Retention
from reverie.jobs.work import Done, Performed, Report, Step, Turn, WorkerOptions
from reverie.observe import set_up
from reverie.worker import Worker
from tests.chaos.effects import BEGIN, END, LOST, STOPPED, EffectFile
from tests.chaos.places import Place


class Sleeper:
    """Performs jobs whose payload is ``{"seconds": ...}``."""

    def __init__(self, effects: EffectFile) -> None:
        self._effects = effects

    async def perform(self, turn: Turn) -> Performed:
        await turn.begin()
        job = turn.job
        self._effects.append(job.id, job.epoch, BEGIN)
        try:
            await asyncio.sleep(json.loads(job.payload)["seconds"])
        except asyncio.CancelledError:
            self._effects.append(job.id, job.epoch, STOPPED)
            raise
        self._effects.append(job.id, job.epoch, END)
        return Done()

    def report(self, report: Report) -> None:
        if report.step is Step.LOST:
            self._effects.append(report.job.id, report.job.epoch, LOST)


async def main(given: dict[str, Any]) -> None:
    place = Place.from_text(given["place"])
    sleeper = Sleeper(EffectFile(Path(given["effects"]), given["offset"]))
    # Everything is kept: what retention deletes, the checker would take for lost.
    options = WorkerOptions(**given["options"], retention=Retention(most_done=10**9))
    async with place.open() as queue:
        worker = Worker(queue, sleeper.perform, options, SystemClock(), on_report=sleeper.report)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.drain)
        print(worker.name, flush=True)
        await worker.run()


if __name__ == "__main__":
    set_up("text")
    asyncio.run(main(json.loads(sys.argv[1])))
