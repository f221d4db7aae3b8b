"""A job over the wire and in a real browser: events, answers that wait, the page, links."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from reverie.config import read_settings
from reverie.web.links import job_link
from tests.acceptance.browser import Browser, chromium
from tests.acceptance.job_scenes import person, queued, script_service, service_id, unique, work
from tests.acceptance.server import Answer, Server, running

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SAYS_HELLO = """\
console.log('Hello <b>' + event.request.payload.who + '</b><script>document.title = "taken"</script>');
if (event.request.payload.who === 'nobody') {
  const name = event.request.payload.missing.name;
}
"""


@contextmanager
def waiting_job(server: Server, who: str = "world") -> Iterator[tuple[str, str]]:
    """A job that waits until a test works on its queue; its id, and the queue."""
    queue = unique("page")
    with script_service(server, "v8js", SAYS_HELLO, config={"queue": queue}) as service:
        answer = server.as_admin("POST", f"{service.path}/hello", {"who": who, "password": "rosebud"})
        yield queued(answer), queue


def link(server: Server, job_id: str) -> str:
    return job_link(read_settings(server.environment), job_id)


def path_of(address: str) -> str:
    return address.partition("//")[2].partition("/")[2]


def ask(server: Server, path: str, **headers: str) -> Answer:
    return server.call("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


# -- over the wire


def follow(server: Server, path: str, headers: dict[str, str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Name and data of each event, until the server ends the stream."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        response = connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")
        name = ""
        while line := response.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


def test_a_stream_shows_a_job_from_waiting_to_done(idle: Server) -> None:
    with waiting_job(idle) as (job_id, queue):
        events = follow(idle, f"/api/v2/system/job/{job_id}", {"X-DreamFactory-Session-Token": idle.admin})
        assert next(events)[1]["status"] == "waiting"

        worker = threading.Thread(target=work, args=(idle, queue))
        worker.start()
        seen = list(events)  # ends by itself
        worker.join()

        assert {name for name, _ in seen} == {"job"}
        assert seen[-1][1] == idle.job(job_id)
        assert seen[-1][1]["status"] == "done"


def test_an_answer_waits_for_the_end_and_comes_within_a_moment_of_it(idle: Server) -> None:
    with waiting_job(idle) as (job_id, queue):
        path = f"/api/v2/system/job/{job_id}?wait=30&unless_status=waiting,running"
        answers: list[tuple[float, Answer]] = []

        def wait() -> None:
            answer = idle.as_admin("GET", path)
            answers.append((time.time(), answer))

        waiting = threading.Thread(target=wait)
        waiting.start()
        work(idle, queue)
        waiting.join()

        [(at, answer)] = answers
        assert answer.json["status"] == "done"
        ended = datetime.fromisoformat(idle.job(job_id)["finished_at"]).timestamp()
        assert 0 <= at - ended < 2  # some 30 ms, where the machine has nothing else to do


def test_an_answer_that_waits_in_vain_comes_in_time(idle: Server) -> None:
    with waiting_job(idle) as (job_id, _):
        began = time.monotonic()

        answer = idle.as_admin("GET", f"/api/v2/system/job/{job_id}?wait=1")

        assert answer.json["status"] == "waiting"
        assert 1 <= time.monotonic() - began < 10


def test_only_who_may_see_a_job_can_follow_it(idle: Server) -> None:
    with waiting_job(idle) as (job_id, _), person(idle, service_id(idle, "db")) as stranger:
        path = f"/api/v2/system/job/{job_id}"

        assert stranger.ask("GET", path, Accept="text/event-stream").status == 404
        assert stranger.ask("GET", f"{path}?wait=30").status == 404
        assert stranger.ask("GET", path, Accept=BROWSER).status == 404
        assert ask(idle, path, Accept="text/event-stream").status == 400
        assert ask(idle, f"{path}?wait=30").status == 400


def test_a_browser_is_asked_who_it_is_and_programs_see_no_difference(idle: Server) -> None:
    with waiting_job(idle) as (job_id, _):
        path = f"/api/v2/system/job/{job_id}"

        stranger = ask(idle, path, Accept=BROWSER)
        known = idle.as_admin("GET", path, Accept=BROWSER)
        program = ask(idle, path, Accept="*/*")

        assert (stranger.status, stranger.headers["content-type"]) == (400, "text/html; charset=utf-8")
        assert job_id in stranger.body.decode()
        assert '"job":null' in stranger.body.decode()
        assert known.status == 200
        assert '"status":"waiting"' in known.body.decode()
        assert program.headers["content-type"] == "application/json"
        assert "Please send in X-DreamFactory-Session-Token" in program.json["error"]["message"]


def test_a_link_shows_one_job_without_credentials_and_without_what_is_secret(idle: Server) -> None:
    with waiting_job(idle) as (job_id, _):
        path = "/" + path_of(link(idle, job_id))

        shown = ask(idle, path, Accept="application/json")

        assert shown.json["request"]["payload"] == {"who": "world", "password": "**********"}
        assert "environment" not in shown.json
        assert idle.admin not in shown.body.decode()
        assert ask(idle, path.replace("expires=1", "expires=2"), Accept=BROWSER).status == 403
        assert ask(idle, path.partition("?")[0], Accept=BROWSER).status == 403


def test_a_server_that_is_told_to_stop_does_not_wait_for_those_who_follow(data: Path) -> None:
    with running(data, REVERIE_WORKERS="0") as server, waiting_job(server) as (job_id, _):
        events = follow(server, f"/api/v2/system/job/{job_id}", {"X-DreamFactory-Session-Token": server.admin})
        next(events)

        began = time.monotonic()
        assert server.stop() == 0

        assert time.monotonic() - began < 15  # requests that do not end get 25 s
        assert list(events) == []
        server.start()  # for the fixtures that clean up


# -- in a browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path) as opened:
        yield opened


def test_the_page_shows_the_end_of_a_job_that_ended_after_it_was_opened(idle: Server, browser: Browser) -> None:
    with waiting_job(idle) as (job_id, queue):
        browser.open(link(idle, job_id))
        browser.wait_for("Waiting")
        browser.wait_for("No worker serves the queue")
        browser.wait_for("● live")

        work(idle, queue)

        browser.wait_for("Done")
        browser.wait_for("The script ran to its end.")
        # What a script printed is text, whatever it looks like.
        browser.wait_for('Hello <b>world</b><script>document.title = "taken"</script>')
        assert browser.evaluate("document.querySelectorAll('pre b, pre script').length") == 0
        assert browser.evaluate("document.title").startswith("Done: service:")
        assert browser.complaints == []


def test_the_page_of_a_failed_job_marks_the_line(idle: Server, browser: Browser) -> None:
    with waiting_job(idle, "nobody") as (job_id, queue):
        work(idle, queue, "--tries=2", "--backoff=0")
        browser.open(link(idle, job_id))

        browser.wait_for("Failed")
        browser.wait_for("TypeError: Cannot read properties of undefined")
        marked = browser.evaluate("[...document.querySelectorAll('.hit')].map((one) => one.innerText)")
        assert marked == ["3", "  const name = event.request.payload.missing.name;"]
        around = browser.evaluate("[...document.querySelectorAll('.source .at')].map((one) => one.innerText)")
        assert around[:4] == ["1", "2", "3", ""]  # the caret stands on a line of its own
        browser.wait_for(f"reverie queue replay {job_id} --script FILE")
        browser.wait_for("retried")


def test_who_opens_the_location_says_who_he_is_and_stays_known_in_this_tab_only(idle: Server, browser: Browser) -> None:
    with waiting_job(idle) as (job_id, _):
        address = f"{idle.base}/api/v2/system/job/{job_id}"
        browser.open(address)
        browser.wait_for("Who are you?")
        assert "service:" not in browser.text()

        browser.fill("credential", idle.admin)
        browser.press("Use it")
        browser.wait_for("Waiting")
        browser.evaluate("document.querySelector('[data-part=request]').open = true")
        browser.wait_for("rosebud")  # who may see the job sees the call
        browser.open(address)
        browser.wait_for("● live")

        assert browser.evaluate("localStorage.length") == 0
        assert browser.evaluate("document.cookie") == ""
        browser.press("Forget my credential")
        browser.open(address)
        browser.wait_for("Who are you?")


def test_a_credential_in_the_address_is_taken_out_of_it(idle: Server, browser: Browser) -> None:
    with waiting_job(idle) as (job_id, _):
        browser.open(f"{idle.base}/api/v2/system/job/{job_id}?session_token={idle.admin}")
        browser.wait_for("● live")

        assert browser.evaluate("location.href") == f"{idle.base}/api/v2/system/job/{job_id}"


def test_a_link_alone_changes_nothing_and_a_refusal_is_told(idle: Server, browser: Browser) -> None:
    with waiting_job(idle, "nobody") as (job_id, queue):
        work(idle, queue, "--tries=1")
        browser.open(link(idle, job_id))
        browser.wait_for("Failed")

        browser.press("Retry")
        browser.wait_for("A link only shows the job.")
        browser.fill("credential", "no.real.token")
        browser.press("Use it")

        browser.wait_for("Invalid token")
        browser.wait_for("Who are you?")
        assert idle.job(job_id)["status"] == "failed"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_fits_a_phone_and_a_desk(idle: Server, browser: Browser, width: int, dark: bool) -> None:
    with waiting_job(idle, "nobody") as (job_id, queue):
        work(idle, queue, "--tries=1")
        browser.look(width=width, dark=dark)
        browser.open(link(idle, job_id))
        browser.wait_for("Failed")

        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        small = "[...document.querySelectorAll('button, summary')].filter((one) => one.checkVisibility())"
        assert browser.evaluate(f"{small}.every((one) => one.getBoundingClientRect().height >= 24)")
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)")


def test_a_job_can_be_retried_and_cancelled_from_its_page(idle: Server, browser: Browser) -> None:
    with waiting_job(idle, "nobody") as (job_id, queue):
        work(idle, queue, "--tries=1")
        browser.open(link(idle, job_id))
        browser.wait_for("Failed")

        browser.press("Retry")
        browser.fill("credential", idle.admin)
        browser.press("Use it")
        browser.wait_for("Waiting")
        browser.wait_for("● live")
        assert idle.job(job_id)["status"] == "waiting"

        browser.evaluate("window.confirm = () => true")
        browser.press("Cancel")
        browser.wait_for("Cancelled")
        assert idle.job(job_id)["status"] == "cancelled"
