"""What a job holds: its event, its caller and the surroundings as they were, sealed.

    sealed( kind of body, 1 byte: "j" or "z" | JSON, or JSON under zlib )
    JSON: {"event": {...}, "caller": {...}, "environment": {...}, "requestor": 1}

Nothing of it can be read at rest. The seal is bound to the job's script, so that a payload cannot be moved to another.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Final

import msgspec

from reverie.errors import ReverieError
from reverie.model import JSON, Access, Caller, Role
from reverie.sealing import Sealer, Unsealable

COMPRESSED_FROM: Final = 64 * 1024
"""Bytes of JSON above which it is compressed before it is sealed."""
_PLAIN, _ZLIB = b"j", b"z"


class PayloadUnreadable(ReverieError):
    """A job's payload cannot be opened: another secret key, or it was changed. Trying again would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What a job holds.

    Attributes:
        event: as the script will see it: ``resource``, ``request``, ``response``.
        caller: who asked, with the role and the lookups of that moment; access of the job's own calls is decided by it.
        environment: versions and settings of that moment, see `environment_map`.
        requestor: who made the call, a client or a script, as roles tell them apart.
    """

    event: dict[str, JSON]
    caller: Caller
    environment: dict[str, JSON] = field(default_factory=dict)
    requestor: int = 1


def environment_map(
    *, platform: str, language: str, language_version: str, script_version: int, config: Mapping[str, JSON]
) -> dict[str, JSON]:
    """The surroundings of a job: *config* are the settings that scripts can see."""
    return {
        "platform": platform,
        "language": language,
        "language_version": language_version,
        "script_version": script_version,
        "config": dict(config),
    }


def pack(packed: Packed, sealer: Sealer, *, about: str) -> bytes:
    """Turn it into bytes that tell nothing.

    Args:
        about: what the payload belongs to, ``<kind>:<script>`` of the job (`about_of`).
    """
    text = _encode(
        {
            "event": packed.event,
            "caller": packed.caller,
            "environment": packed.environment,
            "requestor": packed.requestor,
        }
    )
    body = _PLAIN + text if len(text) <= COMPRESSED_FROM else _ZLIB + zlib.compress(text, 1)
    return sealer.seal(body, about=about)


def unpack(payload: bytes, sealer: Sealer, *, about: str) -> Packed:
    """The opposite of `pack`.

    Raises:
        PayloadUnreadable
    """
    try:
        body = sealer.open(payload, about=about)
        text = zlib.decompress(body[1:]) if body[:1] == _ZLIB else body[1:]
        stored: dict[str, Any] = json.loads(text)
        return Packed(
            event=stored["event"],
            caller=_caller_of(stored["caller"]),
            environment=stored.get("environment", {}),
            requestor=int(stored.get("requestor", 1)),
        )
    except (Unsealable, zlib.error, ValueError, KeyError, TypeError) as error:
        raise PayloadUnreadable("The stored job cannot be opened; it was sealed under another secret key.") from error


def about_of(kind: str, script: str) -> str:
    return f"{kind}:{script}"


def _encode(value: Mapping[str, object]) -> bytes:
    """JSON of any size of integer and any text; half a surrogate pair, which no UTF-8 can hold, stays escaped."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":"), default=_as_map).encode()


def _as_map(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _caller_of(stored: dict[str, Any]) -> Caller:
    role = stored["role"]
    return Caller(**{**stored, "role": None if role is None else _role_of(role)})


def _role_of(stored: dict[str, Any]) -> Role:
    access = (Access(**{**row, "filters": tuple(row["filters"])}) for row in stored["access"])
    return Role(**{**stored, "access": tuple(access)})
