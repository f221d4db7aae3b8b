"""Runs leave nothing behind: a short form here, the long one by ``REVERIE_TEST_PROFILE=full`` or scripts/soak."""

from __future__ import annotations

import os

import pytest

from tests.contract.engine_stage import NAMES, need
from tests.soak.soak import soak

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("language", NAMES)
async def test_a_thousand_runs_leave_nothing_behind(language: str) -> None:
    need(language)

    left = await soak(language, 1000)

    # So few runs are still warming up, each child for itself; a leak of an event of 2 KiB a run would stand out.
    assert left.problems(slope=32) == []
    assert left.host_grown < 16


@pytest.mark.long
@pytest.mark.skipif(os.environ.get("REVERIE_TEST_PROFILE") != "full", reason="REVERIE_TEST_PROFILE=full runs it")
@pytest.mark.parametrize("language", NAMES)
async def test_two_hundred_thousand_runs_leave_nothing_behind(language: str) -> None:
    need(language)

    left = await soak(language, 200_000)

    assert left.problems() == []
