"""No script gets out where its level of isolation promises that it cannot."""

from __future__ import annotations

import pytest

from reverie.events.limits import LEVELS, Isolation
from reverie.scripting.walls import Rules
from tests.contract.engine_stage import NAMES, need
from tests.escapes.corpus import CORPUS
from tests.escapes.play import broken, play
from tests.escapes.table import in_page, table

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("language", NAMES)
async def test_no_attempt_gets_out_where_the_level_promises_it(language: str, level: Isolation) -> None:
    need(language)

    result = await play(language, level)

    assert broken(result, language, level) == []


@pytest.mark.parametrize("language", ["python3", "php"])
async def test_the_same_attempts_get_out_where_sockets_are_open_so_they_are_real(language: str) -> None:
    need(language)

    result = await play(language, "instance", Rules(sockets=True))

    got_out = {"a connection to this host", "a datagram", "a server of its own"}
    assert {one.name for one in CORPUS[language]} & got_out <= set(result.out)
    assert {"a connection", "a datagram"} <= set(result.heard)


async def test_what_a_level_does_not_promise_is_seen_to_get_out() -> None:
    need("nodejs")

    result = await play("nodejs", "instance")

    assert result.out
    assert broken(result, "nodejs", "instance") == []
    assert broken(result, "nodejs", "run") != []


@pytest.mark.parametrize("language", NAMES)
def test_there_are_attempts_enough_and_each_has_a_name_of_its_own(language: str) -> None:
    names = [one.name for one in CORPUS[language]]

    assert len(names) == len(set(names))
    for level in LEVELS:
        assert sum(level in one.levels for one in CORPUS[language]) >= 30


def test_the_page_says_of_every_attempt_what_is_tested() -> None:
    assert in_page() == table(), "scripts/escapes --page writes it"
