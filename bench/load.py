"""Drives a server with wrk, and reads what it says."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclass(frozen=True)
class Measured:
    """Requests a second, and milliseconds that half and 99 in 100 took at most."""

    rate: float
    p50: float
    p99: float
    errors: int


def drive(base: str, script: str, *, seconds: float, connections: int = 16) -> Measured:
    """Load *base* with the requests that a Lua *script* makes.

    Raises:
        RuntimeError: wrk said something that cannot be read.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script)
        lua.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", lua.name, base]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if rate is None:
        raise RuntimeError(said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Measured(float(rate[1]), _latency(said, "50"), _latency(said, "99"), int(bad[1]) if bad else 0)


def _latency(said: str, percent: str) -> float:
    found = re.search(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)\b", said)
    return float(found[1]) * UNITS[found[2]] if found else 0.0


def walk(path: str, key: str, *, most: int, step: int = 7919) -> str:
    """A wrk script whose requests differ: ``@`` in *path* is a number from 1 to *most* that jumps about."""
    return f"""
local n = 0
local headers = {{["X-DreamFactory-API-Key"] = "{key}"}}
request = function()
  n = n + 1
  return wrk.format("GET", (string.gsub("{path}", "@", (n * {step}) % {most} + 1)), headers)
end
"""


def post(path: str, key: str) -> str:
    return f"""
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["X-DreamFactory-API-Key"] = "{key}"
"""


def here(*parts: str) -> Path:
    return Path(__file__).parent.joinpath(*parts)
