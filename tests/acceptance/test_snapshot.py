"""What a job keeps of the moment it was queued, and what it takes as it is today."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.acceptance.job_scenes import (
    JSON,
    LANGUAGES,
    Person,
    make_tables,
    note,
    notes,
    person,
    queued,
    script_service,
    service_id,
    set_script,
)
from tests.acceptance.server import Server, running, wait_for


def text(language: str, edition: str) -> str:
    """A script that notes its text, the lookup in it, and lookup, role and setting as `platform` has them."""
    parts = [
        f"'{edition}'",
        "'{shade}'",
        "platform.session.lookup.shade",
        "platform.session.role.name",
        "platform.config.script_egress",
    ]
    return note(language, language, "[" + ", ".join(parts) + "]")


def change_lookup(server: Server, someone: Person, value: str) -> None:
    path = f"/api/v2/system/user/{someone.ids['user']}"
    [lookup] = server.as_admin("GET", f"{path}?related=lookup_by_user_id").json["lookup_by_user_id"]
    answer = server.as_admin("PATCH", path, {"lookup_by_user_id": [{**lookup, "value": value}]})
    assert answer.status == 200, answer.body


def rename_role(server: Server, someone: Person, name: str) -> str:
    """Its name until now."""
    path = f"/api/v2/system/role/{someone.ids['role']}"
    old: str = server.as_admin("GET", path).json["name"]
    answer = server.as_admin("PATCH", path, {"name": name})
    assert answer.status == 200, answer.body
    return old


def kept(job: JSON) -> list[str]:
    """Lookup, role and setting as the job's page has them."""
    session, config = job["environment"]["session"], job["environment"]["config"]
    return [session["lookup"]["shade"], session["role"]["name"], config["script_egress"]]


def test_a_job_keeps_lookup_role_and_setting_of_its_call_and_runs_the_text_of_today(data: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(data, REVERIE_WORKERS="0", REVERIE_SCRIPT_EGRESS="any"))
        make_tables(server)
        services = {
            language: stack.enter_context(script_service(server, language, text(language, "first")))
            for language in LANGUAGES
        }
        allowed = (service_id(server, "db"), *(service.id for service in services.values()))
        someone = stack.enter_context(person(server, *allowed, lookups={"shade": "green"}))
        before = {language: queued(someone.ask("POST", service.path)) for language, service in services.items()}

        change_lookup(server, someone, "black")
        old_role = rename_role(server, someone, "renamed")
        for language, service in services.items():
            set_script(server, service, text(language, "second"))
        server.stop()
        server.environment |= {"REVERIE_WORKERS": "1", "REVERIE_SCRIPT_EGRESS": "public"}
        server.start()
        after = {language: queued(someone.ask("POST", service.path)) for language, service in services.items()}
        for job in (*before.values(), *after.values()):
            server.wait_for_job(job)

        old, new = ["green", old_role, "any"], ["black", "renamed", "public"]
        for language in LANGUAGES:
            wait_for(lambda: len(notes(server, language)) == 2, 5)  # noqa: B023 - called at once
            assert sorted(notes(server, language)) == sorted([["second", "green", *old], ["second", "black", *new]])
            assert kept(server.job(before[language])) == old
            assert kept(server.job(after[language])) == new
