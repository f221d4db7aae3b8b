"""How long a statement may take, by the settings of its service."""

from __future__ import annotations

import re
from typing import Final

from reverie.errors import BadRequest
from reverie.store.records import ServiceRecord

USUAL: Final = 30
LONGEST: Final = 3600


def timeout_of(record: ServiceRecord) -> int:
    """Seconds for one statement. Raises BadRequest."""
    value = record.config.get("statement_timeout")
    if value is None or value == "":
        return USUAL
    text = str(value).strip()
    if not re.fullmatch(r"\d{1,4}", text) or not 0 < int(text) <= LONGEST:
        raise BadRequest(f"Service '{record.name}': statement_timeout must be 1 to {LONGEST} seconds.")
    return int(text)
