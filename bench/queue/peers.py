"""Other queues in the same run, from their packages; what each is told stands in bench/peers/.

Each runs in a process of its own, discards a warm-up, adds a byte to a file in every job and prints its figures. What
is not installed on the machine goes into a cache folder outside the repository.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.contest import Contestant, Figures, Skip, told
from bench.queue.servers import Running

HERE = Path(__file__).parent.parent / "peers"
PYTHON_PACKAGES = ("procrastinate>=3.10,<4", "psycopg[binary]", "huey>=3.5,<4", "rq>=3,<4")
NODE_PACKAGES = ("graphile-worker@0.17",)


class Cache:
    """Where peers are installed; each kind once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cache  # noqa: B019 - one for each run
    def python(self) -> str:
        """An interpreter that has the peers written in Python."""
        program = self._folder / "python" / "bin" / "python"
        if not program.exists():
            _install([sys.executable, "-m", "venv", str(self._folder / "python")])
            _install([str(program), "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES])
        return str(program)

    @functools.cache  # noqa: B019 - one for each run
    def node(self) -> Path:
        """The node_modules that have the peers written for Node."""
        if shutil.which("npm") is None:
            raise Skip("npm is not installed")
        folder = self._folder / "node"
        if not (folder / "node_modules" / "graphile-worker").exists():
            folder.mkdir(parents=True, exist_ok=True)
            _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *NODE_PACKAGES])
        return folder / "node_modules"


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise Skip(f"could not be installed: {' '.join(done.stderr.split())[-200:]}")


def _peer(name: str, how: str, jobs: int, run: Callable[[Path, Path], Figures]) -> Contestant:
    """A peer whose *run* gets its folder and the file for effects; the file's size must tell as many runs as jobs."""

    def measure(folder: Path) -> Figures:
        effects = folder / "effects"
        figures = dict(run(folder, effects))
        figures.pop("ran", None)
        size = effects.stat().st_size
        if size < jobs:
            raise RuntimeError(f"{jobs} jobs, {size} effects")
        return figures

    return Contestant(name, measure, how)


def laravel(store: str, script: str, jobs: int, payload: int, servers: Running) -> Contestant:
    def run(folder: Path, effects: Path) -> Figures:
        if shutil.which("php") is None or not Path("/usr/share/php/Illuminate/Queue").exists():
            raise Skip("php-laravel-framework is not installed")
        if store == "redis" and servers.redis is None:
            raise Skip("there is no Redis")
        (folder / "queue.sqlite").touch()
        where = f"sqlite:{folder / 'queue.sqlite'}" if store == "sqlite" else f"redis:{servers.redis}"
        environment = {"BENCH_STORE": where, "BENCH_EFFECTS": str(effects)}
        command = ["php", str(HERE / "laravel" / f"{script}.php"), str(jobs), str(payload)]
        return told(command, environment=environment)

    how = {
        "sqlite": "Debian's 8.83, WAL, FULL, one process, no application around it",
        "redis": "Debian's 8.83, phpredis, AOF everysec, no application around it",
    }
    return _peer(f"Laravel queue:{script} on {store}", how[store], jobs, run)


def procrastinate(concurrency: int, jobs: int, payload: int, servers: Running, cache: Cache) -> Contestant:
    def run(folder: Path, effects: Path) -> Figures:
        if servers.postgresql is None:
            raise Skip("there is no PostgreSQL")
        with servers.database() as url:
            words = [url, str(jobs), str(payload), str(concurrency), str(effects)]
            return told([cache.python(), str(HERE / "procrastinate" / "burn.py"), *words])

    return _peer(f"procrastinate, concurrency {concurrency}", "PyPI, psycopg binary, sync commit", jobs, run)


def graphile(mode: str, jobs: int, payload: int, servers: Running, cache: Cache) -> Contestant:
    def run(folder: Path, effects: Path) -> Figures:
        if servers.postgresql is None:
            raise Skip("there is no PostgreSQL")
        with servers.database() as url:
            words = [url, str(jobs), str(payload), mode, "24", str(effects)]
            environment = {"NODE_PATH": str(cache.node()), "NO_LOG_SUCCESS": "1"}
            return told(["node", str(HERE / "graphile" / "burn.cjs"), *words], environment=environment)

    how = "npm 0.17, concurrency 24, sync commit" + (", localQueue 500, batched ends" if mode == "batched" else "")
    return _peer(f"graphile-worker {mode}", how, jobs, run)


def huey(jobs: int, payload: int, cache: Cache) -> Contestant:
    def run(folder: Path, effects: Path) -> Figures:
        words = [str(folder / "huey.db"), str(jobs), str(payload), str(effects)]
        return told([cache.python(), str(HERE / "huey" / "burn.py"), *words])

    return _peer("huey on SQLite", "PyPI, fsync on; taking a job removes it: a killed worker loses it", jobs, run)


def rq(kind: str, jobs: int, payload: int, servers: Running, cache: Cache) -> Contestant:
    def run(folder: Path, effects: Path) -> Figures:
        if servers.redis is None:
            raise Skip("there is no Redis")
        words = [str(servers.redis), str(jobs), str(payload), kind]
        environment = {"BENCH_EFFECTS": str(effects)}
        return told([cache.python(), str(HERE / "rq" / "burn.py"), *words], environment=environment)

    return _peer(f"rq, {'SimpleWorker' if kind == 'simple' else 'Worker'}", "PyPI, AOF everysec", jobs, run)
