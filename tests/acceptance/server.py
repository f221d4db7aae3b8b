"""`reverie up` as a user starts it: a real process on a free port, with a data folder of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADMIN = ("admin@example.test", "Harbour-Pantry-16-letters")
START_SECONDS = 40.0
JSONValue = Any


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> JSONValue:
        return json.loads(self.body)


@dataclass
class Server:
    """A running `reverie up`.

    Attributes:
        key: API key of an app whose role may do everything with `db`.
        admin: session token of the administrator.
    """

    data: Path
    port: int
    environment: dict[str, str]
    arguments: tuple[str, ...] = ("up",)
    process: subprocess.Popen[bytes] | None = None
    key: str = ""
    admin: str = ""
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.data.parent / f"{self.data.name}.log"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reverie", *self.arguments],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        if wait:
            self.wait_until_ready()
            found = re.search(r"REVERIE_KEY=(\S+) REVERIE_ADMIN=(\S+)", self.output())
            if found:
                self.key, self.admin = found[1], found[2]

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.call("GET", "/ready").status == 200
            return False

        wait_for(ready, seconds, lambda: f"not ready:\n{self.output()}", pause=0.05)

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def call(
        self, method: str, path: str, body: JSONValue = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; a dict or list goes out as JSON, bytes as they are."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        send = {"Accept": "application/json", **({"Content-Type": "application/json"} if data is not None else {})}
        send |= dict(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            quoted = urllib.parse.quote(path, safe="!$&'()*+,/:;=?@%[]-._~|{}")
            connection.request(method, quoted, data, send)
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, got, response.read())
        finally:
            connection.close()

    def as_admin(self, method: str, path: str, body: JSONValue = None, **headers: str) -> Answer:
        return self.call(method, path, body, headers={"X-DreamFactory-Session-Token": self.admin, **_names(headers)})

    def as_key(self, method: str, path: str, body: JSONValue = None, **headers: str) -> Answer:
        return self.call(method, path, body, headers={"X-DreamFactory-API-Key": self.key, **_names(headers)})

    def log_in(self) -> None:
        email, password = ADMIN
        answer = self.call("POST", "/api/v2/system/admin/session", {"email": email, "password": password})
        assert answer.status == 200, answer.body
        self.admin = answer.json["session_token"]

    def job(self, job_id: str) -> JSONValue:
        answer = self.as_admin("GET", f"/api/v2/system/job/{job_id}")
        assert answer.status == 200, answer.body
        return answer.json

    def wait_for_job(self, job_id: str, status: str = "done", seconds: float = 30.0) -> JSONValue:
        wait_for(lambda: self.job(job_id)["status"] == status, seconds, lambda: f"{self.job(job_id)}")
        return self.job(job_id)

    def stop(self, seconds: float = 40.0) -> int:
        """SIGTERM, as a process manager does."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill_group(self) -> None:
        """SIGKILL of the whole process group."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def wait_for(
    happened: Callable[[], bool], seconds: float, otherwise: Callable[[], str] = lambda: "", *, pause: float = 0.02
) -> None:
    """Look again and again until it happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s; {otherwise()}")
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(data: Path, port: int, **settings: str) -> dict[str, str]:
    """The environment of a server: nothing of Reverie's that the tests' own environment holds."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REVERIE_", "DF_"))}
    email, password = ADMIN
    return clean | {
        "REVERIE_DATA_DIR": str(data),
        "REVERIE_HOST": "127.0.0.1",
        "REVERIE_PORT": str(port),
        "REVERIE_DEMO": "1",
        "REVERIE_ADMIN_EMAIL": email,
        "REVERIE_ADMIN_PASSWORD": password,
        **settings,
    }


@contextlib.contextmanager
def running(data: Path, *arguments: str, **settings: str) -> Iterator[Server]:
    """`reverie up` with the sample as `db`; everything is ended and gone afterwards."""
    port = free_port()
    server = Server(data, port, environment(data, port, **settings), ("up", *arguments))
    server.start()
    if not server.admin:
        server.log_in()
    try:
        yield server
    finally:
        server.kill_group()
