"""`reverie up` as a person starts it: real processes on a real port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def started(data: Path, *arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The parent and the address that it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
    settings = {"REVERIE_DATA_DIR": str(data), "REVERIE_PORT": "0", "REVERIE_WORKERS": "0"}
    printed = data / "printed"
    with (
        printed.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "reverie", "up", *arguments],
            env=clean | settings | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as parent,
    ):
        try:
            until(lambda: "answers on http" in printed.read_text() or parent.poll() is not None)
            found = re.search(r"http://\S+", printed.read_text())
            assert found is not None, printed.read_text()
            yield parent, found[0]
        finally:
            parent.kill()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def children_of(parent: int) -> dict[str, int]:
    """Process ids by name of the internal command."""
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().split("\0")
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == parent and stat[0] != "Z" and "_child" in command:
            found[command[command.index("_child") + 1]] = int(folder.name)
    return found


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it did not come true in time"
        time.sleep(0.01)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_the_api_comes_back_and_the_end_is_clean(tmp_path: Path) -> None:
    with started(tmp_path) as (parent, url):
        assert status_of(f"{url}/live") == 200
        assert status_of(f"{url}/api/v2/db") == 503
        first = children_of(parent.pid)
        assert set(first) == {"api"}

        os.kill(first["api"], signal.SIGKILL)

        assert status_of(f"{url}/live") == 200
        assert children_of(parent.pid)["api"] != first["api"]

        parent.terminate()
        assert parent.wait(timeout=40) == 0
        out = (tmp_path / "printed").read_text()
        assert children_of(parent.pid) == {}
        assert "worker: none (REVERIE_WORKERS=0)" in out
        (link,) = re.findall(rf"^{url}(/setup/\S+)$", out, re.MULTILINE)
        assert len(link) > 30


def test_nothing_outlives_a_killed_parent_and_the_next_start_has_the_port(tmp_path: Path) -> None:
    with started(tmp_path) as (parent, url):
        until(lambda: status_of(f"{url}/live") == 200)
        api = children_of(parent.pid)["api"]
        parent.kill()
        parent.wait(10)
        until(lambda: not Path(f"/proc/{api}").exists() or "State:\tZ" in Path(f"/proc/{api}/status").read_text())

    with started(tmp_path, "--port", url.rpartition(":")[2]) as (parent, again):
        assert again == url
        assert status_of(f"{url}/live") == 200


def test_a_start_that_fails_ends_with_its_status_and_leaves_nobody(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
    done = subprocess.run(
        [sys.executable, "-m", "reverie", "up", "--port", "0", str(tmp_path / "missing.db")],
        env=clean | {"REVERIE_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "missing.db: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
