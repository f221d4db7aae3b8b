"""What a fork for each run allows at most: a warm parent as large as ours forks, the child ends at once, and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from bench.contest import Skip
from reverie.scripting.engines import php
from reverie.scripting.program import RUNNERS

SECONDS = 1.0
_PYTHON3 = f"""
import json, os, sys, time
names = {{}}
exec(open({str(RUNNERS / "prepare.py")!r}).read(), names)
names["prepare"](False)
import gc
gc.collect()
gc.freeze()
count, began = 0, time.perf_counter()
while time.perf_counter() < began + {SECONDS}:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    count += 1
print(json.dumps(count / (time.perf_counter() - began)))
"""
_PHP = f"""
$libc = FFI::cdef('void _exit(int);');
$count = 0; $began = microtime(true);
while (microtime(true) < $began + {SECONDS}) {{
    $child = pcntl_fork();
    if ($child === 0) {{ $libc->_exit(0); }}
    pcntl_waitpid($child, $status);
    $count++;
}}
echo json_encode($count / (microtime(true) - $began));
"""


def forks_per_second(language: str) -> float:
    """Of one such parent for each processor, side by side."""
    path = php.binary()
    if language == "php" and path is None:
        raise Skip("php is not installed")
    command = [path or "", "-d", "ffi.enable=1", "-r", _PHP]
    if language == "python3":
        command = [sys.executable, "-I", "-S", "-c", _PYTHON3]
    with ThreadPoolExecutor() as threads:
        return sum(threads.map(_told, [command] * (os.cpu_count() or 1)))


def _told(command: list[str]) -> float:
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return float(json.loads(said))
