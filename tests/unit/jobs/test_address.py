"""The address of a Redis: what is understood, what is refused, and that no password shows."""

from __future__ import annotations

import pytest

from reverie.jobs.address import RedisAddress, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", RedisAddress(hosts=(("host", 6379),))),
        ("redis://host:7000/4", RedisAddress(hosts=(("host", 7000),), db=4)),
        ("redis://host?db=4", RedisAddress(hosts=(("host", 6379),), db=4)),
        ("REDIS://[::1]:7000", RedisAddress(hosts=(("::1", 7000),))),
        ("redis://:p%40ss%2F@host", RedisAddress(hosts=(("host", 6379),), password="p@ss/")),
        ("redis://me:p@ss@host", RedisAddress(hosts=(("host", 6379),), username="me", password="p@ss")),
        ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
        ("unix://me:x@/run/redis.sock?db=2", RedisAddress(path="/run/redis.sock", username="me", password="x", db=2)),
        (
            "rediss://host?ssl_ca_certs=/etc/ca.pem",
            RedisAddress(hosts=(("host", 6379),), tls=True, tls_files=(("ssl_ca_certs", "/etc/ca.pem"),)),
        ),
        (
            "redis+sentinel://:x@a, b:1 ,[::1]/mymaster/2?sentinel_password=y",
            RedisAddress(
                hosts=(("a", 26379), ("b", 1), ("::1", 26379)),
                service="mymaster",
                db=2,
                password="x",
                sentinel_password="y",
            ),
        ),
    ],
)
def test_an_address_is_understood(url: str, address: RedisAddress) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host:6379", "expected an address that begins with redis://, rediss://"),
        ("rabbit://hidden@h", "expected an address that begins with redis://"),
        ("redis://", "expected redis://[[user]:password@]host:port"),
        ("redis://:hid/den@host", "%2F"),
        ("redis://:hidden@host:port", "expected redis://"),
        ("redis://:hidden@host:70000", "expected redis://"),
        ("redis://:hidden@[::1", "expected redis://"),
        ("redis://:hidden#x@host", "%23"),
        ("redis://:hidden@a,b", "only redis+sentinel:// takes several hosts"),
        ("redis://:hidden@host/zero", "expected a number as the database"),
        ("redis://:hidden@host/0/1", "expected redis://"),
        ("redis://:hidden@host?socket_timeot=1", "no option 'socket_timeot'"),
        ("rediss://:hidden@host?ssl_ca_cert=1", "did you mean ssl_ca_certs?"),
        ("redis+sentinel://:hidden@host:1", "host:port,host:port/service"),
        ("unix://:hidden@", "expected unix://[[user]:password@]/path/of/socket"),
        ("unix://host/path", "expected unix://"),
    ],
)
def test_a_mistake_is_told_without_the_password(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_address(url)

    assert words in str(caught.value)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hidden@[::1]:7/4", "redis://[::1]:7"),
        ("rediss+sentinel://:hidden@a,b/main?sentinel_password=hidden", "rediss+sentinel://a:26379,b:26379/main"),
        ("unix://:hidden@/run/r.sock", "unix:///run/r.sock"),
    ],
)
def test_no_password_shows(url: str, shown: str) -> None:
    address = parse_address(url)

    assert str(address) == shown
    assert "hidden" not in repr(address)
