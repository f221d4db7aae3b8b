"""The bare limit on PostgreSQL: one Starlette handler on asyncpg, with the codecs and the encoder that ours has."""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COLUMNS = ("id", "name", "sku", "in_stock", "unit_price", "added_on", "note")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM item"
encode = msgspec.json.Encoder().encode
pool: Any = None


async def many(request: Request) -> Response:
    values = int(request.query_params["limit"]), int(request.query_params["offset"])
    rows = await pool.fetch(f"{SELECT} ORDER BY id LIMIT $1 OFFSET $2", *values)
    return Response(encode({"resource": [dict(zip(COLUMNS, row)) for row in rows]}), media_type="application/json")


async def one(request: Request) -> Response:
    row = await pool.fetchrow(f"{SELECT} WHERE id = $1", int(request.path_params["id"]))
    return Response(encode(dict(zip(COLUMNS, row))), media_type="application/json")


async def create(request: Request) -> Response:
    record = msgspec.json.decode(await request.body())["resource"][0]
    values = [record[name] for name in ("name", "in_stock", "unit_price")]
    found = await pool.fetchval(
        "INSERT INTO made (name, in_stock, unit_price) VALUES ($1, $2, $3) RETURNING id", *values
    )
    return Response(encode({"resource": [{"id": found}]}), media_type="application/json")


async def prepare(connection: Any) -> None:
    await connection.set_type_codec("date", schema="pg_catalog", encoder=str, decoder=str, format="text")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    global pool
    # As many connections as ours has at most; asyncpg's reset after each use is a round trip that ours does not need.
    pool = await asyncpg.create_pool(
        os.environ["BENCH_DB"], min_size=8, max_size=8, init=prepare, reset=_nothing, server_settings={"jit": "off"}
    )
    yield
    await pool.close()


async def _nothing(connection: Any) -> None:
    return


PATH = "/api/v2/benchpg/_table"
app = Starlette(
    routes=[
        Route(f"{PATH}/item", many),
        Route(f"{PATH}/item/{{id}}", one),
        Route(f"{PATH}/made", create, methods=["POST"]),
    ],
    lifespan=lifespan,
)
