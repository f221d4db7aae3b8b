"""Tries, pauses and the failed list, through the processes of `reverie queue work` and `queue listen`."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.acceptance.job_scenes import (
    JSON,
    SOME,
    Service,
    command,
    event_script,
    failed_list,
    make_tables,
    note,
    notes,
    queued,
    script_service,
    throw,
    unique,
    work,
)
from tests.acceptance.server import Server, wait_for


@pytest.fixture(autouse=True, scope="module")
def tables(idle: Server) -> None:
    make_tables(idle)


@contextlib.contextmanager
def broken(server: Server, queue: str, label: str, languages: tuple[str, ...] = SOME) -> Iterator[dict[str, str]]:
    """A call of a queued service in each language, which notes that it runs and then throws: job by language."""

    def text(language: str) -> str:
        return note(language, f"{label}_{language}", "'ran'", then=throw(language, "out of tea"))

    with contextlib.ExitStack() as stack:
        services: dict[str, Service] = {
            language: stack.enter_context(script_service(server, language, text(language), config={"queue": queue}))
            for language in languages
        }
        yield {language: queued(server.as_admin("POST", one.path)) for language, one in services.items()}


def runs(server: Server, label: str) -> dict[str, int]:
    """How often the script of each language ran."""
    return {language: len(notes(server, f"{label}_{language}")) for language in SOME}


def each(value: JSON) -> dict[str, JSON]:
    return dict.fromkeys(SOME, value)


def not_yet_over(server: Server, queue: str) -> list[JSON]:
    jobs = server.as_admin("GET", f"/api/v2/system/job?queue={queue}").json["resource"]
    return [job for job in jobs if job["status"] in ("waiting", "delayed", "running")]


def started(job: JSON) -> list[float]:
    return [datetime.fromisoformat(one["started_at"]).timestamp() for one in job["attempts"]]


def pauses(job: JSON) -> list[float]:
    times = started(job)
    return [later - sooner for sooner, later in itertools.pairwise(times)]


def test_with_one_try_a_script_that_throws_runs_once_and_is_in_the_failed_list(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    with broken(idle, queue, label) as jobs:
        ran = work(idle, queue, "--tries=1")

        assert {language: ran.of(job) for language, job in jobs.items()} == each([("starting", 1), ("failed", 1)])
        assert runs(idle, label) == each(1)
        assert not_yet_over(idle, queue) == []
        failed = {entry["id"]: entry for entry in failed_list(idle)}
        for job in jobs.values():
            entry = failed[job]
            assert (entry["connection"], entry["queue"]) == ("database", queue)
            assert "out of tea" in entry["message"]
            datetime.strptime(entry["failed_at"], "%Y-%m-%d %H:%M:%S")
            assert idle.job(job)["request"]["method"] == "POST"  # what it holds is kept


def test_with_three_tries_it_runs_three_times_and_has_then_failed(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    with broken(idle, queue, label) as jobs:
        ran = work(idle, queue, "--tries=3", "--max-jobs=9")

        again = "released_after_exception"
        steps = ["starting", again, "starting", again, "starting", "failed"]
        expected = list(zip(steps, [1, 1, 2, 2, 3, 3], strict=True))
        assert {language: ran.of(job) for language, job in jobs.items()} == each(expected)
        assert runs(idle, label) == each(3)
        for job in jobs.values():
            shown = idle.job(job)
            assert shown["status"] == "failed"
            outcomes = [(one["number"], one["outcome"]) for one in shown["attempts"]]
            assert outcomes == [(1, "retried"), (2, "retried"), (3, "failed")]
            assert {one["error"]["message"] for one in shown["attempts"]} == {shown["error"]["message"]}


def test_without_a_limit_a_listener_tries_again_for_ever_but_once_a_second(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    with broken(idle, queue, label, ("python3",)) as jobs, listening(idle, queue, "--tries=0") as listener:
        job = jobs["python3"]
        wait_for(lambda: idle.job(job)["attempt_count"] >= 5, 30, lambda: str(idle.job(job)), pause=0.1)
        code = listener()

        assert code == 0
        shown = idle.job(job)
        assert shown["status"] in ("waiting", "delayed")
        assert [one["id"] for one in not_yet_over(idle, queue)] == [job]
        assert {one["outcome"] for one in shown["attempts"]} == {"retried"}
        assert min(pauses(shown)) >= 1
        assert len(notes(idle, f"{label}_python3")) == shown["attempt_count"]


@contextlib.contextmanager
def listening(server: Server, queue: str, *options: str) -> Iterator[Callable[[], int]]:
    """A listener on one queue; call what is given to end it as a process manager does."""
    listener = subprocess.Popen(
        command("listen", "database", f"--queue={queue}", *options),
        env=server.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> int:
        listener.send_signal(signal.SIGTERM)
        return listener.wait(30)

    try:
        yield stop
    finally:
        listener.kill()
        listener.wait(10)


def test_a_workers_delay_holds_back_the_second_run(idle: Server) -> None:
    queue, label = unique("queue"), unique("note")
    with broken(idle, queue, label) as jobs:
        work(idle, queue, "--tries=3", "--delay=1.5", "--max-jobs=6")

        for job in jobs.values():
            [pause] = pauses(idle.job(job))
            assert pause >= 1.5
        assert runs(idle, label) == each(2)


def test_an_answer_stays_as_it_was_when_its_queued_event_script_fails(idle: Server) -> None:
    queue, label = unique("queue"), unique("cause")
    verbs = dict(zip(SOME, ("post", "put", "patch"), strict=True))
    path, answers = "/api/v2/db/_table/job_cause", {}
    made = idle.as_admin("POST", path, {"resource": [{"label": "before"}]}).json["resource"][0]
    with contextlib.ExitStack() as stack:
        for language, verb in verbs.items():
            name, text = f"db._table.job_cause.{verb}.queued", throw(language, "too late to matter")
            stack.enter_context(event_script(idle, name, language, text, config={"queue": queue}))
            row = {"label": label} if verb == "post" else {"id": made["id"], "label": f"{label} {verb}"}
            answers[language] = idle.as_admin(verb.upper(), path, {"resource": [row]})

        ran = work(idle, queue, "--tries=1")

    assert {language: answer.status for language, answer in answers.items()} == each(200)
    jobs = {step["id"] for step in ran.steps}
    assert [ran.of(job) for job in jobs] == [[("starting", 1), ("failed", 1)]] * 3
    assert all("too late to matter" in idle.job(job)["error"]["message"] for job in jobs)
    last = answers["v8js"].json["resource"][0]["id"]
    rows = idle.as_admin("GET", f"{path}?ids={made['id']},{last}&fields=label").json["resource"]
    assert json.dumps(rows) == json.dumps([{"label": f"{label} patch"}, {"label": label}])
