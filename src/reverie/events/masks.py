"""What sounds like a secret, hidden in what is shown or kept beside a call."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reverie.model import JSON, Caller

MASK: Final = "**********"
_SECRET: Final = re.compile(
    r"passw|passphrase|\bpin\b|secret|token|api[-_]?key|authori[sz]ation|cookie|credential|session|private[-_]?key|signature|credit[-_]?card|card[-_]?num|cvc|iban",
    re.IGNORECASE,
)
_OURS: Final = ("system", "user")
"""Services whose bodies hold passwords, tokens and secret settings of the platform itself."""


def masked(value: JSON, name: str = "") -> JSON:
    """*value* with everything hidden that stands, however deep, under a name that sounds like a secret.

    A value that is too deep to be looked through is hidden whole.
    """
    try:
        return _masked(value, name)
    except RecursionError:
        return MASK


def _masked(value: JSON, name: str = "") -> JSON:
    if value is not None and _SECRET.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def masked_event(event: Mapping[str, JSON], *, to_run: bool = False) -> dict[str, JSON]:
    """An event with its secrets hidden; the raw text of a body says no more than the body that was taken apart.

    Args:
        to_run: a script will see it, so the text is written anew; else a text that holds a secret is hidden whole.
    """
    hidden = dict(event)
    request = event.get("request")
    ours = isinstance(request, dict) and request.get("service") in _OURS
    if isinstance(request, dict):
        hidden["request"] = _masked_request(request, whole=ours, to_run=to_run)
    response = event.get("response")
    if isinstance(response, dict):
        content = MASK if ours and response.get("content") is not None else masked(response.get("content"))
        kept = masked({name: value for name, value in response.items() if name != "content"})
        if isinstance(kept, dict):
            hidden["response"] = {**kept, "content": content} if "content" in response else kept
    return hidden


def _masked_request(request: dict[str, JSON], *, whole: bool, to_run: bool) -> dict[str, JSON]:
    shown = masked(request)
    if not isinstance(shown, dict):
        return {}
    payload = request.get("payload")
    if whole:
        return {**shown, **{name: MASK for name in ("payload", "content") if request.get(name)}}
    if shown.get("payload") != payload and request.get("content"):
        rewritten = to_run and "json" in str(request.get("content_type"))
        shown["content"] = json.dumps(shown.get("payload")) if rewritten else MASK
    return shown


def masked_caller(caller: Caller) -> Caller:
    """The caller without his credentials and private lookups; that he had some still decides how he is refused."""
    return replace(
        caller,
        api_key=None if caller.api_key is None else MASK,
        session_token=None if caller.session_token is None else MASK,
        secrets={},
    )
