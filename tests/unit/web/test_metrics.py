"""The text of /metrics, and who gets it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.web.conftest import ScriptedPlatform, call_app

from reverie.errors import NotFound, Unauthorized
from reverie.jobs.ledger import Count, WorkerRecord
from reverie.jobs.metrics import BOUNDS, OTHER, SERIES, Measures
from reverie.model import JobStatus, Request, Response
from reverie.web.app import asgi
from reverie.web.metrics import MOST_CELLS, MOST_QUEUES, Requests, exposition

pytestmark = pytest.mark.anyio

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: bytes | str) -> Samples:
    found = text.decode() if isinstance(text, bytes) else text
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(found)
        for one in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"reverie_{name}", frozenset(labels.items())]


def count(queue: str, status: JobStatus, jobs: int, oldest: float = 0.0) -> Count:
    return Count(connection="database", queue=queue, status=status, jobs=jobs, oldest_due=oldest)


async def test_calls_are_counted_by_service_verb_and_class_of_status() -> None:
    platform = ScriptedPlatform(services=["db"])

    def respond(request: Request) -> Response:
        if request.method == "DELETE":
            raise NotFound("gone")
        return Response(content={})

    platform.respond = respond
    app = asgi(platform)
    for verb in ("GET", "GET", "DELETE"):
        await call_app(app, verb, "/api/v2/db/_table/todo")
    await call_app(app, "POST", "/api/v2/db/_table/todo", {"X-HTTP-Method": "PATCH"}, b"{}")

    found = samples((await call_app(app, "GET", "/metrics")).body)

    counted = "request_seconds_count"
    assert value(found, counted, service="db", verb="GET", status="2xx") == 2
    assert value(found, counted, service="db", verb="DELETE", status="4xx") == 1
    assert value(found, counted, service="db", verb="PATCH", status="2xx") == 1
    assert 0 < value(found, "request_seconds_sum", service="db", verb="GET", status="2xx") < 10
    assert value(found, "store_up") == 0


async def test_who_asks_for_services_that_are_not_there_makes_no_series_of_his_own() -> None:
    app = asgi(ScriptedPlatform(services=["db"]))
    for number in range(50):
        await call_app(app, "GET", f"/api/v2/nothing{number}/x")
    await call_app(app, "BREW", "/api/v2/db/x")

    text = (await call_app(app, "GET", "/metrics")).text

    assert "nothing1" not in text
    assert "BREW" not in text
    assert value(samples(text), "request_seconds_count", service=OTHER, verb="GET", status="2xx") == 50


def test_combinations_beyond_the_limit_are_counted_together() -> None:
    requests = Requests(lambda name: True)
    for number in range(MOST_CELLS + 100):
        requests.note(f"service{number}", "GET", 200, 0.01)

    found = samples(exposition(requests, None))

    assert value(found, "request_seconds_count", service=OTHER, verb="GET", status="2xx") == 100
    assert sum(1 for name, _ in found if name == "reverie_request_seconds_count") == MOST_CELLS + 1


def test_a_queue_shows_its_depth_by_state_and_how_long_its_oldest_job_has_been_due() -> None:
    counts = [
        count("default", JobStatus.WAITING, 7, oldest=940.0),
        count("default", JobStatus.DELAYED, 2, oldest=5000.0),
        count("slow", JobStatus.FAILED, 1),
    ]

    found = samples(exposition(Requests(lambda name: True), Measures(now=1000.0, counts=counts)))

    where = {"connection": "database", "queue": "default"}
    assert value(found, "queue_depth", **where, state="waiting") == 7
    assert value(found, "queue_depth", **where, state="delayed") == 2
    assert value(found, "queue_oldest_ready_seconds", **where) == 60
    assert value(found, "queue_oldest_ready_seconds", connection="database", queue="slow") == 0
    assert value(found, "store_up") == 1


def test_queues_beyond_the_limit_are_shown_together_the_smallest_first() -> None:
    counts = [count(f"q{number}", JobStatus.WAITING, 1000 - number, oldest=0.0) for number in range(MOST_QUEUES + 3)]

    found = samples(exposition(Requests(lambda name: True), Measures(now=0.0, counts=counts)))

    assert value(found, "queue_depth", connection=OTHER, queue=OTHER, state="waiting") == 3 * 1000 - 500 - 501 - 502
    assert value(found, "queue_depth", connection="database", queue="q0", state="waiting") == 1000


def test_workers_show_when_they_were_seen_and_when_they_last_went_round() -> None:
    workers = [WorkerRecord(name=name, host="h", process=1, seen_at=90.0) for name in ("w1", "w2")]
    measures = Measures(now=100.0, workers=workers, turns={"w1": 97.0, "killed": 1.0}, store={"wal_bytes": 4096.0})

    found = samples(exposition(Requests(lambda name: True), measures))

    assert value(found, "worker_up", worker="w1") == value(found, "worker_up", worker="w2") == 1
    assert value(found, "worker_last_seen_seconds", worker="w2") == 10
    assert value(found, "worker_last_turn_seconds", worker="w1") == 3
    assert not any("killed" in str(labels) for _, labels in found)
    assert value(found, "queue_wal_bytes") == 4096


def test_what_workers_counted_is_told_with_buckets_that_add_up() -> None:
    sums = {
        ("queue_run_seconds", '["echo","0"]'): 3.0,
        ("queue_run_seconds", f'["echo","{len(BOUNDS)}"]'): 1.0,
        ("queue_run_seconds", '["echo","sum"]'): 4000.5,
        ("queue_attempts", '["done"]'): 4.0,
        ("of_a_newer_version", "[]"): 1.0,
    }

    found = samples(exposition(Requests(lambda name: True), Measures(now=0.0, sums=sums)))

    assert value(found, "queue_run_seconds_bucket", script="echo", le="0.001") == 3
    assert value(found, "queue_run_seconds_bucket", script="echo", le="1800.0") == 3
    assert value(found, "queue_run_seconds_bucket", script="echo", le="+Inf") == 4
    assert value(found, "queue_run_seconds_count", script="echo") == 4
    assert value(found, "queue_run_seconds_sum", script="echo") == 4000.5
    assert value(found, "queue_attempts_total", outcome="done") == 4
    assert value(found, "queue_lost_lease_total") == value(found, "queue_wait_seconds_count") == 0


def test_every_series_that_is_counted_is_told() -> None:
    families = {
        family.name
        for family in text_string_to_metric_families(
            exposition(Requests(lambda name: True), Measures(now=0.0)).decode()
        )
    }

    assert {f"reverie_{name}" for name in SERIES} <= families


async def test_who_may_not_gets_the_reason_and_no_metrics() -> None:
    platform = ScriptedPlatform(refusal=Unauthorized("Say who you are.", headers={"WWW-Authenticate": "Bearer"}))

    reply = await call_app(asgi(platform), "GET", "/metrics?api_key=k", {"X-Forwarded-For": "10.0.0.1"})

    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert "Say who you are." in reply.text
    assert "reverie_" not in reply.text
    [(call, peer)] = platform.scraped
    assert (call.service, call.resource, call.parameters, peer) == ("system", "metrics", {"api_key": "k"}, None)
