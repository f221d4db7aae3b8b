"""Whose rights a job has when its turn comes: those it was queued with, or those of today."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias

import pytest

from tests.acceptance.job_scenes import (
    JSON,
    Person,
    event_script,
    make_tables,
    note,
    notes,
    person,
    queued,
    script_service,
    service_id,
    take_away_db,
    unique,
    work,
)
from tests.acceptance.server import Server

Change: TypeAlias = Callable[[Server, Person], None]


def _set(server: Server, resource: str, record_id: int, **fields: JSON) -> None:
    answer = server.as_admin("PATCH", f"/api/v2/system/{resource}/{record_id}", fields)
    assert answer.status == 200, answer.body


def switch_user_off(server: Server, someone: Person) -> None:
    _set(server, "user", someone.ids["user"], is_active=False)


def switch_role_off(server: Server, someone: Person) -> None:
    _set(server, "role", someone.ids["role"], is_active=False)


def switch_app_off(server: Server, someone: Person) -> None:
    _set(server, "app", someone.ids["app"], is_active=False)


def delete_user(server: Server, someone: Person) -> None:
    answer = server.as_admin("DELETE", f"/api/v2/system/user/{someone.ids['user']}")
    assert answer.status == 200, answer.body


CHANGES: dict[str, tuple[Change, str]] = {
    "user switched off": (switch_user_off, "User is not active."),
    "user deleted": (delete_user, "User does not exist any more."),
    "role switched off": (switch_role_off, "is not active."),
    "role without that access": (take_away_db, "is not allowed by this user's role."),
    "app switched off": (switch_app_off, "App is not active."),
}


@pytest.fixture(scope="module")
def tables(idle: Server) -> Server:
    with contextlib.suppress(AssertionError):  # another module may have made them
        make_tables(idle)
    return idle


@pytest.mark.parametrize("change", CHANGES)
def test_a_service_that_rechecks_fails_the_job_of_a_caller_who_may_no_longer(tables: Server, change: str) -> None:
    server, label, queue = tables, unique("label"), unique("queue")
    config = {"queue": queue, "identity": "recheck"}
    apply, message = CHANGES[change]
    with (
        script_service(server, "python3", note("python3", label, "1"), config=config) as service,
        person(server, service.id, service_id(server, "db")) as someone,
    ):
        job = queued(someone.ask("POST", service.path, {}))
        apply(server, someone)

        worked = work(server, queue, "--tries=3")

        assert [status for status, _ in worked.of(job)][-1] == "failed"
        error = server.job(job)["error"]
        assert error["type"] == "IdentityRevoked"
        assert message in error["message"]
        assert notes(server, label) == []


def test_a_service_that_rechecks_runs_as_long_as_the_caller_may(tables: Server) -> None:
    server, label, queue = tables, unique("label"), unique("queue")
    config = {"queue": queue, "Identity": "recheck"}
    with (
        script_service(server, "python3", note("python3", label, "1"), config=config) as service,
        person(server, service.id, service_id(server, "db")) as someone,
    ):
        job = queued(someone.ask("POST", service.path, {}))

        work(server, queue)

        assert server.job(job)["status"] == "done"
        assert notes(server, label) == [1]


def test_a_job_that_was_rechecked_has_the_role_of_today(tables: Server) -> None:
    """The role still allows the call, but no longer what the script does."""
    server, label, queue = tables, unique("label"), unique("queue")
    config = {"queue": queue, "identity": "recheck"}
    script = note("python3", label, "1") + "raise ValueError(platform.session.role.name)"
    with (
        script_service(server, "python3", script, config=config) as service,
        person(server, service.id, service_id(server, "db")) as someone,
    ):
        job = queued(someone.ask("POST", service.path, {}))
        take_away_db(server, someone)
        access = {"service_id": service.id, "component": "*", "verb_mask": 31, "requestor_mask": 3}
        _set(server, "role", someone.ids["role"], role_service_access_by_role_id=[access])

        work(server, queue, "--tries=1")

        assert server.job(job)["error"]["type"] == "ValueError"
        assert notes(server, label) == []


@pytest.mark.parametrize("policy", ["snapshot", None])
def test_otherwise_a_job_keeps_the_rights_it_was_queued_with(tables: Server, policy: str | None) -> None:
    server, label, queue = tables, unique("label"), unique("queue")
    config = {"queue": queue, **({} if policy is None else {"identity": policy})}
    with (
        script_service(server, "python3", note("python3", label, "1"), config=config) as service,
        person(server, service.id, service_id(server, "db")) as someone,
    ):
        job = queued(someone.ask("POST", service.path, {}))
        switch_user_off(server, someone)
        take_away_db(server, someone)

        work(server, queue)

        assert server.job(job)["status"] == "done"
        assert notes(server, label) == [1]


def test_an_event_script_that_rechecks_asks_for_the_very_call_that_queued_it(tables: Server) -> None:
    server, label, queue = tables, unique("label"), unique("queue")
    config = {"queue": queue, "identity": "recheck"}
    with (
        event_script(server, "db._table.job_cause.post.queued", "python3", note("python3", label, "1"), config=config),
        person(server, service_id(server, "db")) as someone,
    ):
        row = {"resource": [{"label": label}]}
        assert someone.ask("POST", "/api/v2/db/_table/job_cause", row).status == 200
        take_away_db(server, someone)
        reads_only = {
            "service_id": service_id(server, "db"),
            "component": "_table/job_cause",
            "verb_mask": 1,
            "requestor_mask": 3,
        }
        _set(server, "role", someone.ids["role"], role_service_access_by_role_id=[reads_only])

        worked = work(server, queue)

        [step] = [step for step in worked.steps if step["status"] == "failed"]
        message = server.job(step["id"])["error"]["message"]
        assert "POST access to component '_table/job_cause' of service 'db'" in message
        assert notes(server, label) == []


def test_another_policy_is_refused_when_it_is_saved(server: Server) -> None:
    config = {"identity": "whoever"}
    settings = {"content": "1;", "queued": True, "config": config}
    service = {"name": unique("policy"), "type": "v8js", "is_active": True, "config": settings}
    script = {"type": "v8js", "content": "1;", "config": config}

    for answer in (
        server.as_admin("POST", "/api/v2/system/service", service),
        server.as_admin("POST", "/api/v2/system/event_script/db._table.job_cause.get.queued", script),
    ):
        assert answer.status == 400, answer.body
        assert b"neither 'snapshot' nor 'recheck'" in answer.body
