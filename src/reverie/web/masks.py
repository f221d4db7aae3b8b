"""What who holds a link to a job does not see of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reverie.model import JSON, Response

MASK: Final = "**********"
_SECRET: Final = re.compile(
    r"passw|passphrase|\bpin\b|secret|token|api[-_]?key|authori[sz]ation|cookie|credential|session|private[-_]?key|signature|credit[-_]?card|card[-_]?num|cvc|iban",
    re.IGNORECASE,
)


def discreet(response: Response) -> Response:
    """A look at a job for a link: without its surroundings, and with nothing that sounds like a secret.

    A body that is not taken apart is left out too, since nobody knows what stands in it.
    """
    entry = response.content
    if not isinstance(entry, dict):
        return response
    shown = {name: value for name, value in entry.items() if name != "environment"}
    for name in ("request", "response"):
        shown[name] = _without_text(masked(entry.get(name)))
    return replace(response, content=shown, encoded=None)


def masked(value: JSON, name: str = "") -> JSON:
    """*value* with everything hidden that stands, however deep, under a name that sounds like a secret."""
    if value is not None and _SECRET.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _without_text(part: JSON) -> JSON:
    if not isinstance(part, dict):
        return part
    hidden = {name: MASK for name in ("content", "payload") if isinstance(part.get(name), str) and part[name]}
    return {**part, **hidden}
