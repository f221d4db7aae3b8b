"""What only MySQL and MariaDB have: their types on the wire, writes without RETURNING, and a server that goes away."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reverie.database import Connection, DatabaseBusy, DatabaseError, TooSlow
from reverie.errors import Unavailable
from reverie.model import JSON
from reverie.mysql.database import MysqlDatabase
from tests.contract.sql_stage import Db, Opener, items, resources, role
from tests.mysql_server import MysqlServer, mysql_server, sample_for_mysql, shared_mysql

pytestmark = pytest.mark.anyio

OLD = "2001-01-01 00:00:00"
KINDS = """CREATE TABLE kinds (id INT AUTO_INCREMENT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, small SMALLINT,
  bits BIT(10), y YEAR, f FLOAT, d DOUBLE, n DECIMAL(20,4), b VARBINARY(20), raw BLOB, t TIME(3), dt DATETIME(6),
  ts TIMESTAMP NULL, day DATE, e ENUM('calm','cross'), s SET('a','b'), j JSON, u UUID, yes TINYINT(1), c CHAR(5),
  long_text LONGTEXT, twice INT AS (tiny * 2) STORED)"""
VALUES: dict[str, JSON] = {
    "big": 18446744073709551615, "tiny": -128, "small": 32767, "bits": 1023, "y": 2024, "f": 1.5, "d": 1e100,
    "n": 6.5, "b": "AP8n", "raw": "aGVsbG8=", "t": "10:30:00.250", "dt": "2024-01-10 09:30:00.000001",
    "ts": "2024-01-10 09:30:00", "day": "2024-02-29", "e": "calm", "s": "a,b", "j": '{"a":[1]}',
    "u": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "yes": True, "c": "ab",
    "long_text": "\\ ' \" % %s \0 \u2028 \U0001f41f",
}  # fmt: skip


@pytest.fixture
async def open_db(tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener("mysql", tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    made = open_db()
    made.run(KINDS)
    return made


async def test_every_type_comes_back_as_it_was_sent(db: Db) -> None:
    created = await db.ask("POST", "_table/kinds", {"resource": [VALUES]}, fields="*")

    assert resources(created)[0] == {**VALUES, "id": 1, "twice": -256}
    assert await db.ids("_table/kinds", filter="long_text = :x", params={":x": VALUES["long_text"]}) == [1]
    assert await db.ids("_table/kinds", filter="(big > 18446744073709551614) and (yes = true)") == [1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("big", -1), ("big", 2**64), ("tiny", 200), ("small", 1e6), ("y", 99999), ("n", 1e20), ("b", "%%"),
        ("b", "A" * 40), ("t", "25:61"), ("dt", "2024-13-01"), ("day", "2023-02-29"), ("e", "merry"), ("s", "c"),
        ("u", "no"), ("c", "too long"), ("j", "{"),
    ],
)  # fmt: skip
async def test_a_value_that_does_not_fit_is_the_clients_mistake(db: Db, field: str, value: JSON) -> None:
    await db.ask("POST", "_table/kinds", {"resource": [VALUES]})

    refused = await db.refused("PATCH", "_table/kinds/1", {field: value})

    assert refused.status == 400
    assert field in refused.message
    assert f"'{value}'" not in refused.message


async def test_columns_are_described_with_their_types(db: Db) -> None:
    table = await db.get("_schema/kinds")
    fields = {str(one["name"]): one for one in cast("list[dict[str, JSON]]", cast("dict[str, JSON]", table)["field"])}

    assert {name: one["type"] for name, one in fields.items()} == {
        "id": "id", "big": "bigint", "tiny": "integer", "small": "smallint", "bits": "integer", "y": "integer",
        "f": "float", "d": "double", "n": "decimal", "b": "binary", "raw": "binary", "t": "time", "dt": "datetime",
        "ts": "timestamp", "day": "date", "e": "string", "s": "string", "j": "json", "u": "uuid", "yes": "boolean",
        "c": "string", "long_text": "text", "twice": "integer",
    }  # fmt: skip
    assert (fields["id"]["db_type"], fields["id"]["length"], fields["id"]["auto_increment"]) == ("int(11)", 11, True)
    assert (fields["n"]["precision"], fields["n"]["scale"]) == (20, 4)
    assert (fields["c"]["fixed_length"], fields["c"]["length"]) == (True, 5)


async def test_every_abstract_type_can_be_created(open_db: Opener) -> None:
    db = open_db()
    kinds = {
        "a": "string", "b": "text", "c": "integer", "d": "smallint", "e": "bigint", "f": "boolean", "g": "decimal",
        "h": "float", "i": "double", "j": "money", "k": "date", "l": "time", "m": "datetime", "n": "timestamp",
        "o": "timestamp_on_create", "q": "user_id", "r": "binary", "s": "uuid", "t": "json", "u": "varchar(7)",
    }  # fmt: skip
    fields: list[JSON] = [{"name": "id", "type": "id"}]
    fields += [{"name": name, "type": kind, "allow_null": True} for name, kind in kinds.items()]
    fields += [
        {"name": "back", "type": "string", "default": "\\' OR 100% ''"},
        {"name": "ref", "type": "reference", "ref_table": "tag", "ref_field": "id", "allow_null": True},
    ]
    await db.ask("POST", "_schema", {"resource": [{"name": "all 100% `odd`", "field": fields}]})
    added: JSON = {"resource": [{"name": "later", "type": "reference", "ref_table": "tag", "ref_field": "id",
                                 "allow_null": True, "ref_on_delete": "CASCADE"}]}  # fmt: skip
    await db.ask("POST", "_schema/all 100% `odd`/_field", added)

    made = await db.ask("POST", "_table/all 100% `odd`", {"resource": [{"a": "x", "later": 1}]}, fields="back,later")
    relations = {str(one["name"]) for one in resources(await db.get("_schema/tag/_related"))}
    await db.ask("DELETE", "_schema/all 100% `odd`/_field/later")

    assert resources(made) == [{"back": "\\' OR 100% ''", "later": 1}]
    assert {"all 100% `odd`_by_ref", "all 100% `odd`_by_later"} <= relations
    assert (await db.refused("GET", "_schema/all 100% `odd`/_field/later")).status == 404
    assert await db.ask("DELETE", "_schema/all 100% `odd`") == {"success": True}


async def test_a_timestamp_on_update_is_set_by_the_database(open_db: Opener) -> None:
    db = open_db()
    fields: list[JSON] = [
        {"name": "id", "type": "id"}, {"name": "label", "type": "string"},
        {"name": "made", "type": "timestamp_on_create"}, {"name": "changed", "type": "timestamp_on_update"},
    ]  # fmt: skip
    await db.ask("POST", "_schema", {"resource": [{"name": "stamped", "field": fields}]})
    await db.ask("POST", "_table/stamped", {"resource": [{"label": "x", "made": OLD, "changed": OLD}]})

    after = await db.ask("PATCH", "_table/stamped/1", {"label": "y"}, fields="made,changed")

    assert isinstance(after, dict)
    assert after["made"] == OLD
    assert str(after["changed"]) > OLD


async def test_a_role_cannot_change_what_another_field_names_but_it_does_not_see(open_db: Opener) -> None:
    """By a field that is not the key several rows may be meant, of which the role sees some."""
    db = open_db()
    seen = role(("_table/product/*", 31, [{"name": "in_stock", "operator": ">", "value": 50}]))

    changed = await db.ask(
        "PATCH", "_table/product/4", {"name": "x"}, {"id_field": "category_id", "fields": "id"}, caller=seen
    )

    assert changed == {"id": 2}
    assert await db.ids("_table/product", filter="name = x") == [2]
    refused = await db.refused("PATCH", "_table/product", {"resource": [{"in_stock": 1}]}, caller=seen, filter="id > 0")
    assert refused.status == 403
    assert await db.ids("_table/product", filter="in_stock = 1") == [10]


async def test_rows_without_a_key_and_with_keys_that_the_database_makes(db: Db) -> None:
    db.run(
        "CREATE TABLE made (id CHAR(36) DEFAULT (uuid()) PRIMARY KEY, label VARCHAR(20))",
        "CREATE TABLE counted (number INT AUTO_INCREMENT UNIQUE, label VARCHAR(20))",
    )

    event: JSON = {"resource": [{"sku": "X", "delta": 5}]}
    assert await db.ask("POST", "_table/stock_event", event, fields="*") == {
        "resource": [{"sku": "X", "delta": 5, "noted_at": None}]
    }
    made = resources(await db.ask("POST", "_table/made", {"resource": [{"label": "x"}]}))[0]
    assert len(str(made["id"])) == 36
    counted = await db.ask("POST", "_table/counted", {"resource": [{"label": "y"}]}, fields="number")
    assert counted == {"resource": [{"number": 1}]}
    again = await db.ask("POST", "_table/counted", {"resource": [{"label": "y"}]}, fields="number")
    assert again == {"resource": [{"number": 2}]}
    assert await db.ask("POST", "_table/tag", {"resource": [{"id": 0, "label": "none"}]}) == {"resource": [{"id": 0}]}


async def test_what_the_server_warns_of_is_not_logged(db: Db, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await db.ids("_table/kinds", filter="dt > '99 bottles'")
        await db.get("_table/kinds", filter="d = 0", fields="AVG(d)", group="e")

    assert "99 bottles" not in caplog.text


async def test_only_one_statement_is_taken_at_a_time(db: Db) -> None:
    async def two(connection: Connection) -> None:
        await connection.execute("SELECT 1; DELETE FROM tag")

    with pytest.raises(DatabaseError):
        await db.database.write(two)
    assert await db.get("_table/tag", count_only="true") == 3


async def test_units_that_write_run_side_by_side_and_wait_only_so_long(db: Db) -> None:
    inside, done = asyncio.Event(), asyncio.Event()

    async def first(connection: Connection) -> None:
        await connection.execute("UPDATE tag SET label = 'a' WHERE id = 1")
        inside.set()
        await done.wait()

    slow = asyncio.create_task(db.database.write(first))
    await inside.wait()
    await db.ask("PATCH", "_table/tag/2", {"label": "b"})
    busy = await db.refused("PATCH", "_table/tag/1", {"label": "c"})
    done.set()
    await slow

    assert isinstance(busy, Unavailable)
    assert resources(await db.get("_table/tag", order="id", limit="2")) == [
        {"id": 1, "label": "a"}, {"id": 2, "label": "b"},
    ]  # fmt: skip


async def test_of_two_that_wait_for_each_other_one_is_told_to_try_again(db: Db) -> None:
    met = [asyncio.Event(), asyncio.Event()]

    async def change(mine: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute("UPDATE tag SET label = 'x' WHERE id = %s", (mine + 1,))
            met[mine].set()
            await met[1 - mine].wait()
            async with connection.savepoint():
                await connection.execute("UPDATE tag SET label = 'y' WHERE id = %s", (2 - mine,))

        await db.database.write(work)

    outcome = await asyncio.gather(change(0), change(1), return_exceptions=True)

    assert [type(one) for one in outcome if one is not None] == [DatabaseBusy]
    await db.ask("PATCH", "_table/tag/1", {"label": "z"})


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(open_db: Opener) -> None:
    db = open_db(statement_timeout=1)
    db.run("CREATE VIEW slow AS SELECT id, SLEEP(20) AS s FROM tag")
    began = time.monotonic()

    refused = await db.refused("GET", "_table/slow", fields="s")

    assert isinstance(refused, Unavailable)
    assert "too long" in refused.message
    assert time.monotonic() - began < 10


async def test_a_read_may_be_given_less_time_than_the_others(db: Db) -> None:
    async def sleep(connection: Connection) -> None:
        await connection.fetch("SELECT id, SLEEP(5) FROM tag")

    async def limit(connection: Connection) -> str:
        return str((await connection.fetch("SELECT @@max_statement_time"))[0][0])

    before = await db.database.read(limit)
    mysql = cast("MysqlDatabase", db.database)
    with pytest.raises(TooSlow):
        await mysql.read(sleep, within=0.2)

    assert await db.database.read(limit) == before


async def test_rows_come_in_parts_as_they_were_at_the_beginning(db: Db) -> None:
    mysql = cast("MysqlDatabase", db.database)
    sql = "SELECT a.seq FROM seq_1_to_5000 a WHERE a.seq > %s"
    async with aclosing(mysql.stream(sql, (10,), size=1000)) as parts:
        sizes = [len(rows) async for rows in parts]
    async with aclosing(mysql.stream(sql, (10,), size=1000)) as left_early:
        await anext(left_early)
    with pytest.raises(DatabaseError):
        async for _ in mysql.stream("SELECT nonsense", size=10):
            pass

    assert sizes == [1000, 1000, 1000, 1000, 990]
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}


async def test_the_server_too_is_told_that_a_service_only_reads(open_db: Opener) -> None:
    db = open_db(read_only=True)
    assert (await db.refused("POST", "_table/tag", {"label": "x"})).status == 403

    async def sly(connection: Connection) -> None:
        await connection.execute("UPDATE tag SET label = 'a'")

    for unit in (db.database.write, db.database.read):
        with pytest.raises(DatabaseError, match="READ ONLY"):
            await unit(sly)


async def test_the_time_zone_of_the_session_can_be_set(open_db: Opener) -> None:
    open_db().run("CREATE TABLE moments (id INT PRIMARY KEY, at TIMESTAMP NULL)")
    there, here = open_db(options={"timezone": "+05:00"}), open_db(options={"timezone": "+00:00"})

    await there.ask("POST", "_table/moments", {"resource": [{"id": 1, "at": "2024-01-10 09:30:00"}]})

    assert await here.get("_table/moments/1", fields="at") == {"at": "2024-01-10 04:30:00"}


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ({"port": 1}, "Nothing answers"),
        ({"host": "nowhere.invalid"}, "Nothing answers"),
        ({"database": "s0_nowhere"}, "no database of that name"),
        ({"password": "wrong"}, "did not let the user in"),
        ({"username": "nobody_here"}, "did not let the user in"),
    ],
)
async def test_a_database_that_cannot_be_reached_says_why(open_db: Opener, config: dict[str, JSON], cause: str) -> None:
    db = open_db(**config)
    began = time.monotonic()

    refused = await db.refused("GET", "_table")

    assert isinstance(refused, Unavailable)
    assert cause in refused.message
    assert refused.headers["Retry-After"]
    assert time.monotonic() - began < 8


async def test_connections_that_were_ended_are_replaced_unseen(db: Db) -> None:
    await db.get("_table/tag/1")
    assert shared_mysql().kill_connections(str(db.record.config["database"]))

    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}
    shared_mysql().kill_connections(str(db.record.config["database"]))
    assert await db.ask("PATCH", "_table/tag/1", {"label": "x"}) == {"id": 1}


@pytest.fixture(scope="module")
def own_server() -> Iterator[MysqlServer]:
    """A server that can be stopped, and that speaks TLS with a certificate that nobody knows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file, text in certificate().items():
            (folder / file).write_bytes(text)
        with mysql_server(f"--ssl-cert={folder / 'cert'}", f"--ssl-key={folder / 'key'}") as server:
            server.ask(f"CREATE DATABASE s_own; USE s_own; {sample_for_mysql()}")
            yield server


