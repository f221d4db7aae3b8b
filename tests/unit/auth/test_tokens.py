from __future__ import annotations

import base64
import hashlib
import json

import jwt
import pytest

from reverie.auth.tokens import TokenSettings, check_time, issue, read, subject_of
from reverie.errors import Unauthorized
from reverie.sealing import Sealer
from reverie.store.records import UserRecord
from tests.unit.store.world import NOON, SECRET

USER = UserRecord(
    id=9,
    name="Ops",
    username=None,
    first_name=None,
    last_name=None,
    email="ops@example.test",
    password=None,
    is_sys_admin=False,
    is_active=True,
    last_login_date=None,
    ldap_username=None,
)
SEALER = Sealer(SECRET)


def _token() -> str:
    return issue(SEALER, TokenSettings(ttl=60), USER, NOON).token


def test_a_token_says_who_until_when_and_which_key_signed_it() -> None:
    token = _token()

    payload = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)

    assert (header["alg"], header["kid"]) == ("HS256", SEALER.token_key[0])
    assert sorted(payload) == ["exp", "forever", "iat", "iss", "jti", "nbf", "sub", "user_id"]
    assert payload["sub"] == hashlib.md5(b"ops@example.test").hexdigest() == subject_of("OPS@example.test")
    assert (payload["user_id"], payload["exp"] - payload["iat"]) == (9, 3600)
    assert read(SEALER, token).jti == payload["jti"]
    assert read(SEALER, _token()).jti != payload["jti"]


def test_a_token_expires_on_the_second() -> None:
    claims = read(SEALER, _token())

    check_time(claims, NOON + 3599)
    with pytest.raises(Unauthorized, match=r"Session expired\. Please refresh your token"):
        check_time(claims, NOON + 3600)


def test_a_token_for_ever_needs_the_setting() -> None:
    def forever(allowed: bool) -> bool:
        return issue(SEALER, TokenSettings(allow_forever=allowed), USER, NOON, forever=True).claims.forever

    assert (forever(True), forever(False)) == (True, False)


def test_a_rolled_key_still_reads_older_tokens() -> None:
    rolled = Sealer("another secret of more than thirty-two", older=[SECRET])

    assert read(rolled, _token()).user_id == 9
    with pytest.raises(Unauthorized, match="Invalid token: "):
        read(Sealer("another secret of more than thirty-two"), _token())


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _forged() -> list[str]:
    head, body, signature = _token().split(".")
    payload = jwt.decode(_token(), options={"verify_signature": False}) | {"user_id": 1}
    unsigned = {"alg": "none", "typ": "JWT", "kid": SEALER.token_key[0]}
    wrong = {"kid": SEALER.token_key[0]}
    key = SEALER.token_key[1]
    return [
        "",
        "garbage",
        "a.b.c",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}.{_part(payload)}.{signature}",
        f"{_part(unsigned)}.{_part(payload)}.",
        jwt.encode(payload, b"x" * 32, algorithm="HS256", headers=wrong),
        jwt.encode(payload, key, algorithm="HS256"),
        jwt.encode(payload, key + key, algorithm="HS512", headers=wrong),
        jwt.encode({"sub": "x"}, key, algorithm="HS256", headers=wrong),
        jwt.encode(payload | {"user_id": "nine"}, key, algorithm="HS256", headers=wrong),
        jwt.encode(payload | {"exp": None}, key, algorithm="HS256", headers=wrong),
        "é.ü.ß",
    ]


@pytest.mark.parametrize("token", _forged())
def test_what_we_did_not_sign_this_way_is_invalid(token: str) -> None:
    with pytest.raises(Unauthorized, match=r"^Invalid token: "):
        read(SEALER, token)
