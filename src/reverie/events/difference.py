"""What changed between two JSON values, path by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reverie.model import JSON

MOST: Final = 500
"""Changes that are told; of more, the first."""
_PLAIN: Final = re.compile(r"[A-Za-z_$][\w$-]*")


def differences(before: JSON, after: JSON) -> list[JSON]:
    """``{"path": "request.payload.resource[0].qty", "change": "changed", "before": 1, "after": 2}``, in order.

    ``added`` has no ``before``, ``removed`` no ``after``. Lists are compared place by place.
    """
    found: list[JSON] = []
    for one in _walk(before, after, ""):
        found.append(one)
        if len(found) >= MOST:
            break
    return found


def _walk(before: JSON, after: JSON, path: str) -> Iterator[JSON]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            place = _step(path, name)
            if name not in after:
                yield {"path": place, "change": "removed", "before": before[name]}
            elif name not in before:
                yield {"path": place, "change": "added", "after": after[name]}
            else:
                yield from _walk(before[name], after[name], place)
    elif isinstance(before, list) and isinstance(after, list):
        for at in range(max(len(before), len(after))):
            place = f"{path}[{at}]"
            if at >= len(after):
                yield {"path": place, "change": "removed", "before": before[at]}
            elif at >= len(before):
                yield {"path": place, "change": "added", "after": after[at]}
            else:
                yield from _walk(before[at], after[at], place)
    elif not same(before, after):
        yield {"path": path, "change": "changed", "before": before, "after": after}


def same(one: JSON, other: JSON) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _step(path: str, name: str) -> str:
    if not _PLAIN.fullmatch(name):
        return f"{path}[{name!r}]"
    return f"{path}.{name}" if path else name


def fits(expected: JSON, found: JSON) -> bool:
    """Whether *found* has all that *expected* names: maps may hold more, lists may not."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            name in found and fits(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(fits(one, other) for one, other in zip(expected, found, strict=True))
        )
    return same(expected, found)
