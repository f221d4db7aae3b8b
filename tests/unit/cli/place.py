"""A store of its own with jobs in it, and the real commands run on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from reverie.app import open_desk
from reverie.config import Settings, read_settings
from reverie.jobs.desk import Desk
from reverie.jobs.queue import Draft
from reverie.jobs.settle import failed
from reverie.model import JSON, Job
from reverie.prepare import bring_up_to_date

T = TypeVar("T")
ERROR: JSON = {"type": "TypeError", "message": "out of tea", "line": 2, "excerpt": "  throw tea;", "output": ""}


def draft(name: str = "service:tea", **more: Any) -> Draft:
    return replace(Draft(kind="script.service", script="service:1", name=name, payload=b"x"), **more)


@dataclass
class Place:
    settings: Settings

    def run(self, *arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        """``reverie queue <arguments>``, which must end with *code*."""
        return self.reverie("queue", *arguments, code=code, **environ)

    def reverie(self, *arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("REVERIE_")}
        mine = {"REVERIE_DATA_DIR": str(self.settings.data_dir), "REVERIE_SECRET_KEY": "s" * 32}
        ran = subprocess.run(
            [sys.executable, "-m", "reverie", *arguments],
            env=clean | mine | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert ran.returncode == code, f"{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def at_desk(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        async def run() -> T:
            async with open_desk(self.settings) as desk:
                return await work(desk)

        return asyncio.run(run())

    def push(self, *drafts: Draft) -> list[Job]:
        async def work(desk: Desk) -> list[Job]:
            pushed = [await desk.queue.push(one) for one in drafts]
            return [job for job in pushed if job is not None]

        return self.at_desk(work)

    def fail(self, *drafts: Draft) -> list[Job]:
        """Jobs that have failed with `ERROR`."""

        async def work(desk: Desk) -> list[Job]:
            jobs: list[Job] = []
            for one in drafts:
                await desk.queue.push(one)
                [job] = await desk.queue.claim(worker="w")
                await desk.queue.settle(failed(job, ERROR))
                jobs.append(job)
            return jobs

        return self.at_desk(work)

    def job(self, job_id: str) -> Job:
        return self.at_desk(lambda desk: desk.queue.ledger.get(job_id))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    settings = read_settings({"REVERIE_DATA_DIR": str(tmp_path), "REVERIE_SECRET_KEY": "s" * 32})
    bring_up_to_date(settings)
    return Place(settings)
