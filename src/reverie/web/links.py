"""Signed links that show one job, and nothing else, for a day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reverie.sealing import Sealer, sealer_for

if TYPE_CHECKING:
    from reverie.config import Settings

GOOD_FOR: Final = 86_400
"""Seconds."""
_ABOUT: Final = "job link"


def job_link(settings: Settings, job_id: str, answers_at: str | None = None) -> str:
    """An address that shows a job, read-only, to whoever has it, until tomorrow. Asks no store.

    Args:
        answers_at: where the API is; None for where these settings would start it.
    """
    sealer = sealer_for(settings.data_dir, settings.secret_key, settings.secret_key_old)
    return (answers_at or settings.address) + job_path(sealer, job_id, time.time())


def job_path(sealer: Sealer, job_id: str, now: float) -> str:
    """Path and query of such an address."""
    expires = int(now) + GOOD_FOR
    signature = sealer.sign(_signed(job_id, expires), about=_ABOUT)
    return f"/jobs/{quote(job_id, safe='')}?expires={expires}&signature={signature}"


def is_good(sealer: Sealer, job_id: str, *, expires: str, signature: str, now: float) -> bool:
    """Whether a link was made here, for this job, and its time is not over."""
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        return False
    return sealer.is_signed(_signed(job_id, int(expires)), signature, about=_ABOUT) and now <= int(expires)


def _signed(job_id: str, expires: int) -> str:
    return f"{expires} {job_id}"
