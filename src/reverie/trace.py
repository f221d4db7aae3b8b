"""Trace context of the W3C, as far as it is only carried on: from a request to its job, from a job to calls elsewhere.

``00-<trace id, 32 hex digits>-<span id, 16>-<flags, 2>``, from the recommendation Trace Context, level 1.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

HEADER: Final = "traceparent"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SALT: Final = os.urandom(16)


def read_trace(text: str | None) -> str:
    """A ``traceparent`` in the form of version 00; ``""`` for none and for one that is not valid."""
    found = _FORM.fullmatch(text.strip()) if text else None
    if found is None:
        return ""
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace.strip("0") or not span.strip("0"):
        return ""
    return f"00-{trace}-{span}-{flags}"


def trace_of(trace: str, request_id: str) -> str:
    """*trace*; where a call brought none, one that is the same for everything under its request id in this process.

    So a call that nobody traces costs nothing, and what follows from it still belongs together.
    """
    if trace:
        return trace
    made = hashlib.blake2b(request_id.encode("utf-8", "replace"), key=_SALT, digest_size=24).hexdigest()
    return f"00-{made[:32]}-{made[32:]}-00"


def next_span(trace: str) -> str:
    """*trace* for a call to elsewhere: the same trace, under a span of its own."""
    version, trace_id, _, flags = trace.split("-")
    return f"{version}-{trace_id}-{os.urandom(8).hex()}-{flags}"


def trace_id(trace: str) -> str | None:
    """For a line in the log."""
    return trace[3:35] or None
