"""The answer to a call that was queued, where the whole server would be too slow or too healthy to show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reverie.errors import NotFound, QueueUnavailable
from reverie.jobs.promised import Promised
from reverie.jobs.queue import Draft, Once, Queue
from reverie.jobs.results import seal_result
from reverie.jobs.settle import finished, skipped
from reverie.jobs.waits import Waits
from reverie.model import JSON, Caller, Context, Job, Request, Requestor, Response
from reverie.services.promise import Promises
from reverie.services.service import Service
from reverie.store.records import ServiceRecord
from tests.integration.system.queue_stage import Stage, staged

pytestmark = pytest.mark.anyio

RECORD = ServiceRecord(
    id=7, name="orders", label="", description=None, is_active=True, type="v8js", config={}, mutable=True,
    deletable=True, version=1,
)  # fmt: skip


@dataclass
class Keeping:
    """Puts calls into a queue as they are."""

    queue: Queue
    delay: float | None = None

    async def keep_service(
        self, record: ServiceRecord, event: dict[str, JSON], context: Context, once: Once | None = None
    ) -> Promised:
        draft = Draft(kind="script.service", script="service:7", name="service:orders", payload=b"", delay=self.delay)
        return Promised(job=await self.queue.push(draft, once=once))

    async def keep_call(self, request: Request, context: Context, once: Once | None = None) -> Promised:
        raise AssertionError("no call is made later here")


@dataclass
class Watching:
    """Lets something happen to the job, and then looks at it."""

    stage: Stage
    how: str = "nothing"
    waited: list[float] = field(default_factory=list)

    async def ended(self, job_id: str, seconds: float) -> Job | None:
        self.waited.append(seconds)
        if self.how == "nothing":
            return None
        if self.how == "away":
            raise QueueUnavailable("the queue cannot be reached")
        job = await self.stage.take()
        if self.how == "skipped":
            await self.stage.queue.settle(skipped(job, "the service was deleted"))
        else:
            content: JSON = "x" * 2_000_000 if self.how == "too large" else {"x": 1}
            sealed = seal_result(Response(content=content), self.stage.store.sealer, job_id=job.id)
            await self.stage.queue.settle(finished(job, result=sealed))
        return await self.stage.queue.ledger.get(job_id)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def no_service(name: str) -> Service:
    raise NotFound(name)


async def no_call(request: Request) -> Response:
    raise NotFound("nothing is called")


async def ask(
    stage: Stage, watch: Watching, prefer: str = "wait=5", *, delay: float | None = None, by: Requestor = Requestor.API
) -> Response:
    waits = Waits(stage.store, stage.queue.ledger, stage.clock)
    promises = Promises(
        store=stage.store,
        queue=stage.queue,
        keeping=Keeping(stage.queue, delay),
        watch=watch,
        waits=waits,
        find_service=no_service,
    )
    request = Request(method="POST", service="orders", headers={"prefer": prefer} if prefer else {})
    try:
        return await promises.for_service(RECORD, request, Context(caller=Caller(), call=no_call, requestor=by))
    finally:
        await waits.close()


async def test_a_store_that_goes_away_while_somebody_waits_takes_no_promise_back(stage: Stage) -> None:
    answer = await ask(stage, Watching(stage, "away"))

    assert (answer.status, answer.content) == (202, {"success": True})
    assert await stage.queue.ledger.get(answer.headers["X-Reverie-Job"])


async def test_an_answer_that_was_too_large_to_keep_leaves_the_promise(stage: Stage) -> None:
    assert (await ask(stage, Watching(stage, "too large"))).status == 202


async def test_a_job_that_was_skipped_is_told_with_the_reason(stage: Stage) -> None:
    answer = await ask(stage, Watching(stage, "skipped"))

    assert answer.status == 409
    assert "the service was deleted" in str(answer.content)


async def test_nobody_waits_longer_than_a_minute(stage: Stage) -> None:
    watch = Watching(stage, "done")

    answer = await ask(stage, watch, "wait=3600")

    assert watch.waited == [60]
    assert answer.content == {"x": 1}
    assert answer.headers["Preference-Applied"] == "wait=60"


async def test_a_script_that_queues_does_not_wait(stage: Stage) -> None:
    watch = Watching(stage, "done")

    answer = await ask(stage, watch, by=Requestor.SCRIPT)

    assert (answer.status, watch.waited) == (202, [])


async def test_the_time_to_look_again_is_the_delay_and_what_is_ahead(stage: Stage) -> None:
    for _ in range(30):
        await stage.done(seconds=2.0)
    for _ in range(10):
        await stage.push()

    # One ends every two seconds, ten are ahead, and now one more.
    now = await ask(stage, Watching(stage), "")
    later = await ask(stage, Watching(stage), "", delay=100)

    assert 22 <= int(now.headers["Retry-After"]) <= 25
    assert 122 <= int(later.headers["Retry-After"]) <= 126
