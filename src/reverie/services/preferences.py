"""What a client asks of how it is answered: ``Prefer`` (RFC 7240) and ``Idempotency-Key``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.request import parse_http_list

import msgspec

from reverie.errors import BadRequest
from reverie.jobs.queue import Once
from reverie.model import Caller, Request

LONGEST_WAIT: Final = 60
"""Seconds that a call waits at most; who asks for more gets this."""
LONGEST_KEY: Final = 255
KEEP_KEYS: Final = 86400.0
"""Seconds that a key stands for its job."""
_CREDENTIALS: Final = frozenset({"api_key", "session_token"})


def preferences(headers: Mapping[str, str]) -> dict[str, str]:
    """Preferences by name in lower case; of one that is named twice the first counts, parameters are passed over."""
    found: dict[str, str] = {}
    for one in parse_http_list(headers.get("prefer", "")):
        name, _, value = one.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def seconds_to_wait(wanted: Mapping[str, str]) -> int:
    """Whole seconds of ``wait``, at most `LONGEST_WAIT`; 0 without it, and where it is no number."""
    value = wanted.get("wait", "")
    return min(int(value), LONGEST_WAIT) if value.isascii() and value.isdigit() and len(value) < 10 else 0


def once_of(request: Request, caller: Caller) -> Once | None:
    """What the ``Idempotency-Key`` of a call asks for; None without one.

    The key is the caller's and the service's own: nobody meets the keys of another.

    Raises:
        BadRequest: it is empty, too long, or no plain text.
    """
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    key = given.strip()
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise BadRequest(f"The Idempotency-Key must have 1 to {LONGEST_KEY} characters, all of them printable ASCII.")
    parameters = sorted((name, value) for name, value in request.parameters.items() if name not in _CREDENTIALS)
    return Once(
        key=_digest([caller.user_id, caller.app_id, request.service, key]),
        digest=_digest([request.method, request.service, request.resource, parameters], request.content),
        keep_for=KEEP_KEYS,
    )


def _digest(parts: Sequence[object], content: bytes = b"") -> str:
    # The length first, so that what ends the one part cannot begin the next.
    told = msgspec.json.encode(parts)
    return hashlib.sha256(b"%d:%s%s" % (len(told), told, content)).hexdigest()
