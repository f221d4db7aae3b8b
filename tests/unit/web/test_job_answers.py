"""One job as a stream, as an answer that waits, and as a page: over the application, with a real queue behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue
from tests.unit.web.conftest import ScriptedPlatform

from reverie.errors import Unauthorized
from reverie.jobs.queue import Queue
from reverie.jobs.watching import JobWatch
from reverie.model import JSON, Job, Request, Response
from reverie.web.app import asgi
from reverie.web.job_answers import BEAT_EVERY, preferred
from reverie.web.links import GOOD_FOR, job_path
from reverie.web.requests import Message

pytestmark = pytest.mark.anyio

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
STREAM = {"accept": "text/event-stream"}


@dataclass
class Visit:
    """A client's call under way."""

    task: asyncio.Task[None]
    sent: list[Message]
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent[1:]).decode()

    @property
    def told(self) -> str:
        """The status in an answer that is no stream."""
        return str(json.loads(self.text)["status"])

    @property
    def statuses(self) -> list[str]:
        """Of the events so far."""
        return [json.loads(line[6:])["status"] for line in self.text.splitlines() if line.startswith("data: ")]

    @property
    def over(self) -> bool:
        return self.task.done()


@dataclass
class Stage:
    clock: MovingClock
    queue: Queue
    watch: JobWatch
    platform: ScriptedPlatform
    allowed: bool = True
    note: str | None = None

    def __post_init__(self) -> None:
        self._app = asgi(self.platform)
        self._jobs: dict[str, Job] = {}

    async def visit(self, target: str, headers: Mapping[str, str] = {}, method: str = "GET") -> Visit:
        path, _, query = target.partition("?")
        scope: dict[str, object] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        sent: list[Message] = []
        leave = asyncio.Event()
        body: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if body:
                return body.pop()
            await leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async def call() -> None:
            await self._app(scope, receive, send)

        visit = Visit(asyncio.create_task(call()), sent, leave)
        await turn()
        return visit

    async def pass_time(self, seconds: float, step: float = 0.02) -> None:
        for _ in range(round(seconds / step)):
            self.clock.move(step)
            await turn()

    async def take(self) -> Job:
        [job] = await self.queue.claim(worker="a")
        return job


