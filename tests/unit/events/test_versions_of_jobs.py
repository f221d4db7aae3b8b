"""Which text a job runs: today's, the one of its queueing where a retry chose so, or its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import insert, update

from reverie.events.queued import TRIAL, Queued, TargetGone, VersionGone
from reverie.jobs.payload import Packed
from reverie.model import JSON, Caller, Job
from reverie.store import tables
from reverie.store.memory import Memory
from reverie.store.script_versions import choose_versions
from tests.unit.store.world import World, new_world

pytestmark = pytest.mark.anyio
NAME = "db.get.queued"


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with new_world(tmp_path) as world:
        yield world


async def text_of(world: World, job: Job, **environment: JSON) -> str:
    """The text that a worker would run."""
    nothing = cast("Any", None)
    queued = Queued(
        nothing, Memory(world.store), nothing, nothing, nothing,
        context_of=nothing, script_of_service=nothing, answer=nothing,
    )  # fmt: skip
    packed = Packed(event={}, caller=Caller(), environment=environment)
    return (await queued._target(job, packed)).content


def job(*, epoch: int = 1, due_at: float = 100.0, delay: float | None = None, kind: str = "script.event") -> Job:
    return Job(
        id="j", kind=kind, script=NAME, name=NAME, connection="database", queue="default",
        epoch=epoch, created_at=100.0, due_at=due_at, delay=delay,
    )  # fmt: skip


async def two_versions(world: World) -> None:
    await world.event_script(NAME, content="now", version=2)
    old = {"name": NAME, "type": "v8js", "content": "then", "created_date": "2024-05-02 09:15:00"}
    await world.change(insert(tables.script_version).values(script=NAME, number=1, **old))


@pytest.mark.parametrize(
    ("moved", "text"),
    [
        (job(epoch=2), "then"),
        (job(due_at=200.0), "then"),  # it was cancelled before its first run
        (job(due_at=130.0, delay=30.0), "now"),  # it runs for the first time: nobody can have chosen
        (job(), "now"),
    ],
)
async def test_a_job_that_was_moved_runs_what_was_chosen(world: World, moved: Job, text: str) -> None:
    await two_versions(world)
    await choose_versions(world.store, ["j"], then=True)

    assert await text_of(world, moved, script_version=1) == text


async def test_without_a_choice_today_s_text_is_run(world: World) -> None:
    await two_versions(world)

    assert await text_of(world, job(epoch=5), script_version=1) == "now"


async def test_a_script_that_was_switched_off_still_runs_as_then(world: World) -> None:
    await two_versions(world)
    await world.change(update(tables.event_script).values(is_active=False))
    with pytest.raises(TargetGone):
        await text_of(world, job(epoch=2), script_version=1)
    await choose_versions(world.store, ["j"], then=True)

    assert await text_of(world, job(epoch=2), script_version=1) == "then"


async def test_a_version_that_is_not_kept_is_told(world: World) -> None:
    await two_versions(world)
    await choose_versions(world.store, ["j"], then=True)

    with pytest.raises(VersionGone, match=r"Version 7 of db\.get\.queued is not kept"):
        await text_of(world, job(epoch=2), script_version=7)


async def test_a_trial_brings_its_own_text(world: World) -> None:
    script: JSON = {"identifier": "unsaved", "language": "v8js", "content": "mine", "config": {}, "may_modify": True}

    assert await text_of(world, job(kind=TRIAL), script=script) == "mine"
