"""The flights example, as its one command runs it: 20,000 flights here, all of them in the full profile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "flights" / "run"
FULL = os.environ.get("REVERIE_TEST_PROFILE") == "full"


def test_the_flights_tell_their_story() -> None:
    arguments = [] if FULL else ["20000"]

    ran = subprocess.run([str(EXAMPLE), *arguments], capture_output=True, text=True, check=False, timeout=600)

    told = " ".join(ran.stdout.split())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "422 flight 0: there is no carrier ??" in told
    assert "United Air Lines Inc., 370 miles per hour" in told
    assert "the job after the write is done: United Air Lines Inc. has" in told
    assert "the report was accepted with 202 and is done:" in told
