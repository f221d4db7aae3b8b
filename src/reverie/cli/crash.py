"""What ``reverie demo crash`` plays: a real ``reverie up``, real calls, and SIGKILL for its worker.

    <folder>/data             the data folder of that instance
    <folder>/effects.sqlite   a database of its own, served as `effects`; each run of a job's script adds a row
    <folder>/log              what the instance printed

What became of the jobs is read from two places that know nothing of one another: the ledger, and that database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from reverie.app import open_queue
from reverie.config import read_settings
from reverie.database import Connection, Row
from reverie.errors import NotFound, Unavailable
from reverie.jobs.queue import Queue
from reverie.model import JobStatus
from reverie.sqlite import SqliteDatabase

EMAIL: Final = "demo@example.test"
START_WITHIN: Final = 60.0
END_WITHIN: Final = 300.0
"""Seconds until every job must have ended: what has not by then counts as lost."""
LOOK_EVERY: Final = 0.02
_NOT_OURS: Final = ("REVERIE_", "QUEUE_", "DF_")
"""Beginnings of variables that tell another instance something."""
_SCRIPT: Final = """
import time
number = int(event["request"]["parameters"]["number"])
platform.api.post("effects/_table/effect", {"resource": [{"number": number}]})
time.sleep(0.05)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How far it is: `step` in words, and counts; `done` is jobs that have ended, however."""

    step: str
    accepted: int = 0
    done: int = 0
    kills: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the jobs.

    Attributes:
        accepted: calls that were answered 202.
        done: of those, jobs that the ledger calls done and that left an effect.
        lost: all others of them.
        finished_twice: jobs with more than one finish that the ledger took.
        repeated: runs that ended with their worker. `effects_twice`: effects beyond one for each job.
    """

    accepted: int
    done: int
    lost: int
    finished_twice: int
    kills: int
    repeated: int
    effects_twice: int

    def is_well(self, jobs: int, kills: int) -> bool:
        return (self.accepted, self.done, self.lost, self.finished_twice, self.kills) == (jobs, jobs, 0, 0, kills)


@dataclass(slots=True)
class Play:
    """One performance; `jobs` is the ids that were accepted, by the number in each call."""

    folder: Path
    client: httpx2.AsyncClient
    queue: Queue
    show: Callable[[Seen], None]
    jobs: dict[int, str] = field(default_factory=dict)
    kills: int = 0

    async def accept(self, wanted: int) -> None:
        """Call the queued script so often, one after the other."""
        for number in range(wanted):
            answer = await self.client.post("/api/v2/leave_effect", params={"number": number})
            if answer.status_code != 202:
                raise Unavailable(f"a call was answered {answer.status_code}: {answer.text[:300]}")
            self.jobs[number] = answer.headers["X-Reverie-Job"]

    async def kill(self, wanted: int, jobs: int) -> None:
        """Kill the worker so often, at about even distances, each time while jobs run."""
        for turn in range(1, wanted + 1):
            while (ended := await self.ended()) < jobs * turn // (wanted + 1) or not await self.running():
                self.tell("running", ended)
                await asyncio.sleep(LOOK_EVERY)
            process = await self.worker()
            os.kill(process, signal.SIGKILL)
            self.kills += 1
            self.tell(f"killed worker {process}", ended)
            await self.worker(but=process)

    async def worker(self, *, but: int = 0) -> int:
        """The process that serves the queues, other than *but*; waits for one that does."""
        while True:
            for one in await self.queue.ledger.workers():
                if one.process != but and not self.queue.transport.gone(one.name):
                    return one.process
            await asyncio.sleep(LOOK_EVERY)

    async def running(self) -> int:
        return await self._count(JobStatus.RUNNING)

    async def ended(self) -> int:
        return await self._count(JobStatus.DONE, JobStatus.FAILED, JobStatus.SKIPPED, JobStatus.CANCELLED)

    async def _count(self, *statuses: JobStatus) -> int:
        return sum(count.jobs for count in await self.queue.ledger.counts() if count.status in statuses)

    def tell(self, step: str, done: int = 0) -> None:
        self.show(Seen(step=step, accepted=len(self.jobs), done=done, kills=self.kills))

    async def until_all_ended(self, jobs: int) -> None:
        while (ended := await self.ended()) < jobs:
            self.tell("running", ended)
            await asyncio.sleep(LOOK_EVERY)
        self.tell("all have ended", ended)

    async def _is_done(self, job_id: str) -> bool:
        try:
            return (await self.queue.ledger.get(job_id)).status is JobStatus.DONE
        except NotFound:
            return False

    async def judge(self) -> Verdict:
        """Compare the ledger with the effects."""
        effects = await _effects(self.folder)
        done = finished_twice = repeated = 0
        for number, job_id in self.jobs.items():
            outcomes = [attempt.outcome for attempt in await self.queue.ledger.attempts(job_id)]
            done += await self._is_done(job_id) and effects[number] > 0
            finished_twice += outcomes.count("done") > 1
            repeated += outcomes.count("crashed")
        return Verdict(
            accepted=len(self.jobs),
            done=done,
            lost=len(self.jobs) - done,
            finished_twice=finished_twice,
            kills=self.kills,
            repeated=repeated,
            effects_twice=sum(count - 1 for count in effects.values()),
        )


