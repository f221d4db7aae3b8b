"""The queue commands on a running server: what workers and operators do to real jobs in every language."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from tests.acceptance.job_scenes import (
    SOME,
    command,
    failed_list,
    make_tables,
    note,
    notes,
    queued,
    script_service,
    set_script,
    throw,
    unique,
    work,
)
from tests.acceptance.server import Server

languages = pytest.mark.parametrize("language", SOME)


@pytest.fixture(autouse=True, scope="module")
def tables(idle: Server) -> None:
    make_tables(idle)


def run(server: Server, *arguments: str, code: int = 0) -> str:
    """The output of ``reverie queue <arguments>``."""
    ran = subprocess.run(
        command(*arguments), env=server.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def outcomes(server: Server, job: str) -> list[tuple[int, str]]:
    return [(one["number"], one["outcome"]) for one in server.job(job)["attempts"]]


def endless(language: str) -> str:
    return "while True:\n    pass" if language == "python3" else "while (true) {}"


@languages
@pytest.mark.parametrize("verb", ["work", "listen"])
def test_a_script_beyond_its_time_is_killed_a_try_is_counted_and_the_worker_goes_on(
    idle: Server, language: str, verb: str
) -> None:
    queue, label = unique("queue"), unique("note")
    with (
        script_service(idle, language, endless(language), config={"queue": queue}) as slow,
        script_service(idle, language, note(language, label, "'ran'"), config={"queue": queue}) as quick,
    ):
        late, fine = queued(idle.as_admin("POST", slow.path)), queued(idle.as_admin("POST", quick.path))
        ending = ["--stop-when-empty", "--max-jobs=3"] if verb == "work" else []
        options = ["--timeout=1", "--tries=2", "--sleep=0.2", *ending]
        worker = subprocess.Popen(
            command(verb, "database", f"--queue={queue}", *options),
            env=idle.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            shown = idle.wait_for_job(late, "failed")
            idle.wait_for_job(fine)
            if verb == "listen":
                assert worker.poll() is None
                worker.terminate()
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait(10)

        assert outcomes(idle, late) == [(1, "retried"), (2, "failed")]
        assert shown["crashes"] == 0
        assert "has timed out" in shown["error"]["message"]
        assert (outcomes(idle, fine), notes(idle, label)) == ([(1, "done")], ["ran"])


@languages
def test_a_job_whose_script_was_mended_succeeds_when_it_is_retried(idle: Server, language: str) -> None:
    queue, label = unique("queue"), unique("note")
    with script_service(
        idle, language, throw(language, "out of tea"), config={"queue": queue, "delay": 0.5}
    ) as service:
        job = queued(idle.as_admin("POST", service.path))
        work(idle, queue, "--tries=1", "--max-jobs=1")
        assert job in {entry["id"] for entry in failed_list(idle)}
        set_script(idle, service, note(language, label, "'mended'"))

        assert run(idle, "retry", f"--queue={queue}") == f"{job} service:{service.name} is due again.\n"
        assert job not in {entry["id"] for entry in failed_list(idle)}
        retried = idle.job(job)
        assert (retried["status"], retried["attempt_count"], retried["queue"]) == ("waiting", 0, queue)
        work(idle, queue)

        assert (idle.job(job)["status"], notes(idle, label)) == ("done", ["mended"])


@languages
def test_a_failed_call_inside_is_no_failure_and_a_returned_error_is(idle: Server, language: str) -> None:
    queue, label = unique("queue"), unique("note")
    failing = {
        "v8js": "platform.api.get('db/_table/no_such_table');\n",
        "nodejs": "platform.api.get('db/_table/no_such_table', function () {});\n",
        "python3": "platform.api.get('db/_table/no_such_table')\n",
    }[language]
    returning = "return {'error': 'no tea'}" if language == "python3" else "return {error: 'no tea'};"
    with (
        script_service(idle, language, failing + note(language, label, "'on'"), config={"queue": queue}) as inner,
        script_service(idle, language, returning, config={"queue": queue}) as outer,
    ):
        first, second = queued(idle.as_admin("POST", inner.path)), queued(idle.as_admin("POST", outer.path))

        work(idle, queue, "--tries=1")

        assert (idle.job(first)["status"], notes(idle, label)) == ("done", ["on"])
        failed = idle.job(second)
        assert (failed["status"], failed["error"]["message"]) == ("failed", "no tea")


def test_a_script_that_queues_itself_is_stopped_by_the_length_of_the_chain(idle: Server) -> None:
    queue = unique("queue")
    with script_service(idle, "v8js", "throw 'not yet';", config={"queue": queue}) as service:
        set_script(idle, service, f"platform.api.post('{service.name}');")
        queued(idle.as_admin("POST", service.path))

        work(idle, queue, "--tries=1")

    jobs = json.loads(run(idle, "list", f"--queue={queue}", "--json"))
    last, *others = jobs
    assert last["status"] == "failed"
    assert "LoopDetected" in last["error"]["message"]
    assert [job["status"] for job in others] == ["done"] * 16


@languages
def test_show_logs_and_explain_tell_about_a_real_job(idle: Server, language: str) -> None:
    queue = unique("queue")
    prints = "print('boiling')" if language == "python3" else "console.log('boiling');"
    with script_service(idle, language, prints, config={"queue": queue}) as service:
        path = f"{service.path}?api_key={idle.key}&cups=2"
        job = queued(idle.as_admin("POST", path, {"milk": True}))
        before: dict[str, Any] = json.loads(run(idle, "explain", job, "--json"))

        ran = work(idle, queue)

        assert f"no worker serves the queue '{queue}'" in before["sentence"]
        assert "It is done" in run(idle, "explain", job)
        assert run(idle, "logs", job).splitlines()[1:] == ["boiling"]
        [line] = [line for line in ran.log.splitlines() if "script.output" in line]
        assert "boiling" in line
        assert service.name in line
        elsewhere = replace(idle, environment={**idle.environment, "REVERIE_PORT": "1"})
        shown = run(elsewhere, "show", job)  # where the API is, the store knows
        assert all(line == line.rstrip() for line in shown.splitlines())
        for part in (f"POST {service.path}", '"cups": "2"', '"milk": true', f"{idle.base}/jobs/{job}?expires="):
            assert part in shown
        assert idle.key not in shown
        assert idle.admin not in shown


def test_a_cancelled_job_that_runs_is_stopped(idle: Server) -> None:
    queue = unique("queue")
    with script_service(idle, "python3", "import time\ntime.sleep(30)", config={"queue": queue}) as service:
        job = queued(idle.as_admin("POST", service.path))
        worker = subprocess.Popen(
            command("work", "database", f"--queue={queue}", "--stop-when-empty"),
            env=idle.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            idle.wait_for_job(job, "running")
            assert "It is running on the worker" in run(idle, "explain", job)

            assert "is cancelled" in run(idle, "cancel", job)

            assert worker.wait(15) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait(10)
        assert idle.job(job)["status"] == "cancelled"
