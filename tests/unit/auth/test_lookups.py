from __future__ import annotations

import pytest

from reverie.auth.lookups import put_lookups
from reverie.model import Caller, Role

CALLER = Caller(
    app_id=4,
    api_key="k3y",
    session_token="t.o.k",
    user={"id": 9, "email": "zed@example.com", "is_sys_admin": False, "ldap_username": None},
    role=Role(id=3, name="todo-writer", is_active=True),
    lookups={"region": "eu 1~", "both": "public", "user.id": "not me", "encoded": "w6Q=", "broken": "w6"},
    secrets={"token": "rosebud", "both": "private"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no token", "no token"),
        ("{region}|{region}", "eu 1~|eu 1~"),
        ("{user.id} {user.email} {user.is_sys_admin}", "9 zed@example.com false"),
        ("{role.id} {role.name}", "3 todo-writer"),
        ("{app.id} {app.api_key}", "4 k3y"),
        ("{session.id} {session.token}", "t.o.k t.o.k"),
        ("{df.name} {df.api_version}", "Reverie 2.0"),
        ("{nope} {user.nope} {df.nope} {role.access} {user.ldap_username}", None),
        ("{ region } {'region'} {region:1} {} {-region} {région}", None),
        ("function () {return {region}}", "function () {return eu 1~}"),
        ("{urlencode(region)} {rawurlencode(region)}", "eu+1%7E eu%201~"),
        ("{strtoupper(user.email)} {ucfirst(user.email)}", "ZED@EXAMPLE.COM Zed@example.com"),
        ("{ucwords(region)} {lcfirst(df.name)}", "Eu 1~ reverie"),
        ("{base64_encode(strtoupper(region))}", "RVUgMX4="),
        ("{base64_decode(encoded)} {base64_decode(broken)}", "ä {base64_decode(broken)}"),
        ("{eval(region)} {trim(nope)} {trim(region} {trim()}", None),
    ],
)
def test_what_is_known_takes_its_place_and_the_rest_stays(text: str, expected: str | None) -> None:
    assert put_lookups(text, CALLER, secrets=False) == (text if expected is None else expected)


def test_private_values_resolve_only_where_secrets_may_and_win_there() -> None:
    text = "{token} {both} {region}"

    assert put_lookups(text, CALLER, secrets=True) == "rosebud private eu 1~"
    assert put_lookups(text, CALLER, secrets=False) == "{token} public eu 1~"


def test_a_replaced_value_is_not_looked_at_again() -> None:
    caller = Caller(lookups={"a": "{b}", "b": "secret"})

    assert put_lookups("{a}", caller, secrets=True) == "{b}"


def test_without_a_user_nothing_of_one_is_known() -> None:
    assert put_lookups("{user.id} {role.id} {app.id} {session.id}", Caller(), secrets=True) == (
        "{user.id} {role.id} {app.id} {session.id}"
    )


def test_modifiers_without_end_are_left_alone() -> None:
    text = "{" + "trim(" * 50_000 + "region" + ")" * 50_000 + "}"

    assert put_lookups(text, CALLER, secrets=True) == text


def test_the_platform_can_be_named() -> None:
    assert put_lookups("{df.host_url}", CALLER, secrets=False, platform={"host_url": "http://h"}) == "http://h"
