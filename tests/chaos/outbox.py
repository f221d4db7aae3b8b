"""Processes that write a record and its job in one transaction, and die on the way: the crash points of D24.

``python -m tests.chaos.outbox <json>`` forks one process after another. Each is killed before a statement of its
unit of work, after the commit, or at a random moment; those that came through print the record's name and the job's id.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

from reverie.database import Connection, Row, Value
from reverie.jobs.queue import Draft
from tests.chaos.places import Place

RECORD = "INSERT INTO script_value (script, name, value, expires_at) VALUES ({})"
POINTS = 6
"""Before each of up to 4 statements, after the commit, and at any moment."""


class Doomed:
    """A connection whose process dies before its statement number *dies_at*."""

    def __init__(self, connection: Connection, dies_at: int) -> None:
        self._connection = connection
        self._left = dies_at

    def _count(self) -> None:
        if self._left == 0:
            die()
        self._left -= 1

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        self._count()
        return await self._connection.fetch(sql, values)

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        self._count()
        return await self._connection.execute(sql, values)

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None:
        self._count()
        await self._connection.execute_many(sql, values)

    def columns(self) -> Sequence[str]:
        return self._connection.columns()

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._connection.savepoint()


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit


async def write_both(place: Place, name: str, dies_at: int) -> None:
    async with place.open() as queue:
        draft = Draft(kind="script.service", script="service:1", name=name, payload=b'{"seconds": 0.0}')
        job = queue.make(draft)
        marks = ("$1", "$2", "$3", "$4") if place.postgres else ("?",) * 4

        async def unit(connection: Connection) -> None:
            doomed = Doomed(connection, dies_at)
            await doomed.execute(RECORD.format(", ".join(marks)), ("chaos", name, job.id, 9e9))
            await queue.ledger.create(doomed, [job])

        await database_of(queue.ledger).write(unit)
        if dies_at == POINTS - 2:
            die()
        os.write(1, f"{name} {job.id}\n".encode())


def database_of(ledger: Any) -> Any:
    return ledger._database


def main(place: Place, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(count):
        point = chance.randrange(POINTS)
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(write_both(place, f"r{number}", point))
            finally:
                os._exit(0)
        if point == POINTS - 1:
            time.sleep(chance.uniform(0.0, 0.05))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(Place.from_text(given["place"]), given["count"], given["seed"])
