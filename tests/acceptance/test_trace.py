"""The trace of a request goes with its job, into the log of the run and out to other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job_scenes import event_script, make_tables, queued, script_service
from tests.acceptance.outside import Outside, listening
from tests.acceptance.server import Server, running, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.fixture
def outside() -> Iterator[Outside]:
    with listening() as found:
        yield found


@pytest.fixture
def logging(tmp_path: Path) -> Iterator[Server]:
    """A server with a log of JSON lines that tells of everything."""
    with running(tmp_path / "data", REVERIE_LOG_FORMAT="json", REVERIE_LOG_LEVEL="debug") as started:
        yield started


def events(server: Server, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_a_jobs_log_lines_and_its_calls_to_elsewhere_carry_the_trace_of_the_request(
    logging: Server, outside: Outside
) -> None:
    script = f"print('hello')\nplatform.api.get('{outside.url}/plain')\nplatform.api.get('db/_table/job_cause')\n"
    event = f"platform.api.get('{outside.url}/nested')"
    make_tables(logging)
    with (
        script_service(logging, "python3", script) as service,
        event_script(logging, "db._table.job_cause.get.pre_process", "python3", event),
    ):
        job = queued(logging.as_admin("POST", service.path, {}, traceparent=PARENT))
        logging.wait_for_job(job)
        wait_for(lambda: bool(events(logging, "script.output")), 10, logging.output)

    [line] = events(logging, "script.output")
    assert (line["job_id"], line["trace_id"]) == (job, TRACE)
    assert [seen.path for seen in outside.seen] == ["/plain", "/nested"]
    spans = [seen.headers["traceparent"] for seen in outside.seen]
    assert [span[:36] for span in spans] == [f"00-{TRACE}-"] * 2
    assert len({PARENT, *spans}) == 3


def test_every_step_of_a_job_is_a_line_for_who_wants_them_all(logging: Server) -> None:
    with script_service(logging, "python3", "1") as service:
        job = queued(logging.as_admin("POST", service.path, {}))
        for name in ("job.pushed", "job.claimed", "job.running", "job.done"):
            wait_for(lambda name=name: bool(events(logging, name)), 20, logging.output)  # type: ignore[misc]  # bound now

    for name in ("job.pushed", "job.running", "job.done"):
        assert [line["job"] for line in events(logging, name)] == [job]


def test_a_job_that_failed_is_logged_with_its_trace(logging: Server) -> None:
    with script_service(logging, "python3", "raise ValueError('no')", config={"queue": "q"}) as service:
        queued(logging.as_admin("POST", service.path, {}, traceparent=PARENT))
        wait_for(lambda: bool(events(logging, "job.retried")), 20, logging.output)

    assert events(logging, "job.retried")[0]["trace_id"] == TRACE


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_request_without_a_valid_trace_gets_one_for_all_its_calls(
    server: Server, outside: Outside, given: str
) -> None:
    script = f"platform.api.get('{outside.url}/a'); platform.api.get('{outside.url}/b');"
    with script_service(server, "v8js", script, queued=False) as service:
        assert server.as_admin("GET", service.path, traceparent=given).status == 200

    traces = {seen.headers["traceparent"].split("-")[1] for seen in outside.seen}
    assert len(outside.seen) == 2
    assert len(traces) == 1
    assert "0" * 32 not in traces


@pytest.mark.parametrize(
    "headers", [f"{{'TraceParent': '{OTHER}'}}", f"['TraceParent: {OTHER}', 'X-Mine: 1']"], ids=["map", "list"]
)
def test_a_trace_that_the_script_sets_itself_stays(server: Server, outside: Outside, headers: str) -> None:
    script = f"platform.api.get('{outside.url}/a', '', {{'headers': {headers}}});"
    with script_service(server, "v8js", script, queued=False) as service:
        assert server.as_admin("GET", service.path, traceparent=PARENT).status == 200

    assert [seen.headers["traceparent"] for seen in outside.seen] == [OTHER]


def test_headers_that_the_script_gives_as_a_list_stay_beside_the_trace(server: Server, outside: Outside) -> None:
    script = f"platform.api.get('{outside.url}/a', '', {{'headers': ['X-Mine: 1']}});"
    with script_service(server, "v8js", script, queued=False) as service:
        assert server.as_admin("GET", service.path, traceparent=PARENT).status == 200

    [seen] = outside.seen
    assert seen.headers["x-mine"] == "1"
    assert TRACE in seen.headers["traceparent"]
