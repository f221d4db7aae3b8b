"""Who is too late, who comes twice, who changes his mind: D2, D3, D9, D13, D25."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import replace

from tests.chaos.checker import CROSSING
from tests.chaos.effects import BEGIN, END, LOST, STOPPED
from tests.chaos.scenarios import scenario
from tests.chaos.stage import SWEEP, Stage


async def again_after(stage: Stage, since: float, ids: list[str], within: float) -> list[float]:
    """Seconds from *since* to the second beginning of each job."""
    await stage.begun(ids, times=2, within=within)
    begins: dict[str, list[float]] = {one: [] for one in ids}
    for effect in stage.seen():
        if effect.job in begins:
            begins[effect.job].append(effect.at)
    return [max(0.0, sorted(times)[1] - since) for times in begins.values()]


@scenario("D2", "a worker's host dies", "its jobs run again within lease + sweep (45 s of 30), 0 lost", quick=True)
async def d2(stage: Stage) -> None:
    """Workers with a job each are killed at once. Those on the survivor's host are found by their locks, which is
    timed from when the survivor is there; of another host only the lease tells, which is timed from the kill."""
    for host, most in (("wake", 2.0 + SWEEP), ("other", stage.lease * 1.2 + 4 * SWEEP + 3.0)):
        again: list[float] = []
        rounds, at_once = (5, 10) if stage.full else (1, 5)
        for _ in range(rounds):
            doomed = [await stage.host(host, concurrency=1) for _ in range(at_once)]
            ids = await stage.push_at_once(at_once, seconds=3.0 if stage.full else 0.7)
            await stage.begun(ids)
            await asyncio.gather(*(one.kill() for one in doomed))
            since = time.time()
            # On a machine that is busy, the first may have ended before the last began.
            ended = {one.job for one in stage.seen(END)}
            ids = [one for one in ids if one not in ended]
            survivor = await stage.host("wake", concurrency=at_once)
            since = time.time() if host == "wake" else since
            again += await again_after(stage, since, ids, stage.lease + 20)
            await stage.drained()
            survivor.signal(signal.SIGTERM)
            await survivor.process.wait()
        where = "seen by its lock" if host == "wake" else "known by its lease"
        stage.figure(f"killed in mid run, {where}", len(again), "n", least=rounds * at_once / 2)
        stage.figures_of(f"again, {where},", again, most=most)


@scenario("D3", "one of two workers is killed again and again", "0 lost, rate at least 90 %", quick=False)
async def d3(stage: Stage) -> None:
    seconds, every, rate = (600.0, 20.0, 100.0) if stage.full else (60.0, 6.0, 100.0)
    hosts = [await stage.host(concurrency=8), await stage.host(concurrency=8)]
    load = asyncio.create_task(stage.offer(rate, seconds, work=0.02))
    kills = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds - every:
        await asyncio.sleep(every)
        victim = hosts.pop(0)
        await victim.kill()
        kills += 1
        hosts.append(await stage.host(concurrency=8))
    await load
    offered_for = time.monotonic() - began
    await stage.drained(stage.lease + 30)
    took = time.monotonic() - began
    stage.figure("kills", kills, "n")
    stage.figure("rate", len(stage.accepted) / took, "/s", least=0.9 * len(stage.accepted) / offered_for)
    again = stage.verdict().ran_again
    # At most what was in hand at a kill: the places, and what is claimed ahead of them.
    stage.figure("ran again", again, "n", most=kills * (8 + 32))


@scenario("D9", "a worker is stopped for two leases", "its late finish is refused, one finish each", quick=True)
async def d9(stage: Stage) -> None:
    """When it goes on, its runs are over at once, and those of the other are not: only the epoch tells them apart."""
    stopped = await stage.host("one", concurrency=2)
    ids = await stage.push(2, seconds=stage.lease * 1.5)
    await stage.begun(ids)
    stopped.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    await asyncio.sleep(stage.lease)
    await stage.host("two", concurrency=2)
    await stage.begun(ids, times=2, within=stage.lease + 10)
    await asyncio.sleep(max(0.0, stopped_at + 2 * stage.lease - time.monotonic()))
    stage.figure("still running elsewhere", 2 - len(stage.seen(END)), "n", least=2)
    stopped.signal(signal.SIGCONT)
    await stage.drained(stage.lease * 2 + 10)
    await stage.until(lambda: len(stage.seen(LOST)) >= 2, 10 + stage.lease, "the news of the lost leases")
    stage.figure("runs refused", len(stage.seen(LOST)), "n", least=2)
    stage.figure("finished", len(await stage.rows("SELECT 1 FROM job_attempt WHERE outcome = 'done'")), "n", least=2)


@scenario("D13", "every wake-up comes three times, and old ones again", "0 double runs, 0 errors", quick=True)
async def d13(stage: Stage) -> None:
    """No wake-up carries a job, so a delivery that is repeated can only make somebody look. Here all look at once."""
    for _ in range(3):
        await stage.host(concurrency=4)
    count = stage.count(3000)
    for at in range(count):
        await stage.push(1, seconds=0.001)
        for _ in range(3):
            await stage.queue.transport.announce("database", "default")
        if at % 10 == 0:
            await stage.queue.transport.announce("database", f"gone-{at}")
            if stage.ground.redis is not None and at % 100 == 0:
                await asyncio.to_thread(
                    stage.ground.redis.cli, "PUBLISH", "reverie:{database}:0", "default\ndefault\n{"
                )
    await stage.drained(60 + count / 20)
    begins = [effect.job for effect in stage.seen()]
    stage.figure("double runs", len(begins) - len(set(begins)), "n", most=0)
    errors = sum(host.log.read_text().count("error") for host in stage.hosts)
    stage.figure("errors", errors, "n", most=0)


@scenario(
    "D25", "jobs are cancelled at random moments", "cancelled or done, never both; stopped within 5 s", quick=True
)
async def d25(stage: Stage) -> None:
    chance = random.Random(25)
    await stage.host(concurrency=8)
    await stage.host(concurrency=8)
    count = 200 if stage.full else 40
    late: list[float] = []
    crossed: list[float] = []

    async def one() -> None:
        [job_id] = await stage.push(1, seconds=chance.choice([0.0, 0.05, 0.4, 3.0]))
        await asyncio.sleep(chance.uniform(0, 0.5))
        ended = await stage.queue.cancel([job_id])
        if ended:
            stage.accepted[job_id] = replace(stage.accepted[job_id], cancelled_at=time.time())

    for _ in range(count // 20):
        await asyncio.gather(*(one() for _ in range(20)))
    await stage.drained()
    await asyncio.sleep(max(3.0, stage.lease))
    cancelled = {key: one.cancelled_at for key, one in stage.accepted.items() if one.cancelled_at is not None}
    for effect in stage.effects.read():
        cancelled_at = cancelled.get(effect.job)
        if cancelled_at is not None and effect.at > cancelled_at:
            if effect.what in (STOPPED, END):
                late.append(effect.at - cancelled_at)
            elif effect.what == BEGIN:
                crossed.append(effect.at - cancelled_at)
    stage.figure("cancelled", len(cancelled), "n", least=count / 4)
    stage.figure("stopped while running", len(late), "n", least=1)
    stage.figures_of("stopped after", late or [0.0], most=5.0)
    stage.figure("began after the cancel, at most", max(crossed, default=0.0), most=CROSSING)
