"""Session tokens: HS256, with the id of the key in the header, and recorded so that they can be ended."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

import jwt

from reverie.errors import Forbidden, Unauthorized
from reverie.sealing import Sealer
from reverie.store.records import UserRecord

LONG: Final = 10 * 365 * 86400
"""Seconds for which a token that lasts for ever can be renewed."""

EXPIRED: Final = (
    "Token has expired: Session expired. Please refresh your token (if still within refresh window) or re-login."
)
ENDED: Final = "The token has been blacklisted: Session terminated. Please re-login."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Durations are minutes, as in the settings people know.

    Attributes:
        ttl: how long a token is good for.
        refresh_ttl: how long after it was made it can still be exchanged for a new one.
        allow_forever: ``remember_me`` makes tokens that can be exchanged without end.
        issuer: the claim ``iss``.
    """

    ttl: int = 1440
    refresh_ttl: int = 20160
    allow_forever: bool = False
    issuer: str = "reverie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says. Times are Unix seconds."""

    jti: str
    user_id: int
    subject: str
    issued_at: int
    expires_at: int
    forever: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token; `renewable_until` is when its record may be forgotten."""

    token: str
    claims: Claims
    renewable_until: int


def subject_of(email: str) -> str:
    """The claim ``sub``; a changed e-mail makes older tokens worthless."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def issue(sealer: Sealer, settings: TokenSettings, user: UserRecord, now: float, *, forever: bool = False) -> Issued:
    """A token for *user*; good only once its session is recorded."""
    moment = int(now)
    claims = Claims(
        jti=secrets.token_urlsafe(24),
        user_id=user.id,
        subject=subject_of(user.email),
        issued_at=moment,
        expires_at=moment + settings.ttl * 60,
        forever=forever and settings.allow_forever,
    )
    payload: dict[str, Any] = {
        "sub": claims.subject,
        "user_id": claims.user_id,
        "forever": claims.forever,
        "iss": settings.issuer,
        "iat": moment,
        "nbf": moment,
        "exp": claims.expires_at,
        "jti": claims.jti,
    }
    key_id, key = sealer.token_key
    renewable = LONG if claims.forever else max(settings.refresh_ttl, settings.ttl) * 60
    token = jwt.encode(payload, key, algorithm="HS256", headers={"kid": key_id})
    return Issued(token=token, claims=claims, renewable_until=moment + renewable)


def read(sealer: Sealer, token: str) -> Claims:
    """The claims of a token that we signed, expired or not.

    Raises:
        Unauthorized: it is not one of ours.
    """
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = sealer.token_keys.get(str(key_id))
        if key is None:
            raise Unauthorized("Invalid token: it was signed with a key that is not known here. Please re-login.")
        # Times are compared with our own clock, by `check_time`.
        payload = jwt.decode(
            token,
            key,
            algorithms=["HS256"],
            options={
                "require": ["sub", "user_id", "iat", "exp", "jti"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        return Claims(
            jti=str(payload["jti"]),
            user_id=int(payload["user_id"]),
            subject=str(payload["sub"]),
            issued_at=int(payload["iat"]),
            expires_at=int(payload["exp"]),
            forever=payload.get("forever") is True,
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Unauthorized(f"Invalid token: {error}") from error


def check_time(claims: Claims, now: float) -> None:
    """
    Raises:
        Unauthorized: the token has expired.
    """
    if now >= claims.expires_at:
        raise Unauthorized(EXPIRED)


def check_renewable(claims: Claims, settings: TokenSettings, now: float) -> None:
    """
    Raises:
        Unauthorized: too old to be exchanged.
    """
    if not claims.forever and now >= claims.issued_at + max(settings.refresh_ttl, settings.ttl) * 60:
        raise Unauthorized("Token refresh failed. Token has expired and can no longer be refreshed.")


def check_user(claims: Claims, user: UserRecord | None) -> UserRecord:
    """
    Raises:
        Unauthorized: the user is gone, or has another e-mail now.
    """
    if user is None or subject_of(user.email) != claims.subject:
        raise Unauthorized("Invalid token: User verification failed.")
    return user


def ended() -> Forbidden:
    """The error for a session that was ended."""
    return Forbidden(ENDED)
