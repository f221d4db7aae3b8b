"""The bare limit on MariaDB: one Starlette handler on asyncmy, with the connections and the encoder that ours has."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reverie.mysql.address import Address
from reverie.mysql.pool import connect

COLUMNS = ("id", "name", "sku", "in_stock", "unit_price", "added_on", "note")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM item"
encode = msgspec.json.Encoder().encode
idle: "asyncio.LifoQueue[Any]" = asyncio.LifoQueue()


async def fetched(sql: str, values: tuple[object, ...]) -> Any:
    connection = await idle.get()
    try:
        cursor = connection.cursor()
        await cursor.execute(sql, values)
        return await cursor.fetchall() if cursor.description else cursor.lastrowid
    finally:
        idle.put_nowait(connection)


async def many(request: Request) -> Response:
    values = int(request.query_params["limit"]), int(request.query_params["offset"])
    rows = await fetched(f"{SELECT} ORDER BY id LIMIT %s OFFSET %s", values)
    return Response(encode({"resource": [dict(zip(COLUMNS, row)) for row in rows]}), media_type="application/json")


async def one(request: Request) -> Response:
    rows = await fetched(f"{SELECT} WHERE id = %s", (int(request.path_params["id"]),))
    return Response(encode(dict(zip(COLUMNS, rows[0]))), media_type="application/json")


async def create(request: Request) -> Response:
    record = msgspec.json.decode(await request.body())["resource"][0]
    values = tuple(record[name] for name in ("name", "in_stock", "unit_price"))
    found = await fetched("INSERT INTO made (name, in_stock, unit_price) VALUES (%s, %s, %s)", values)
    return Response(encode({"resource": [{"id": found}]}), media_type="application/json")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    address = Address.parse(os.environ["BENCH_DB"])
    opened = [await connect(address, lambda version: ()) for _ in range(8)]  # as many as ours has at most
    for connection in opened:
        idle.put_nowait(connection)
    yield
    for connection in opened:
        connection.close()


PATH = "/api/v2/benchmy/_table"
app = Starlette(
    routes=[
        Route(f"{PATH}/item", many),
        Route(f"{PATH}/item/{{id}}", one),
        Route(f"{PATH}/made", create, methods=["POST"]),
    ],
    lifespan=lifespan,
)
