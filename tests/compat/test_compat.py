"""The table of the languages is as the docs have it."""

from __future__ import annotations

import pytest

from reverie.scripting.engine import Engine
from tests.compat.__main__ import PAGE
from tests.compat.situations import SITUATIONS, VALUES
from tests.compat.table import read, rows, shown
from tests.contract.engine_stage import shared_engine

pytestmark = pytest.mark.anyio
engine = shared_engine


def test_there_are_sixty_situations_and_more() -> None:
    assert len(VALUES) + len(SITUATIONS) >= 60


async def test_a_language_makes_of_every_situation_what_the_page_says(engine: Engine) -> None:
    kept = dict(zip((*VALUES, *SITUATIONS), read(PAGE.read_text("utf-8"))[engine.name], strict=True))
    cells = await rows(engine)

    assert dict(zip(cells, shown(cells), strict=True)) == kept
