"""`queue list|find|show|logs|explain|cancel` as real commands."""

from __future__ import annotations

import subprocess
import sys
import time

from sqlalchemy import insert
from tests.unit.cli.place import Place, draft, place

from reverie.database import Connection
from reverie.jobs.desk import Desk
from reverie.jobs.payload import Packed, about_of, pack
from reverie.jobs.settle import finished
from reverie.model import JSON, Caller, Job, JobStatus
from reverie.store.tables import role, user

__all__ = ["place"]


def ids(found: list[dict[str, object]]) -> list[object]:
    return [one["id"] for one in found]


def test_jobs_are_listed_newest_first_and_can_be_picked(place: Place) -> None:
    [broken] = place.fail(draft("service:broken"))
    first, second = place.push(draft("service:first", queue="slow"), draft("service:second", delay=60))

    assert ids(place.json("list")) == [second.id, first.id, broken.id]
    assert ids(place.json("list", "--limit=1")) == [second.id]
    assert ids(place.json("list", "--status=failed,delayed")) == [second.id, broken.id]
    assert ids(place.json("list", "--queue=slow", "--connection=database")) == [first.id]
    head, *lines = place.run("list").stdout.splitlines()
    assert head.split() == ["ID", "Status", "Queue", "Name", "Tries", "When", "Error"]
    assert [line.split()[:3] for line in lines] == [
        [second.id, "delayed", "database:default"],
        [first.id, "waiting", "database:slow"],
        [broken.id, "failed", "database:default"],
    ]
    assert [word in line for word, line in zip(("due in", "queued", "ended"), lines, strict=True)] == [True] * 3
    assert "out of tea" in lines[2]
    assert place.run("list", "--queue=nope").stdout == "No jobs found.\n"


def test_jobs_are_found_by_their_call_and_names_are_looked_up(place: Place) -> None:
    async def work(desk: Desk) -> None:
        stamps = {"is_active": True, "created_date": "2024-05-02", "last_modified_date": "2024-05-02"}

        async def unit(connection: Connection) -> None:
            await desk.store.execute(insert(role).values(id=7, name="partner", **stamps), connection)
            me = {"id": 3, "name": "Me", "email": "me@example.test", **stamps}
            await desk.store.execute(insert(user).values(**me), connection)

        await desk.store.write(unit)

    place.at_desk(work)
    [mine] = place.fail(draft(service="orders", verb="POST", role_id=7, user_id=3))
    place.push(draft(service="orders", verb="GET", role_id=8))

    query = 'service:orders verb:post role:partner user:Me@example.test status:failed since:2h error:"of tea"'
    assert ids(place.json("find", query)) == [mine.id]
    assert ids(place.json("find", "service:orders", "verb:POST", "error:out of tea")) == [mine.id]
    assert place.json("find", "service:nope") == []
    assert "There is no role 'stranger'." in place.run("find", "role:stranger", code=1).stderr
    assert "the keys are" in place.run("find", "bogus:1", code=1).stderr
    assert "There is no status 'lost'" in place.run("find", "status:lost", code=1).stderr


def packed_job(place: Place) -> Job:
    """A job with a call in it that holds credentials."""

    async def work(desk: Desk) -> Job:
        request: dict[str, JSON] = {
            "method": "POST",
            "uri": "/api/v2/tea",
            "headers": {"authorization": "Bearer abc.def", "x-plain": "yes"},
            "parameters": {"api_key": "key-of-somebody"},
            "payload": {"cups": 2},
        }
        caller = Caller(api_key="key-of-somebody", session_token="token-of-somebody", user={"id": 3})
        packed = Packed(event={"resource": "", "request": request}, caller=caller)
        payload = pack(packed, desk.store.sealer, about=about_of("script.service", "service:1"))
        await desk.queue.push(draft(payload=payload, user_id=3, tries=2))
        [job] = await desk.queue.claim(worker="kitchen-1")
        await desk.queue.settle(finished(job, output="boiling\n"))
        return job

    return place.at_desk(work)


def test_a_job_is_shown_whole_but_for_its_secrets(place: Place) -> None:
    job = packed_job(place)

    text, whole = place.run("show", job.id).stdout, place.json("show", job.id)

    address = f"http://127.0.0.1:8000/jobs/{job.id}?expires="
    for shown in ("POST /api/v2/tea", "user 3", "kitchen-1", '"cups": 2', "1 used, allowed: 2", address):
        assert shown in text
    assert whole["address"].startswith(address)
    assert (whole["status"], whole["request"]["payload"]) == ("done", {"cups": 2})
    assert [(run["worker"], run["outcome"], run["output"]) for run in whole["runs"]] == [
        ("kitchen-1", "done", "boiling\n")
    ]
    for secret in ("abc.def", "key-of-somebody", "token-of-somebody"):
        assert secret not in text + str(whole)


def test_the_error_of_a_job_is_shown_with_its_line(place: Place) -> None:
    [job] = place.fail(draft())

    text = place.run("show", job.id).stdout

    assert "\nTypeError: out of tea\n> 2 |   throw tea;\n" in text
    assert "cannot be opened" in text  # what it holds was not sealed here
    assert "There is no job 'nope'." in place.run("show", "nope", code=1).stderr


def test_logs_show_what_each_run_has_printed(place: Place) -> None:
    job = packed_job(place)

    head, line = place.run("logs", job.id).stdout.splitlines()

    assert head.startswith("-- attempt 1, done, ")
    assert line == "boiling"
    assert "There is no job" in place.run("logs", "nope", code=1).stderr


def test_followed_logs_go_on_until_the_job_has_ended(place: Place) -> None:
    [job] = place.push(draft())
    following = subprocess.Popen(
        [sys.executable, "-m", "reverie", "queue", "logs", "--follow", job.id],
        env={"REVERIE_DATA_DIR": str(place.settings.data_dir), "REVERIE_SECRET_KEY": "s" * 32, "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(2)
        assert following.poll() is None

        async def work(desk: Desk) -> None:
            [taken] = await desk.queue.claim(worker="w")
            await desk.queue.settle(finished(taken, output="tea is ready"))

        place.at_desk(work)
        printed, _ = following.communicate(timeout=20)
    finally:
        following.kill()
        following.wait()
    assert following.returncode == 0
    assert printed.splitlines()[1:] == ["tea is ready"]


def test_a_job_is_explained_with_what_to_do(place: Place) -> None:
    [job] = place.push(draft(queue="slow"))
    place.run("pause", "slow")

    told, text = place.json("explain", job.id), place.run("explain", job.id).stdout

    assert told["sentence"] == text.strip()
    assert "`reverie queue work database --queue=slow` serves it" in text
    assert "`reverie queue resume database:slow` lets it go on" in text
    assert told["expected_at"] is None


def test_jobs_are_cancelled_and_one_that_has_ended_is_exit_1(place: Place) -> None:
    first, second = place.push(draft("service:one"), draft("service:two"))

    assert place.run("cancel", first.id).stdout == f"{first.id} service:one is cancelled.\n"
    lines = place.run("cancel", second.id, first.id, "nope", code=1).stdout.splitlines()

    assert lines == [
        f"{second.id} service:two is cancelled.",
        f"{first.id} service:one has ended: it is cancelled.",
        "There is no job 'nope'.",
    ]
    assert place.job(second.id).status is JobStatus.CANCELLED
