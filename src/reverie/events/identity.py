"""Whose rights a job's script has: those of the moment it was queued, or those of today.

A script says which in its config, as ``identity``:

- ``snapshot`` (the default): the caller as he was, whatever has become of him since.
- ``recheck``: when its turn comes, user and app must still be active and their role must still allow the call that
  queued it; the script then runs with the role of today. Otherwise the job has failed, and is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reverie.auth.gate import Auth
from reverie.errors import BadRequest, IdentityRevoked, ReverieError
from reverie.jobs.payload import Packed
from reverie.model import JSON, Caller, Request, Requestor

SNAPSHOT: Final = "snapshot"
RECHECK: Final = "recheck"
SETTING: Final = "identity"


def check_policy(value: JSON) -> None:
    """Refuse what is no policy.

    Raises:
        BadRequest
    """
    if value not in (None, "", SNAPSHOT, RECHECK):
        raise BadRequest(f"Invalid identity policy: {value!r} is neither {SNAPSHOT!r} nor {RECHECK!r}.")


def policy_of(config: Mapping[str, JSON]) -> str:
    """The policy of a script's config; the key matches in any case."""
    return RECHECK if any(key.lower() == SETTING and value == RECHECK for key, value in config.items()) else SNAPSHOT


async def caller_today(auth: Auth, packed: Packed) -> Caller:
    """The caller of a job with the role he has now; the memory behind *auth* must be fresh.

    Raises:
        IdentityRevoked: naming what has changed.
        StoreUnavailable
    """
    try:
        caller = await auth.as_of_now(packed.caller)
        auth.check(caller, _call(packed.event.get("request")), Requestor(packed.requestor))
    except ReverieError as error:
        if error.status >= 500:
            raise
        raise IdentityRevoked(
            f"IdentityRevoked: the call that queued the job would be refused now. {error.message}"
        ) from error
    return caller


def _call(request: JSON) -> Request:
    """As much of the call that queued the job as access is decided by."""
    known = request if isinstance(request, dict) else {}
    return Request(
        method=str(known.get("method")), service=str(known.get("service")), resource=str(known.get("resource"))
    )
