"""What the database is asked for a read, how it goes about it, and what a role adds: for administrators."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import msgspec

from reverie.auth.access import allows, record_filters
from reverie.database import Connection, Row, Value
from reverie.errors import BadRequest, Forbidden, NotFound, ReverieError
from reverie.model import JSON, Context, Request, Response, Role, Verb, is_true
from reverie.services.sql.execute import Executor
from reverie.services.sql.limits import Limits
from reverie.services.sql.statements import Shape

HEADER: Final = "x-reverie-explain"
MOST: Final = 20
"""Statements that are explained; a read by many ids has more."""
_WHOSE: Final = (
    "The header X-Reverie-Explain is for administrators: it shows what is asked of the database. Leave it out."
)


@dataclass(frozen=True, slots=True)
class _Run:
    sql: str
    values: Sequence[Value]
    rows: int
    seconds: float


class _Traced(Executor):
    """An executor that remembers what it ran."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.database, executor.dialect)
        self.statements = executor.statements
        self.runs: list[_Run] = []

    async def fetch(self, connection: Connection, shape: Shape, values: Sequence[Value]) -> list[Row]:
        began = time.perf_counter()
        rows = await super().fetch(connection, shape, values)
        statement = self.statements.statement(shape)
        bound = statement.values(values)
        self.runs.append(_Run(statement.sql, tuple(bound), len(rows), time.perf_counter() - began))
        return rows


class Explainer:
    """Explains reads of one service.

    Args:
        read: answers a read by means of the executor that it is given.
        role: the role with that id.
    """

    def __init__(
        self,
        executor: Executor,
        read: Callable[[Executor, Request, Context], Awaitable[Response]],
        role: Callable[[int], Awaitable[Role | None]] | None,
        limits: Limits,
        *,
        service: str,
    ) -> None:
        self._executor = executor
        self._read = read
        self._role = role
        self._limits = limits
        self._service = service

    async def answer(self, request: Request, context: Context) -> Response:
        """The read is made for that, and what it answers is left out, but for its error.

        Raises:
            Forbidden: who asks is no administrator.
            BadRequest, NotFound: the header is neither ``true`` nor ``role=`` and the id of a role.
        """
        if not context.caller.is_admin:
            raise Forbidden(_WHOSE)
        role = await self._asked(request.headers[HEADER])
        caller = replace(context.caller, role=role, is_admin=role is None)
        context = replace(context, caller=caller, streams=False)
        traced = _Traced(self._executor)
        found: dict[str, JSON] = {"dialect": self._executor.dialect.name, "role": self._part(role, request, context)}
        if role is None or self._may(role, request, context):
            try:
                await self._read(traced, request, context)
            except ReverieError as error:
                found["error"] = error.entry()
        found["statements"] = await self._explained(traced.runs)
        return Response(content={"explain": found})

    async def _asked(self, header: str) -> Role | None:
        name, _, number = header.strip().partition("=")
        if name.strip().lower() != "role":
            return None
        if not number.strip().isdecimal() or self._role is None:
            raise BadRequest("The header X-Reverie-Explain is 'true', or 'role=' and the id of a role.")
        role = await self._role(int(number[:18]))
        if role is None:
            raise NotFound(f"There is no role with the id {number.strip()}.")
        return role

    def _may(self, role: Role, request: Request, context: Context) -> bool:
        return allows(role, self._service, request.resource, int(Verb.GET), int(context.requestor))

    def _part(self, role: Role | None, request: Request, context: Context) -> JSON:
        """What the role has to do with it; its conditions are among the values of the statements."""
        if role is None:
            return None
        limit = self._limits.of(role)
        table = request.resource.partition("/")[2].partition("/")[0]
        filters = record_filters(role, self._service, table, request.resource, int(Verb.GET), int(context.requestor))
        return {
            "id": role.id,
            "name": role.name,
            "allowed": role.is_active and self._may(role, request, context),
            "conditions": [{"filters": [dict(one) for one in some], "filter_op": word} for some, word in filters],
            "max_records": limit.max_records,
            "max_seconds": limit.max_seconds,
        }

    async def _explained(self, runs: Sequence[_Run]) -> list[JSON]:
        plans: dict[str, JSON] = {}
        found: list[JSON] = []
        for run in runs[:MOST]:
            if run.sql not in plans:
                plans[run.sql] = await self._plan(run)
            found.append(
                {
                    "sql": run.sql,
                    "values": [_shown(value) for value in run.values],
                    "rows": run.rows,
                    "milliseconds": round(run.seconds * 1000, 3),
                    "plan": plans[run.sql],
                }
            )
        return found

    async def _plan(self, run: _Run) -> JSON:
        sql = self._executor.dialect.explain + run.sql

        async def work(connection: Connection) -> tuple[list[Row], Sequence[str]]:
            rows = await connection.fetch(sql, run.values)
            return rows, connection.columns()

        rows, columns = await self._executor.read(work, "")
        if len(columns) == 1 and len(rows) == 1:
            return cast("JSON", msgspec.json.decode(str(rows[0][0])))
        named: list[Mapping[str, JSON]] = [
            {name: _shown(value) for name, value in zip(columns, row, strict=True)} for row in rows
        ]
        return [dict(one) for one in named]


def asks(request: Request) -> bool:
    """Whether an explanation is wanted instead of an answer."""
    header = request.headers[HEADER]
    return is_true(header) or "=" in header


def _shown(value: Value) -> JSON:
    return f"{len(value)} bytes" if isinstance(value, bytes) else value
