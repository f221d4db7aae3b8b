"""What operators look at: pauses, who runs a job, how many are ahead, and finding by what a job says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reverie.jobs.ledger import JobFilter
from reverie.jobs.queue import Queue
from reverie.jobs.settle import failed, finished
from reverie.model import JobStatus
from tests.contract.conftest import names, take, take_one
from tests.unit.jobs.scene import MovingClock, draft, push

pytestmark = pytest.mark.anyio


async def test_pauses_are_told(queue: Queue) -> None:
    await queue.pause("database", "slow")
    await queue.pause("database", "default")
    await queue.pause("database", "slow")

    assert await queue.ledger.paused() == [("database", "default"), ("database", "slow")]
    await queue.resume("database", "slow")
    assert await queue.ledger.paused() == [("database", "default")]


async def test_who_runs_a_job_is_told_while_it_runs(queue: Queue, clock: MovingClock) -> None:
    await push(queue, draft())
    job = await take_one(queue, worker="w")

    held = await queue.ledger.holder(job.id)
    assert held is not None
    assert (held.worker, held.began, held.leased_until) == ("w", None, clock.now() + 30)
    clock.move(1)
    await queue.start(job)
    held = await queue.ledger.holder(job.id)
    assert held is not None
    assert held.began == clock.now()
    await queue.finish(job)
    assert await queue.ledger.holder(job.id) is None


async def test_those_ahead_are_the_due_ones_that_are_taken_before(queue: Queue, clock: MovingClock) -> None:
    first = await push(queue, draft("service:first"))
    clock.move(1)
    job = await push(queue, draft("service:job"))
    clock.move(1)
    await push(queue, draft("service:later"))
    await push(queue, draft("service:urgent", priority=5))
    await push(queue, draft("service:delayed", priority=5, delay=60))
    await push(queue, draft("service:elsewhere", queue="other"))

    assert await queue.ledger.ahead(first) == 1
    assert await queue.ledger.ahead(job) == 2
    taken = names(await take(queue, 10, "default"))
    assert taken == ["service:urgent", "service:first", "service:job", "service:later"]
    assert await queue.ledger.ahead(job) == 0


async def test_an_attempt_tells_its_worker_and_what_its_script_printed(queue: Queue) -> None:
    pushed = await push(queue, draft())
    await queue.settle(finished(await take_one(queue, worker="w"), output="hello\n"))

    [attempt] = await queue.ledger.attempts(pushed.id)

    assert (attempt.worker, attempt.output) == ("w", "hello\n")


async def test_jobs_are_found_by_what_they_say_about_their_call(queue: Queue) -> None:
    for name, service, verb, user, role, app in (("a", "orders", "POST", 1, 2, 3), ("b", "orders", "GET", 4, 5, 6)):
        said = replace(draft(name), service=service, verb=verb, user_id=user, role_id=role, app_id=app)
        await push(queue, said)

    async def found(**wanted: object) -> list[str]:
        return names(await queue.ledger.find(JobFilter(**wanted)))  # type: ignore[arg-type]  # as a test names them

    assert await found(service="orders") == ["b", "a"]
    assert await found(service="orders", verb="POST") == ["a"]
    assert await found(user_id=4) == await found(role_id=5) == await found(app_id=6) == ["b"]
    assert await found(service="nope") == []


async def test_jobs_are_found_by_several_states_and_by_time(queue: Queue, clock: MovingClock) -> None:
    began = clock.now()
    await push(queue, draft("old"))
    await queue.settle(failed(await take_one(queue), {"type": "Error", "message": "no"}))
    clock.move(100)
    await push(queue, draft("young"))
    await push(queue, draft("delayed", delay=5))

    async def found(where: JobFilter) -> list[str]:
        return names(await queue.ledger.find(where))

    both = (JobStatus.FAILED, JobStatus.DELAYED)
    assert await found(JobFilter(statuses=both)) == ["delayed", "old"]
    assert await found(JobFilter(statuses=both, status=JobStatus.FAILED)) == ["old"]
    assert await found(JobFilter(statuses=(JobStatus.WAITING,))) == ["young"]
    assert await found(JobFilter(after=began + 1)) == ["delayed", "young"]
    assert await found(JobFilter(before=began + 1)) == ["old"]
    assert await found(JobFilter(ended_before=began + 1)) == ["old"]
    assert await found(JobFilter(ended_before=began)) == []


async def test_jobs_are_found_by_a_text_in_their_error_and_no_pattern_hides_in_it(queue: Queue) -> None:
    for name, message in (("plain", "Out of TEA"), ("signs", '100% "sure"_'), ("other", "no sugar")):
        await push(queue, draft(name))
        await queue.settle(failed(await take_one(queue), {"type": "TypeError", "message": message}))

    async def found(text: str) -> list[str]:
        return names(await queue.ledger.find(JobFilter(text=text)))

    assert await found("out of tea") == ["plain"]
    assert await found('% "') == ["signs"]
    assert await found("%") == ["signs"]
    assert await found("typeerror") == ["other", "signs", "plain"]


async def test_a_rate_of_very_many_tells_from_when_it_counts(queue: Queue, clock: MovingClock) -> None:
    began = clock.now()
    await push(queue, draft())
    clock.move(1)
    await queue.finish(await take_one(queue))

    [rate] = await queue.ledger.rates(since=began)

    assert (rate.ended, rate.since) == (1, None)
