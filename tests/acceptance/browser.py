"""A real Chromium without a window, told what to do over a pipe (its DevTools protocol)."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
JSONValue = Any


@dataclass
class Browser:
    """One tab.

    Attributes:
        complaints: what the page wrote to its console, refusals by its policy among it.
    """

    to: int
    back: int
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    _rest: bytes = b""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: JSONValue) -> JSONValue:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, told: JSONValue) -> None:
        if told.get("method") == "Log.entryAdded":
            self.complaints.append(told["params"]["entry"]["text"])
        elif told.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(told["params"]["exceptionDetails"]))

    def _receive(self, seconds: float = 30.0) -> JSONValue:
        deadline = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.back], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(self.back, 1 << 20) if ready else b""
            assert chunk, "the browser is silent"
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def open(self, address: str) -> None:
        """Begin anew there; returns before everything is loaded."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> JSONValue:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self) -> str:
        """What a person can read."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def wait_for(self, words: str, seconds: float = 30.0) -> None:
        """Until a person can read *words*."""
        deadline = time.monotonic() + seconds
        while words not in self.text():
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text()}\n{self.complaints}"
            time.sleep(0.05)

    def press(self, word: str) -> None:
        """The button that says *word*."""
        buttons = "[...document.querySelectorAll('button')]"
        self.evaluate(f"{buttons}.find((one) => one.checkVisibility() && one.innerText === {json.dumps(word)}).click()")

    def fill(self, name: str, text: str) -> None:
        self.evaluate(f"document.getElementById({json.dumps(name)}).value = {json.dumps(text)}")

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Be a window of that size, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in *folder*; a skip where there is none, in CI a failure."""
    if PROGRAM is None:
        assert not os.environ.get("CI"), "CI has a Chromium: scripts/services installs it"
        pytest.skip("no Chromium on this machine; scripts/services installs one")
    their_end, to = os.pipe()
    back, their_voice = os.pipe()
    # As root it runs only without a sandbox of its own; the pages are ours.
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    # The protocol's pipe is descriptors 3 and 4.
    start = f'exec "$0" "$@" 3<&{their_end} 4>&{their_voice}'
    profile = f"--user-data-dir={folder / 'profile'}"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", start, PROGRAM, *options, profile, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(their_end, their_voice),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(their_end)
    os.close(their_voice)
    browser = Browser(to, back)
    try:
        tab = browser.call("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            browser.call(f"{domain}.enable")
        yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        os.close(to)
        os.close(back)
