"""The rules of the queue keep their promises in every state, each clause is needed, and the ledgers keep the rules."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.contract.conftest import PAIRS
from tests.model.replay import Replay, random_walk
from tests.model.rules import ENDED, Rules, first, steps
from tests.model.search import search
from tests.unit.jobs.scene import MovingClock

WALKS = 120
LONGEST_WALK = 12


def test_no_promise_is_broken_in_any_state_of_two_workers_two_jobs_and_three_epochs() -> None:
    found = search(Rules())

    print(found)
    assert found.broken == "", str(found)
    assert found.states > 1_000_000  # a search that stops early would find nothing either


def test_without_the_fence_a_late_worker_settles_a_run_twice() -> None:
    found = search(Rules(fence=False))

    print(found)
    assert found.broken.startswith("I2")
    assert [str(action) for action in found.path] == [
        "due job 0",
        "claim worker 0 job 0",
        "expire job 0",
        "sweep job 0",
        "claim worker 1 job 0",
        "settle worker 0 job 0 epoch 1 released",
    ]


@pytest.mark.parametrize(
    ("rules", "promise"),
    [
        pytest.param(
            Rules(start_asks=False), "I3", id="a run that begins does not ask whether the job is still its own"
        ),
        pytest.param(Rules(sweep_waits=False), "I4", id="leases are taken back before they have ended"),
        pytest.param(Rules(tries_end=False), "I5", id="nobody counts the tries"),
    ],
)
def test_each_clause_is_needed(rules: Rules, promise: str) -> None:
    found = search(rules)

    print(found)
    assert found.broken.startswith(promise), str(found)


def test_a_queue_that_trusted_its_wake_ups_would_strand_a_job() -> None:
    found = search(Rules(looks=False), jobs=1)

    print(found)
    assert found.broken.startswith("I1")
    assert [str(action) for action in found.path] == ["lose"]


@pytest.mark.anyio
@pytest.mark.parametrize("pair", PAIRS)
async def test_a_real_ledger_goes_every_way_that_the_model_goes(pair: str, tmp_path: Path) -> None:
    clock, chance = MovingClock(), random.Random(4)
    verbs: set[tuple[str, bool]] = set()
    async with PAIRS[pair](tmp_path, clock) as queue:
        for _ in range(WALKS):
            replay = Replay(queue, clock)
            await replay.begin()
            for step in random_walk(replay.state, chance, LONGEST_WALK):
                await replay.take(step)
                verbs.add((step.action.verb, step.taken))
            await replay.end()

    # Late statements were among them, and were refused by both.
    assert {("start", False), ("renew", False), ("settle", False), ("sweep", True), ("expire", True)} <= verbs


@pytest.mark.anyio
@pytest.mark.parametrize("pair", PAIRS)
async def test_a_real_ledger_refuses_what_would_break_the_promise_without_the_fence(pair: str, tmp_path: Path) -> None:
    path = search(Rules(fence=False)).path
    clock = MovingClock()
    async with PAIRS[pair](tmp_path, clock) as queue:
        replay = Replay(queue, clock)
        await replay.begin()
        for action in path:
            [step] = [step for step in steps(replay.state, Rules()) if step.action == action]
            await replay.take(step)

    assert not step.taken
    assert replay.state.cells[0].job.epoch == 2


def test_the_model_can_reach_each_end() -> None:
    chance = random.Random(1)
    ends = {
        cell.job.status
        for _ in range(300)
        for step in random_walk(first(), chance, 30)[-1:]
        for cell in step.state.cells
        if cell.job.status in ENDED
    }

    assert ends == ENDED
