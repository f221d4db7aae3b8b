"""The ``event`` that a script sees, and the ``platform.session`` beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from reverie.model import JSON, Caller, Request, Response

NOT_TEXT: Final = "--non-parsable-data--"
STRUCTURE, RAW = 201, 0
"""Values of ``response.format``: the content is a structure, or bytes and text as they are."""
BLANK: Final[Mapping[str, JSON]] = {"content": None, "content_type": None, "status_code": 200}
"""The response that a script service's script may fill."""


def request_map(request: Request) -> dict[str, JSON]:
    """``event.request``; a body that is no text shows as `NOT_TEXT`."""
    try:
        content = request.content.decode()
    except UnicodeDecodeError:
        content = NOT_TEXT
    return {
        "api_version": request.api_version,
        "method": request.method,
        "parameters": dict(request.parameters),
        "headers": dict(request.headers),
        "payload": request.payload,
        "content": content,
        "content_type": request.content_type,
        "uri": request.uri,
        "service": request.service,
        "resource": request.resource,
    }


def response_map(response: Response) -> dict[str, JSON]:
    """``event.response``."""
    content = response.content
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError:
            content = NOT_TEXT
    return {
        "status_code": response.status,
        "content_type": response.content_type,
        "content": content,
        "format": STRUCTURE if isinstance(content, dict | list) else RAW,
        "headers": dict(response.headers),
    }


def event_map(resource: JSON, request: Request, response: Response | None, *, to_keep: bool = False) -> dict[str, JSON]:
    """The event of one stage; without *response* the key is absent. *to_keep*: for a job, see `stored_request`."""
    seen = stored_request(request) if to_keep else request_map(request)
    event: dict[str, JSON] = {"resource": resource, "request": seen}
    if response is not None:
        event["response"] = response_map(response)
    event["__tag__"] = "exposed_event"
    return event


def stored_request(request: Request) -> dict[str, JSON]:
    """`request_map` for a job: a body that is no text is kept as base64, with a marker."""
    stored = request_map(request)
    if stored["content"] == NOT_TEXT and request.content != NOT_TEXT.encode():
        stored["content"] = {"encoding": "base64", "data": base64.b64encode(request.content).decode()}
        stored["payload"] = None
    return stored


def session_map(caller: Caller) -> dict[str, JSON]:
    """``platform.session``: keys without a value are absent, as scripts test for them."""
    session: dict[str, JSON] = {
        "api_key": caller.api_key,
        "session_token": caller.session_token,
        "app": {"id": caller.app_id},
        "lookup": dict(caller.lookups),
    }
    if caller.user is not None:
        session["user"] = dict(caller.user)
    if caller.role is not None:
        session["role"] = {
            "id": caller.role.id,
            "name": caller.role.name,
            "services": [
                {
                    "id": row.id,
                    "role_id": row.role_id,
                    "service_id": row.service_id,
                    "service": row.service or "",
                    "component": row.component,
                    "verb_mask": row.verb_mask,
                    "requestor_mask": row.requestor_mask,
                    "filters": [dict(one) for one in row.filters],
                    "filter_op": row.filter_op,
                }
                for row in caller.role.access
            ],
        }
    return session


def platform_map(caller: Caller, config: Mapping[str, JSON]) -> dict[str, JSON]:
    """``platform`` without its functions. `config.df` is an alias that the runners make."""
    return {"session": session_map(caller), "config": dict(config)}
