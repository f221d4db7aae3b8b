"""What a MySQL service is set to: where its database is, and what is refused."""

from __future__ import annotations

import ssl

import pytest

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.dialects.mysql.settings import address_of, session_of
from reverie.services.sql.timeouts import timeout_of
from reverie.store.records import ServiceRecord

PLACE: dict[str, JSON] = {"host": "db.example.com", "database": "shop", "username": "api", "password": "a/b@c:1"}


def record(**config: JSON) -> ServiceRecord:
    return ServiceRecord(
        id=1, name="shop", label="", description=None, is_active=True, type="mysql", mutable=True, deletable=True,
        version=1, config=config,
    )  # fmt: skip


def test_settings_or_a_url_become_an_address_without_a_visible_password() -> None:
    parts = address_of(record(**PLACE, port="3307", options={"ssl_mode": "required", "timezone": "+01:00"}))
    url = address_of(
        record(url="mariadb://api:a%2Fb%40c%3A1@db.example.com:3307/shop?ssl-mode=REQUIRED&timezone=%2B01:00")
    )

    assert parts == url
    assert (parts.host, parts.port, parts.database, parts.user, parts.password) == (
        "db.example.com", 3307, "shop", "api", "a/b@c:1",
    )  # fmt: skip
    assert "a/b@c" not in repr(parts) + str(parts)
    assert address_of(record(url="mysql://api@[::1]/x")).host == "::1"
    assert address_of(record(**PLACE, schema="shop")) == address_of(record(**PLACE))


@pytest.mark.parametrize(
    ("mode", "verified"), [("disabled", None), ("required", ssl.CERT_NONE), ("verify_identity", ssl.CERT_REQUIRED)]
)
def test_the_connection_is_encrypted_as_the_options_say(mode: str, verified: ssl.VerifyMode | None) -> None:
    context = address_of(record(**PLACE, options={"ssl_mode": mode})).context()

    assert (context and context.verify_mode) == verified


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "host"),
        ({"host": "h", "database": "d"}, "username"),
        ({"host": "h", "username": "u"}, "database"),
        ({**PLACE, "port": 70000}, "port"),
        ({**PLACE, "host": "h/../etc"}, "host"),
        ({**PLACE, "database": ["x"]}, "database"),
        ({**PLACE, "schema": "other"}, "schema"),
        ({**PLACE, "options": {"read_default_file": "/etc/my.cnf"}}, "read_default_file"),
        ({**PLACE, "options": {"local_infile": "1"}}, "local_infile"),
        ({**PLACE, "options": {"ssl_mode": "maybe"}}, "ssl_mode"),
        ({**PLACE, "options": {"timezone": "x' OR 1"}}, "timezone"),
        ({**PLACE, "options": "x"}, "options"),
        ({"url": "mysql://api:hidden@h:99999/d"}, "port"),
        ({"url": "postgresql://api:hidden@h/d"}, "mysql://"),
        ({"url": "mysql://api:hidden\u2100@h/d"}, "mysql://"),
        ({"url": "mysql://api:hidden@[h/d"}, "mysql://"),
        ({"url": "mysql://api:hidden@h"}, "database"),
        ({"url": "mysql://api:hidden@h/d?init_command=x"}, "init_command"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_without_the_password(config: dict[str, JSON], named: str) -> None:
    with pytest.raises(BadRequest) as refused:
        address_of(record(**config))

    assert named in refused.value.message
    assert "hidden" not in refused.value.message
    assert "a/b@c" not in refused.value.message


def test_connections_are_told_the_time_limit_in_the_words_of_the_server_and_whether_they_only_read() -> None:
    one = record(**PLACE, statement_timeout="5", read_only=True)
    session = session_of(one, address_of(one))

    assert "max_statement_time=5," in session("10.11.6-MariaDB-0+deb12u1")[0]
    assert "max_execution_time=5000," in session("8.0.36")[0]
    assert session("8.0.36")[-1] == "SET SESSION TRANSACTION READ ONLY"
    assert timeout_of(record(**PLACE)) == 30
    with pytest.raises(BadRequest, match="statement_timeout"):
        timeout_of(record(**PLACE, statement_timeout=-1))
