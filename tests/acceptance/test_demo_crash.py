"""`reverie demo crash`, as a visitor types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from reverie.cli.crash import play

pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="children end with their parent by a facility of Linux")


def test_the_demo_kills_its_worker_and_loses_nothing(tmp_path: Path) -> None:
    # What another instance is told does not concern it.
    environment = os.environ | {"TMPDIR": str(tmp_path), "REVERIE_PORT": "-1", "QUEUE_CONNECTION": "null"}

    ran = subprocess.run(
        [sys.executable, "-m", "reverie", "demo", "crash", "--jobs", "40", "--kills", "2"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[-1] == "40 accepted · 40 done · 0 lost · 0 finished twice · 2 kills"
    assert sum(line.startswith("killed worker") for line in lines) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_what_does_not_end_in_time_is_called_lost(tmp_path: Path) -> None:
    verdict = await play(tmp_path, jobs=30, kills=0, show=lambda seen: None, end_within=0.5)

    assert verdict.lost > 0 or verdict.accepted < 30
    assert not verdict.is_well(30, 0)
