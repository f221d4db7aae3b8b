"""What who holds a link to a job does not see of it."""

from __future__ import annotations

from dataclasses import replace

from reverie.events.masks import MASK, masked
from reverie.model import JSON, Response


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


def _without_text(part: JSON) -> JSON:
    if not isinstance(part, dict):
        return part
    hidden = {name: MASK for name in ("content", "payload") if isinstance(part.get(name), str) and part[name]}
    return {**part, **hidden}
