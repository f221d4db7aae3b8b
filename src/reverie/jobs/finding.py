"""What an examination of the queue found; ``reverie queue doctor`` prints these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``warning`` (works, but gives something up) or ``error`` (does not work).
        subject: what was looked at, in a word or two, such as ``WAL size``.
        message: what was seen and, unless it is well, what to do.
    """

    level: Literal["ok", "warning", "error"]
    subject: str
    message: str
