"""What the README says is what happens."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import running

README = Path(__file__).parent.parent.parent / "README.md"
CALL = re.compile(r"<!-- call -->\n```bash\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
DIFFERS = "…"


def differences(want: Any, got: Any, path: str = "$") -> list[str]:
    """Where an answer is not as written; ``…`` stands for anything."""
    if want == DIFFERS:
        return []
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        return [line for key in want for line in differences(want[key], got[key], f"{path}.{key}")]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return [line for at, item in enumerate(want) for line in differences(item, got[at], f"{path}[{at}]")]
    return [] if want == got else [f"{path}: {want!r} is written, {got!r} came"]


def test_the_six_calls_answer_as_written(data: Path) -> None:
    calls = CALL.findall(README.read_text("utf-8"))
    assert len(calls) == 6
    with running(data) as server:
        variables = {"REVERIE_URL": server.base, "REVERIE_KEY": server.key, "REVERIE_ADMIN": server.admin}
        script = "\n".join(f"{call}\necho; echo ---END---" for call, _ in calls)

        ran = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{script}"],
            env={**server.environment, **variables},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

        answers = ran.stdout.split("---END---")
        for (call, written), came in zip(calls, answers, strict=False):
            assert differences(json.loads(written), json.loads(came)) == [], call


@pytest.mark.parametrize("command", ["scripts/run", "scripts/test"])
def test_the_two_commands_are_there_and_can_be_run(command: str) -> None:
    file = README.parent / command

    assert f"```bash\n{command}\n```" in README.read_text("utf-8")
    assert file.stat().st_mode & 0o111