def certificate() -> dict[str, bytes]:
    """A key, and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db.example.com")])
    now = datetime.now(tz=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"cert": made.sign(key, hashes.SHA256()).public_bytes(pem), "key": private}


@pytest.mark.parametrize(("mode", "cipher"), [("disabled", False), ("required", True)])
async def test_the_connection_is_encrypted_where_the_options_ask_for_it(
    own_server: MysqlServer, open_db: Opener, mode: str, cipher: bool
) -> None:
    db = open_db(port=own_server.port, database="s_own", options={"ssl_mode": mode})

    async def ask(connection: Connection) -> str:
        return str((await connection.fetch("SHOW STATUS LIKE 'Ssl_cipher'"))[0][1])

    assert bool(await db.database.read(ask)) == cipher
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}


async def test_a_certificate_that_nobody_vouches_for_is_refused(own_server: MysqlServer, open_db: Opener) -> None:
    db = open_db(port=own_server.port, database="s_own", options={"ssl_mode": "verify_identity"})

    refused = await db.refused("GET", "_table")

    assert isinstance(refused, Unavailable)
    assert "certificate" in refused.message


async def test_a_server_that_goes_and_comes_back_is_used_again(own_server: MysqlServer, open_db: Opener) -> None:
    db = open_db(port=own_server.port, database="s_own")
    assert len(items(await db.get("_table"))) == 12

    own_server.stop()
    began = time.monotonic()
    away = await db.refused("GET", "_table/tag/1")
    assert time.monotonic() - began < 4
    own_server.start()

    assert isinstance(away, Unavailable)
    assert await db.get("_table/tag/1") == {"id": 1, "label": "organic"}
