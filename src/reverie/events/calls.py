"""Any call kept for later as a job: taken apart into what a job holds, put together again, and made.

The caller passed the gate when he called; his events fire when the call is made.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reverie.events.event import event_map
from reverie.model import JSON, Request

CALL: Final = "call"
"""Kind of the jobs that are calls."""
WITHHELD: Final = ("prefer", "idempotency-key")
"""Headers about the queueing itself, which is over when the call is made."""


def event_of(request: Request) -> dict[str, JSON]:
    """What a job holds of a call; ``request`` in it is what `system/job` shows."""
    headers = {name: value for name, value in request.headers.items() if name not in WITHHELD}
    event = event_map(request.resource, replace(request, headers=headers), None, to_keep=True)
    call: dict[str, JSON] = {"payload_error": request.payload_error}
    stored = event["request"]
    if isinstance(stored, dict) and stored["payload"] is None:
        call["payload"] = request.payload  # of a body in another encoding, which was understood all the same
    event["call"] = call
    return event


def request_of(event: Mapping[str, JSON]) -> Request:
    """The opposite of `event_of`.

    Raises:
        ValueError: the event is none of those.
    """
    seen, call = event.get("request"), event.get("call")
    if not isinstance(seen, dict) or not isinstance(call, dict):
        raise ValueError("the job holds no call")
    parameters, headers, content = seen.get("parameters"), seen.get("headers"), seen.get("content")
    problem = call.get("payload_error")
    return Request(
        method=str(seen["method"]),
        service=str(seen["service"]),
        resource=str(seen["resource"]),
        parameters=parameters if isinstance(parameters, dict) else {},
        headers={name: str(value) for name, value in headers.items()} if isinstance(headers, dict) else {},
        payload=call.get("payload", seen.get("payload")),
        content=base64.b64decode(str(content["data"])) if isinstance(content, dict) else str(content).encode(),
        content_type=str(seen["content_type"]),
        uri=str(seen["uri"]),
        api_version=str(seen["api_version"]),
        payload_error=None if problem is None else str(problem),
    )
