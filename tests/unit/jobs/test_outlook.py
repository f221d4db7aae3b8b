"""What a worker that has nothing to do asks the store: one question for each pause."""

from __future__ import annotations

import pytest

from reverie.jobs.outlook import SHORTEST, Outlook

pytestmark = pytest.mark.anyio


class Store:
    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)

    async def ask(self) -> float | None:
        return self.answers.pop(0)


async def test_after_a_pause_that_nothing_cut_short_one_question_serves_the_claim_and_the_next_pause() -> None:
    store = Store(None, None, 2.0)
    outlook = Outlook(store.ask)
    assert await outlook.may_find()  # nothing is known yet
    assert await outlook.pause(3.0) == 3.0

    assert not await outlook.may_find()
    assert await outlook.pause(3.0) == 3.0
    assert store.answers == [2.0]

    assert not await outlook.may_find()
    assert await outlook.pause(3.0) == 2.0
    assert store.answers == []


async def test_a_pause_until_a_job_is_due_is_followed_by_a_claim() -> None:
    store = Store(1.0)
    outlook = Outlook(store.ask)

    assert await outlook.pause(3.0) == 1.0
    assert await outlook.may_find()


async def test_a_job_that_has_become_due_unheard_is_claimed() -> None:
    outlook = Outlook(Store(None, 0.0).ask)
    await outlook.pause(3.0)

    assert await outlook.may_find()


async def test_whatever_stirs_is_followed_by_a_claim() -> None:
    outlook = Outlook(Store(None).ask)
    await outlook.pause(3.0)

    outlook.stirred()

    assert await outlook.may_find()


async def test_what_is_due_and_was_not_taken_is_looked_at_again_in_a_moment() -> None:
    assert await Outlook(Store(0.0).ask).pause(3.0) == SHORTEST
