"""The time is wrong: D10."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.chaos.scenarios import scenario
from tests.chaos.stage import Stage


@scenario("D10", "a worker's clock is wrong, and jumps", "nothing runs early or 2 s late; no lease ends by a jump")
async def d10(stage: Stage) -> None:
    """On PostgreSQL the server's clock decides, whatever a worker believes: its processes run under libfaketime, an
    hour ahead, an hour behind, and drifting. On SQLite the clock of the host decides, so it is the jump of that clock
    that must do no harm: the time of processes jumps by an hour, and back, while they hold jobs."""
    if stage.place.postgres:
        await wrong_from_the_start(stage)
    else:
        await jumps_on_the_way(stage)


async def wrong_from_the_start(stage: Stage) -> None:
    for wrong in ("+3600s", "-3600s", "+30s x1.05"):
        host = await stage.host("one", faketime=says(stage, wrong), concurrency=8)
        ids = await stage.push(5, seconds=stage.lease * 1.5, delay=2.0)
        await stage.begun(ids)
        late = [one.at - stage.accepted[one.job].due_at for one in stage.seen() if one.job in ids]
        stage.figure(f"late at {wrong}", max(late), most=2.0)
        stage.figure(f"early at {wrong}", max(0.0, -min(late)), most=0.05)
        await stage.drained(stage.lease * 3)
        await host.kill()
    stage.figure("crashes", sum(row.crashes for row in stage.evidence().rows), "n", most=0)


async def jumps_on_the_way(stage: Stage) -> None:
    hosts = [await stage.host(faketime=says(stage, "+0s"), concurrency=4) for _ in range(2)]
    ids = await stage.push(8, seconds=stage.lease * 3)
    await stage.begun(ids)
    for wrong in ("+3600s", "+0s"):  # an hour ahead; then, as the next jump, an hour back
        says(stage, wrong)
        await asyncio.sleep(stage.lease)
    await stage.drained(stage.lease * 4)
    stage.figure("begun twice", len(stage.seen()) - len(ids), "n", most=0)
    stage.figure("crashes", sum(row.crashes for row in stage.evidence().rows), "n", most=0)
    warnings = sum(host.log.read_text().count("clock.jumped") for host in hosts)
    stage.figure("warnings", warnings, "n", least=2)


def says(stage: Stage, wrong: str) -> Path:
    """The file that tells processes the time."""
    file = stage.folder / "faketime"
    file.write_text(f"{wrong}\n")
    return file
