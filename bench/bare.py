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
writes = sqlite3.connect(os.environ["BENCH_DB"], isolation_level=None, timeout=5)
for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
    writes.execute(f"PRAGMA {pragma}")
COLUMNS = ("id", "name", "sku", "in_stock", "unit_price", "added_on", "note")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM item"
encode = msgspec.json.Encoder().encode
encoded = msgspec.json.Decoder().decode


async def many(request: Request) -> Response:
    values = int(request.query_params["limit"]), int(request.query_params["offset"])
    rows = db.execute(f"{SELECT} ORDER BY id LIMIT ? OFFSET ?", values).fetchall()
    return Response(encode({"resource": [dict(zip(COLUMNS, row)) for row in rows]}), media_type="application/json")


async def one(request: Request) -> Response:
    row = db.execute(f"{SELECT} WHERE id = ?", (int(request.path_params["id"]),)).fetchone()
    return Response(encode(dict(zip(COLUMNS, row))), media_type="application/json")


async def create(request: Request) -> Response:
    record = encoded(await request.body())["resource"][0]
    values = [record[name] for name in ("name", "in_stock", "unit_price")]
    found = writes.execute("INSERT INTO made (name, in_stock, unit_price) VALUES (?, ?, ?) RETURNING id", values)
    return Response(encode({"resource": [{"id": found.fetchone()[0]}]}), media_type="application/json")


PATH = "/api/v2/bench/_table"
app = Starlette(
    routes=[
        Route(f"{PATH}/item", many),
        Route(f"{PATH}/item/{{id}}", one),
        Route(f"{PATH}/made", create, methods=["POST"]),
    ]
)
