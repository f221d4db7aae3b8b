"""``{name}`` in texts: what is known of the caller, the platform and the lookups in force takes its place."""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Final

from reverie.model import JSON, Caller

_TOKEN: Final = re.compile(r"\{([A-Za-z0-9_][\w.\-()|]*)\}", re.ASCII)
_MODIFIED: Final = re.compile(r"(\w+)\((.*)\)", re.ASCII)
_WORD: Final = re.compile(r"(^|[ \t\r\n\f\v])([a-z])")

PLATFORM: Final[Mapping[str, str]] = {"name": "Reverie", "api_version": "2.0"}
"""What ``{df.…}`` says when the caller of `put_lookups` knows no better."""


MOST_MODIFIERS: Final = 16


def _urlencode(text: str) -> str:
    return urllib.parse.quote_plus(text, safe="").replace("~", "%7E")


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


MODIFIERS: Final[Mapping[str, Callable[[str], str]]] = {
    "strtoupper": str.upper,
    "strtolower": str.lower,
    "ucfirst": lambda text: text[:1].upper() + text[1:],
    "lcfirst": lambda text: text[:1].lower() + text[1:],
    "ucwords": lambda text: _WORD.sub(lambda found: found[1] + found[2].upper(), text),
    "urlencode": _urlencode,
    "urldecode": urllib.parse.unquote_plus,
    "rawurlencode": lambda text: urllib.parse.quote(text, safe=""),
    "rawurldecode": urllib.parse.unquote,
    "base64_encode": lambda text: base64.b64encode(text.encode()).decode(),
    "base64_decode": _decode,
    "trim": str.strip,
}


def put_lookups(text: str, caller: Caller, *, secrets: bool, platform: Mapping[str, str] = PLATFORM) -> str:
    """*text* with every ``{name}`` that is known replaced; what is not known stays as it is.

    Names: ``user.*``, ``role.id``, ``role.name``, ``app.id``, ``app.api_key``, ``session.id``, ``session.token``,
    ``df.*``, and lookups. Modifiers nest: ``{urlencode(strtolower(region))}``.

    Args:
        secrets: private lookups are known too, and win; for script text and settings, never for a client's data.
        platform: what ``df.*`` stands for.
    """
    if "{" not in text:
        return text

    def put(found: re.Match[str]) -> str:
        value = _value(found[1], caller, secrets, platform)
        return found[0] if value is None else value

    return _TOKEN.sub(put, text)


def _value(name: str, caller: Caller, secrets: bool, platform: Mapping[str, str]) -> str | None:
    modifiers: list[Callable[[str], str]] = []
    while modified := _MODIFIED.fullmatch(name):
        if modified[1] not in MODIFIERS or len(modifiers) == MOST_MODIFIERS:
            return None
        modifiers.append(MODIFIERS[modified[1]])
        name = modified[2]
    value = _known(name, caller, platform)
    if value is None and secrets:
        value = caller.secrets.get(name)
    if value is None:
        value = caller.lookups.get(name)
    if value is None:
        return None
    try:
        for modify in reversed(modifiers):
            value = modify(value)
    except (binascii.Error, UnicodeDecodeError):
        return None
    return value


def _known(name: str, caller: Caller, platform: Mapping[str, str]) -> str | None:
    space, _, key = name.partition(".")
    match space:
        case "user":
            return _text((caller.user or {}).get(key))
        case "role" if caller.role is not None and key in ("id", "name"):
            return str(caller.role.id) if key == "id" else caller.role.name
        case "app" if key in ("id", "api_key"):
            return _text(caller.app_id if key == "id" else caller.api_key)
        case "session" if key in ("id", "token"):
            return caller.session_token
        case "df":
            return platform.get(key)
        case _:
            return None


def _text(value: JSON) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