async def play(
    folder: Path, *, jobs: int, kills: int, show: Callable[[Seen], None], end_within: float = END_WITHIN
) -> Verdict:
    """Perform it in *folder*, which is empty.

    Raises:
        Unavailable: the instance did not start or did not answer; what it printed is told.
    """
    show(Seen(step="starting"))
    await _make_effects(folder)
    environment = _environment(folder, kills)
    try:
        async with (
            _instance(folder, environment) as address,
            httpx2.AsyncClient(base_url=address, timeout=30, trust_env=False) as client,
        ):
            await _sign_in(client, environment)
            await _add_script(client)
            async with open_queue(read_settings(environment)) as queue:
                play = Play(folder=folder, client=client, queue=queue, show=show)
                with contextlib.suppress(TimeoutError):
                    works = play.accept(jobs), play.kill(kills, jobs), play.until_all_ended(jobs)
                    await asyncio.wait_for(_together(*works), end_within)
                return await play.judge()
    except httpx2.HTTPError as error:
        raise Unavailable(f"reverie up did not answer ({error}):\n{_log(folder)}") from error


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side; the first failure ends all of them."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _environment(folder: Path, kills: int) -> dict[str, str]:
    """Of an instance that has nothing to do with any other on this machine."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
    return ours | {
        "REVERIE_DATA_DIR": str(folder / "data"),
        "REVERIE_HOST": "127.0.0.1",
        "REVERIE_PORT": "0",
        "REVERIE_ADMIN_EMAIL": EMAIL,
        "REVERIE_ADMIN_PASSWORD": secrets.token_urlsafe(24),
        # The third crash of a job is final, as a rule; here it is the worker that is killed and no job's fault.
        "REVERIE_QUEUE_CRASHES": str(kills + 1),
    }


@contextlib.asynccontextmanager
async def _instance(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[str]:
    """A running ``reverie up``: its address."""
    command = (sys.executable, "-P", "-m", "reverie", "up", str(folder / "effects.sqlite"), "--write")
    with (folder / "log").open("wb") as log:
        # A group of its own: Ctrl-C reaches this process, which then ends the instance.
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    try:
        yield await _address(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process, folder: Path) -> str:
    """Where the instance answers, once it does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_WITHIN), httpx2.AsyncClient(trust_env=False) as client:
            while process.returncode is None:
                found = re.search(r"answers on (\S+)", _log(folder))
                with contextlib.suppress(httpx2.TransportError):
                    if found and (await client.get(f"{found[1]}/ready")).status_code == 200:
                        return found[1]
                await asyncio.sleep(LOOK_EVERY)
    raise Unavailable(f"reverie up did not start:\n{_log(folder)}")


def _log(folder: Path) -> str:
    return (folder / "log").read_text("utf-8", "replace")


async def _sign_in(client: httpx2.AsyncClient, environment: Mapping[str, str]) -> None:
    password = environment["REVERIE_ADMIN_PASSWORD"]
    answer = await client.post("/api/v2/system/admin/session", json={"email": EMAIL, "password": password})
    answer.raise_for_status()
    client.headers["X-DreamFactory-Session-Token"] = answer.json()["session_token"]


async def _add_script(client: httpx2.AsyncClient) -> None:
    """A queued script service that leaves an effect in the other database."""
    config = {"queued": True, "content": _SCRIPT}
    body = {"name": "leave_effect", "type": "python3", "is_active": True, "config": config}
    (await client.post("/api/v2/system/service", json=body)).raise_for_status()


async def _make_effects(folder: Path) -> None:
    database = SqliteDatabase(folder / "effects.sqlite")

    async def work(connection: Connection) -> None:
        await connection.execute("CREATE TABLE effect (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)")

    try:
        await database.write(work)
    finally:
        await database.close()


async def _effects(folder: Path) -> Counter[int]:
    """How many effects each number left."""
    database = SqliteDatabase(folder / "effects.sqlite", read_only=True)

    async def work(connection: Connection) -> list[Row]:
        return await connection.fetch("SELECT number FROM effect")

    try:
        return Counter(int(str(row[0])) for row in await database.read(work, quick=False))
    finally:
        await database.close()
