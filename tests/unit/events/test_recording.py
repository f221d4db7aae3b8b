"""What is kept of runs: counts that add up over processes, and watched events for as long as they may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from reverie.errors import ScriptError
from reverie.events.recording import LARGEST, Recorder, Tape, open_capture
from reverie.model import JSON, Caller, Context, Request, Response, Script
from reverie.sealing import Sealer
from reverie.store import tables
from reverie.store.captures import Watch, captures_of, drop_watch, purge_captures, put_watch
from reverie.store.keys import reseal, uses_of_keys
from reverie.store.memory import Memory
from reverie.store.script_versions import choose_versions, counts_of, forget_choices, runs_as_then
from reverie.store.store import Store
from tests.unit.store.world import SECRET, World, new_world

pytestmark = pytest.mark.anyio
SCRIPT = Script(identifier="db.get.pre_process", language="v8js", content="", version=3, key="db.get.pre_process")
HOUR = 3600.0


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with new_world(tmp_path, request.param) as world:
        yield world


def recorder_of(store: Store) -> Recorder:
    return Recorder(store, Memory(store))


async def nothing(request: Request) -> Response:
    return Response()


def context(**caller: str) -> Context:
    return Context(caller=Caller(**caller), call=nothing, request_id="r1")  # type: ignore[arg-type]  # texts only


def event(name: str = "a") -> dict[str, JSON]:
    return {
        "request": {"method": "POST", "uri": "/api/v2/db", "payload": {"name": name}},
        "response": {"status_code": 9},
    }


async def watch(world: World, *, keep: int = 5, hours: float = 1.0) -> Watch:
    made = Watch(
        script=SCRIPT.key, name=SCRIPT.identifier, keep=keep, hours=hours, expires_at=world.clock.now() + hours * HOUR
    )
    await put_watch(world.store, made, user_id=1)
    return made


async def test_runs_of_several_processes_add_up(world: World) -> None:
    here, there = recorder_of(world.store), recorder_of(other := world.other_process().store)
    here.ran(SCRIPT, None)
    here.ran(SCRIPT, ScriptError("no", status=422))
    await here.flush()
    there.ran(SCRIPT, ScriptError("broken", kind="TypeError", line=7))
    await there.flush()
    here.ran(SCRIPT, None)
    await here.flush()
    await here.flush()

    count = (await counts_of(world.store, [(SCRIPT.key, 3), ("other", 1)]))[SCRIPT.key, 3]
    await other.database.close()

    assert (count.runs, count.failures, count.refusals) == (4, 1, 1)
    assert count.last_error == {"type": "TypeError", "message": "broken", "line": 7}
    assert count.last_failed_at == world.clock.now()


async def test_a_script_that_was_never_saved_is_not_counted(world: World) -> None:
    recorder = recorder_of(world.store)
    recorder.ran(Script(identifier="unsaved", language="v8js", content=""), None)

    await recorder.flush()

    assert await world.store.fetch(select(tables.script_count)) == []


async def test_the_newest_events_are_kept_sealed_and_without_credentials(world: World) -> None:
    recorder, kept = recorder_of(world.store), await watch(world, keep=2)
    for name in ("one", "two", "three"):
        recorder.saw(kept, event(name), context(api_key="canary-1"), script=SCRIPT, calls=[{"op": "api"}])
    await recorder.flush()

    found = await captures_of(world.store, SCRIPT.key)
    rows = await world.store.fetch(select(tables.script_capture).order_by(tables.script_capture.c.id.desc()))
    opened = [open_capture(world.store, row) for row in rows]

    assert [one.event["request"]["payload"]["name"] for one in opened] == ["three", "two"]  # type: ignore[index,call-overload]  # JSON
    assert opened[0].environment == {"calls": [{"op": "api"}]}
    assert opened[0].caller.api_key != "canary-1"
    assert [(one["outcome"], one["status"], one["verb"], one["number"]) for one in found] == [
        ("done", 9, "POST", 3)
    ] * 2
    assert all(b"three" not in bytes(row["content"]) for row in rows)  # type: ignore[arg-type]  # a blob


@pytest.mark.parametrize(
    ("script", "error", "outcome"),
    [
        (None, None, "seen"),
        (SCRIPT, None, "done"),
        (SCRIPT, ScriptError("x"), "failed"),
        (SCRIPT, ScriptError("x", status=409), "refused"),
    ],
)
async def test_an_event_says_how_its_run_ended(
    world: World, script: Script | None, error: ScriptError | None, outcome: str
) -> None:
    recorder, kept = recorder_of(world.store), await watch(world)
    recorder.saw(kept, event(), context(), script=script, error=error)
    await recorder.flush()

    assert [one["outcome"] for one in await captures_of(world.store, SCRIPT.key)] == [outcome]


async def test_events_and_watches_end_with_their_time(world: World) -> None:
    recorder, kept = recorder_of(world.store), await watch(world, hours=1)
    recorder.saw(kept, event(), context())
    await recorder.flush()
    assert SCRIPT.key in await recorder.watched()

    world.clock.moment += HOUR + 1

    assert SCRIPT.key not in await recorder.watched()
    assert await captures_of(world.store, SCRIPT.key) == []
    assert len(await world.store.fetch(select(tables.script_capture))) == 1
    await purge_captures(world.store)
    for table in (tables.script_capture, tables.script_watch):
        assert await world.store.fetch(select(table)) == []


async def test_what_is_watched_no_longer_is_forgotten_at_once(world: World) -> None:
    recorder, kept = recorder_of(world.store), await watch(world)
    recorder.saw(kept, event(), context())
    await recorder.flush()

    await drop_watch(world.store, SCRIPT.key)

    assert await world.store.fetch(select(tables.script_capture)) == []


async def test_an_event_that_is_too_large_is_not_kept(world: World) -> None:
    recorder, kept = recorder_of(world.store), await watch(world)
    noise = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(LARGEST))
    recorder.saw(kept, event(noise), context())
    await recorder.flush()

    assert await captures_of(world.store, SCRIPT.key) == []


async def test_kept_events_come_under_the_new_key(world: World) -> None:
    recorder, kept = recorder_of(world.store), await watch(world)
    recorder.saw(kept, event(), context())
    await recorder.flush()
    before = world.store.sealer.key_id

    world.store.sealer = Sealer("n" * 32, [SECRET])
    uses = await uses_of_keys(world.store)
    done, lost = await reseal(world.store)

    assert (dict(uses.events), done, lost) == ({before: 1}, 1, 0)
    assert (await uses_of_keys(world.store)).events == {world.store.sealer.key_id: 1}
    [row] = await world.store.fetch(select(tables.script_capture))
    assert open_capture(world.store, row).event["request"]


async def test_a_tape_holds_what_was_asked_and_answered_without_secrets() -> None:
    async def ask(op: str, args: dict[str, JSON]) -> JSON:
        return {"status_code": 200, "content": {"token": "canary-2", "n": 1}}

    tape = Tape(ask)
    answer = await tape.answer("api", {"verb": "GET", "path": "db", "options": {"headers": {"X-Api-Key": "canary-3"}}})

    assert "canary-2" in str(answer)
    assert "canary" not in str(tape.calls)
    assert tape.calls[0]["args"]["path"] == "db"  # type: ignore[index,call-overload]  # JSON


async def test_a_job_runs_as_then_until_another_choice_or_its_end(world: World) -> None:
    await choose_versions(world.store, ["job-1", "job-2"], then=True)
    await choose_versions(world.store, ["job-2"], then=False)
    assert [await runs_as_then(world.store, one) for one in ("job-1", "job-2")] == [True, False]

    await forget_choices(world.store)  # there is no job-1

    assert not await runs_as_then(world.store, "job-1")
