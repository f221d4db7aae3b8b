"""The bare limit: one Starlette handler on the same driver, settings, encoder and server, answering the same bytes."""

import os

import msgspec
import pysqlite3.dbapi2 as sqlite3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

db = sqlite3.connect(os.environ["BENCH_DB"], isolation_level=None, cached_statements=512)
for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16384", "query_only=ON"):
    db.execute(f"PRAGMA {pragma}")
COLUMNS = ("id", "name", "sku", "in_stock", "unit_price", "added_on", "note")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM item"
encode = msgspec.json.Encoder().encode


async def many(request: Request) -> Response:
    values = int(request.query_params["limit"]), int(request.query_params["offset"])
    rows = db.execute(f"{SELECT} ORDER BY id LIMIT ? OFFSET ?", values).fetchall()
    return Response(encode({"resource": [dict(zip(COLUMNS, row)) for row in rows]}), media_type="application/json")


async def one(request: Request) -> Response:
    row = db.execute(f"{SELECT} WHERE id = ?", (int(request.path_params["id"]),)).fetchone()
    return Response(encode(dict(zip(COLUMNS, row))), media_type="application/json")


app = Starlette(routes=[Route("/api/v2/bench/_table/item", many), Route("/api/v2/bench/_table/item/{id}", one)])
