"""What a PostgreSQL service is set to: where its database is, and what is refused."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.dialects.postgresql.settings import address_of, server_settings
from reverie.services.sql.timeouts import timeout_of
from reverie.store.records import ServiceRecord

PLACE: dict[str, JSON] = {"host": "db.example.com", "database": "shop", "username": "api", "password": "a/b@c:1"}


def record(**config: JSON) -> ServiceRecord:
    return ServiceRecord(
        id=1, name="shop", label="", description=None, is_active=True, type="pgsql", mutable=True, deletable=True,
        version=1, config=config,
    )  # fmt: skip


def test_settings_and_options_become_an_address_without_a_visible_password() -> None:
    address = address_of(record(**PLACE, port="5433", options={"sslmode": "require", "pooler": "transaction"}))

    assert address.dsn == "postgresql://api:a%2Fb%40c%3A1@db.example.com:5433/shop?sslmode=require"
    assert address.pooled
    assert "a%2Fb" not in repr(address)
    assert address_of(record(url="postgres://api@[::1]:1/x?sslmode=disable")).dsn == (
        "postgresql://api@[::1]:1/x?sslmode=disable"
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "host"),
        ({"host": "h", "database": "d"}, "username"),
        ({**PLACE, "port": 70000}, "port"),
        ({**PLACE, "host": "h/../etc"}, "host"),
        ({**PLACE, "host": "a,b"}, "host"),
        ({**PLACE, "database": ["x"]}, "database"),
        ({**PLACE, "options": {"sslkey": "/etc/key"}}, "sslkey"),
        ({**PLACE, "options": "x"}, "options"),
        ({"url": "postgresql://api@h/d?passfile=/etc/passwd"}, "passfile"),
        ({"url": "mysql://api:hidden@h/d"}, "postgresql://"),
        ({"url": "postgresql://api:hidden@h"}, "name of the database"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_without_the_password(config: dict[str, JSON], named: str) -> None:
    with pytest.raises(BadRequest) as refused:
        address_of(record(**config))

    assert named in refused.value.message
    assert "hidden" not in refused.value.message
    assert "a/b@c" not in refused.value.message


def test_connections_are_told_the_schema_the_time_limit_and_whether_they_only_read() -> None:
    settings = server_settings(record(**PLACE, schema='odd "one"', statement_timeout="5", read_only=True))

    assert settings["search_path"] == '"odd ""one"""'
    assert settings["statement_timeout"] == "5s"
    assert settings["default_transaction_read_only"] == "on"
    assert timeout_of(record(**PLACE)) == 30
    with pytest.raises(BadRequest, match="statement_timeout"):
        timeout_of(record(**PLACE, statement_timeout=-1))
