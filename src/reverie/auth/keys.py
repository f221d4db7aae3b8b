"""The credentials that a request carries: API key, session token, Basic pair; the first found wins."""

from __future__ import annotations

import base64
import binascii

from reverie.model import JSON, Request

API_KEY_HEADER = "x-dreamfactory-api-key"
TOKEN_HEADER = "x-dreamfactory-session-token"  # noqa: S105 - the name of a header

_LOGINS = {("user", "session"), ("system", "admin/session")}


def is_session(request: Request) -> bool:
    """Whether the call is about the session itself: log in, refresh, log out."""
    return (request.service, request.resource.rstrip("/").lower()) in _LOGINS


def api_key_of(request: Request) -> str | None:
    """From the query, the header, then the body; a body of ``system/app`` speaks of the app's own key."""
    found = request.parameters.get("api_key") or request.headers.get(API_KEY_HEADER)
    if not found and not (request.service == "system" and request.resource.split("/", 1)[0].lower() == "app"):
        found = _in_body(request.payload, "api_key")
    return found if isinstance(found, str) and found else None


def token_of(request: Request) -> str | None:
    """From ``Authorization: Bearer``, the header, the query, then the body."""
    found: JSON = _authorization(request, "bearer ") or request.headers.get(TOKEN_HEADER)
    if not found:
        found = request.parameters.get("session_token") or _in_body(request.payload, "session_token")
    return found if isinstance(found, str) and found else None


def basic_of(request: Request) -> tuple[str, str] | None:
    """E-mail and password of ``Authorization: Basic``; two empty texts when it cannot be read."""
    encoded = _authorization(request, "basic ")
    if encoded is None:
        return None
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _authorization(request: Request, scheme: str) -> str | None:
    header = request.headers.get("authorization")
    if header and header[: len(scheme)].lower() == scheme:
        return header[len(scheme) :].strip()
    return None


def _in_body(payload: JSON, name: str) -> JSON:
    return payload.get(name) if isinstance(payload, dict) else None