async def turn() -> None:
    """Let everybody who can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


class JobPlatform(ScriptedPlatform):
    """Answers looks at jobs from a real queue."""

    stage: Stage

    async def answer(self, request: Request, request_id: str) -> Response:
        self.seen.append(request)
        if not self.stage.allowed:
            raise Unauthorized("Token has expired.")
        return await self.show_job(request.resource.removeprefix("job/"))

    async def show_job(self, job_id: str) -> Response:
        job = await self.stage.queue.ledger.get(job_id)
        entry: dict[str, JSON] = {"id": job.id, "status": str(job.status), "attempt_count": job.attempts}
        entry["request"] = {"payload": {"password": "rosebud", "who": "me"}}
        if self.stage.note:
            entry["note"] = self.stage.note
        return Response(content=entry)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = MovingClock()
    async with sqlite_queue(tmp_path, clock) as queue:
        watch = JobWatch(queue, clock)
        platform = JobPlatform(clock=clock, watch=watch)
        platform.stage = Stage(clock, queue, watch, platform)
        yield platform.stage
        await watch.close()


def path(job: Job) -> str:
    return f"/api/v2/system/job/{job.id}"


# -- streams


async def test_a_stream_tells_each_move_and_ends_after_the_end(stage: Stage) -> None:
    job = await push(stage.queue, draft())

    visit = await stage.visit(path(job), STREAM)
    assert visit.status == 200
    assert visit.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert visit.text.startswith("retry: 2000\n\nevent: job\nid: waiting-0-0-0\ndata: {")
    running = await stage.take()
    await stage.pass_time(0.2)
    await stage.queue.finish(running)
    await stage.pass_time(0.2)

    assert visit.statuses == ["waiting", "running", "done"]
    assert visit.over
    assert visit.sent[-1].get("more_body", False) is False
    assert stage.watch.watched == 0


async def test_a_quiet_stream_shows_every_15_seconds_that_it_lives(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job), STREAM)

    await stage.pass_time(3 * BEAT_EVERY + 3, 0.5)

    assert visit.text.count(": still here\n\n") == 3
    assert visit.statuses == ["waiting"]
    visit.leave.set()
    await visit.task


async def test_why_a_job_waits_is_told_anew_without_a_move(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job), STREAM)

    stage.note = "No worker serves it."
    await stage.pass_time(7, 0.5)

    assert visit.text.count("event: job") == 2
    assert "No worker serves it." in visit.text
    visit.leave.set()
    await visit.task


async def test_a_client_that_goes_away_frees_its_stream(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job), STREAM)
    assert stage.watch.watched == 1

    visit.leave.set()
    await turn()

    assert visit.over
    assert stage.watch.watched == 0


async def test_who_loses_his_session_loses_his_stream(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job), STREAM)

    stage.allowed = False
    await stage.take()
    await stage.pass_time(0.2)

    assert visit.over
    assert visit.text.endswith("\n\n")
    problem = visit.text.strip().split("\n\n")[-1].split("\n")
    assert problem[0] == "event: problem"
    assert json.loads(problem[1][6:])["error"]["message"] == "Token has expired."


async def test_who_may_not_see_a_job_gets_the_plain_refusal_and_no_stream(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    stage.allowed = False

    visit = await stage.visit(path(job), STREAM)

    assert visit.status == 401
    assert visit.headers["content-type"] == "application/json"
    assert stage.watch.watched == 0


async def test_a_browser_that_comes_back_after_the_end_is_told_to_stop(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    await stage.queue.finish(await stage.take())
    visit = await stage.visit(path(job), STREAM)
    assert visit.over
    last = next(line[4:] for line in visit.text.splitlines() if line.startswith("id: "))

    again = await stage.visit(path(job), {**STREAM, "last-event-id": last})

    assert again.status == 204


async def test_stopping_ends_open_streams_and_answers_that_wait(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visits = [await stage.visit(path(job), STREAM), await stage.visit(path(job) + "?wait=60")]

    stage.watch.stop()
    await turn()

    assert [visit.over for visit in visits] == [True, True]
    assert visits[1].told == "waiting"


async def test_the_head_of_a_stream_is_no_stream(stage: Stage) -> None:
    job = await push(stage.queue, draft())

    visit = await stage.visit(path(job), STREAM, "HEAD")

    assert visit.over
    assert (visit.status, visit.text) == (200, "")
    assert stage.watch.watched == 0


# -- answers that wait


async def test_an_answer_waits_until_the_job_moves(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job) + "?wait=30")
    await stage.pass_time(5, 0.5)
    assert not visit.over

    await stage.take()
    await stage.pass_time(0.2)

    assert visit.over
    assert visit.told == "running"


async def test_an_answer_waits_no_longer_than_it_was_asked_to(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job) + "?wait=3")

    await stage.pass_time(2.8, 0.1)
    assert not visit.over
    await stage.pass_time(0.4, 0.1)

    assert visit.told == "waiting"


async def test_an_answer_waits_a_minute_at_most(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job) + "?wait=900")

    await stage.pass_time(61, 0.5)

    assert visit.over


async def test_a_job_that_has_ended_is_answered_at_once(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    await stage.queue.cancel([job.id])

    visit = await stage.visit(path(job) + "?wait=30")

    assert visit.over
    assert visit.told == "cancelled"


async def test_who_names_the_states_he_knows_is_answered_when_it_is_another(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    end = await stage.visit(path(job) + "?wait=60&unless_status=waiting,delayed,running")
    known = await stage.visit(path(job) + "?wait=60&unless_status=running")
    assert known.over  # it is not running

    running = await stage.take()
    await stage.pass_time(0.2)
    assert not end.over
    await stage.queue.finish(running)
    await stage.pass_time(0.2)

    assert end.told == "done"


async def test_a_client_that_goes_away_waits_no_longer(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    visit = await stage.visit(path(job) + "?wait=60")

    visit.leave.set()
    await turn()

    assert visit.over
    assert visit.sent == []
    assert stage.watch.watched == 0


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait=", "wait=5&unless_status=asleep", "wait[]=1"])
async def test_a_wait_that_makes_no_sense_is_400(stage: Stage, query: str) -> None:
    job = await push(stage.queue, draft())

    visit = await stage.visit(f"{path(job)}?{query}")

    assert visit.status == 400
    assert "wait" in visit.text or "unless_status" in visit.text


async def test_who_may_not_see_a_job_does_not_wait_for_it(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    stage.allowed = False

    visit = await stage.visit(path(job) + "?wait=60")

    assert visit.over
    assert visit.status == 401


async def test_a_job_that_is_not_there_is_404_whatever_the_form(stage: Stage) -> None:
    for query, headers in (("?wait=60", {}), ("", STREAM), ("", {"accept": BROWSER})):
        visit = await stage.visit(f"/api/v2/system/job/nope{query}", headers)

        assert visit.over
        assert visit.status == 404


# -- pages


async def test_a_browser_gets_the_page_and_a_program_what_it_always_got(stage: Stage) -> None:
    job = await push(stage.queue, draft())

    page = await stage.visit(path(job) + "?fields=id", {"accept": BROWSER})
    plain = await stage.visit(path(job), {"accept": "*/*"})

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '"status":"waiting"' in page.text  # the whole job, whatever fields the address asks for
    assert plain.headers["content-type"] == "application/json"


async def test_a_browser_without_credentials_gets_a_page_without_the_job(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    stage.allowed = False

    page = await stage.visit(path(job), {"accept": BROWSER})

    assert page.status == 401
    assert "so say who you are" in page.text
    assert '"job":null' in page.text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("text/html, application/json", None),
        ("text/html;q=0.5, application/json", None),
        ("application/json;q=0.5, text/html", "text/html"),
        ("text/html, */*", None),
        ("*/*", None),
        ("", None),
        ("application/json, text/plain, */*", None),
        ("text/html;q=high", None),
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream, */*", "text/event-stream"),
        ("text/event-stream;q=0", None),
        ("application/json, text/event-stream", None),
    ],
)
async def test_json_is_answered_unless_another_form_is_clearly_preferred(accept: str, form: str | None) -> None:
    assert preferred(accept) == form


# -- links


async def test_a_link_shows_its_job_without_credentials_and_without_secrets(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    stage.allowed = False
    link = job_path(stage.platform.sealer, job.id, stage.clock.now())

    page = await stage.visit(link, {"accept": BROWSER})
    plain = await stage.visit(link)

    assert (page.status, plain.status) == (200, 200)
    assert '"who":"me"' in page.text
    assert "rosebud" not in page.text + plain.text


async def test_a_link_can_be_followed_as_a_stream_until_its_day_is_over(stage: Stage) -> None:
    job = await push(stage.queue, draft())
    link = job_path(stage.platform.sealer, job.id, stage.clock.now() - GOOD_FOR + 10)
    visit = await stage.visit(link, STREAM)
    await stage.take()
    await stage.pass_time(0.2)
    assert visit.statuses == ["waiting", "running"]
    assert "rosebud" not in visit.text

    await stage.pass_time(11, 0.5)
    await stage.queue.cancel([job.id])
    await stage.pass_time(0.5)

    assert visit.over
    assert "cancelled" not in visit.text
    assert "event: problem" in visit.text


@pytest.mark.parametrize("accept", [BROWSER, "application/json", "text/event-stream"])
async def test_a_link_that_is_over_or_was_changed_shows_nothing(stage: Stage, accept: str) -> None:
    job, other = await push(stage.queue, draft()), await push(stage.queue, draft())
    link = job_path(stage.platform.sealer, job.id, stage.clock.now())
    old = job_path(stage.platform.sealer, job.id, stage.clock.now() - GOOD_FOR - 1)

    for bad in (old, link[:-1] + ("A" if link[-1] != "A" else "B"), link.replace(job.id, other.id), f"/jobs/{job.id}"):
        visit = await stage.visit(bad, {"accept": accept})

        assert visit.status == 403
        assert "reverie queue show" in visit.text
        assert '"status":"waiting"' not in visit.text


async def test_a_link_changes_nothing(stage: Stage) -> None:
    job = await push(stage.queue, draft())

    for method in ("POST", "PATCH", "PUT", "DELETE"):
        visit = await stage.visit(job_path(stage.platform.sealer, job.id, stage.clock.now()), {}, method)

        assert visit.status == 405


async def test_a_link_to_a_job_that_was_deleted_says_so(stage: Stage) -> None:
    link = job_path(stage.platform.sealer, "gone", stage.clock.now())

    visit = await stage.visit(link, {"accept": BROWSER})

    assert visit.status == 404
    assert "There is no job" in visit.text
