"""What a script's event does to a request or an answer, when its edits may take effect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias, cast

import structlog

from reverie.events.event import response_map
from reverie.model import JSON, Request, Response
from reverie.scripting.engine import NOTHING, Outcome

Stage: TypeAlias = Literal["pre_process", "post_process", "service", "other"]
"""What a script hangs on; in the others nothing it changes takes effect."""
_EDITED: Final = ("parameters", "headers", "payload", "content", "content_type")

log = structlog.get_logger()


def returned_value(outcome: Outcome) -> JSON:
    """What the script returned; None for nothing, and for ``0``, ``""``, ``[]``, ``{}``, which count as nothing."""
    value = outcome.returned
    return cast("JSON", value) if value is not NOTHING and value else None


def request_after(outcome: Outcome, before: Mapping[str, JSON], request: Request) -> Request:
    """The request with the edits of a pre_process script.

    ``method``, ``uri``, ``service`` and ``resource`` cannot be changed. Of ``payload`` and ``content`` the one that
    changed counts, ``payload`` when both did.
    """
    edited = _source(outcome).get("request")
    if not isinstance(edited, dict):
        return request
    if edited.get("method", request.method) != request.method:
        log.warning("script.method_ignored", service=request.service, resource=request.resource)
    payload, content = request.payload, request.content
    content_type = edited.get("content_type")
    if "payload" in edited and edited["payload"] != before.get("payload"):
        payload = edited["payload"]
        content = json.dumps(payload).encode()
    elif "content" in edited and edited["content"] != before.get("content"):
        text = edited["content"]
        content = (text if isinstance(text, str) else json.dumps(text)).encode()
        try:
            payload = json.loads(content) if content else {}
        except (ValueError, RecursionError):
            payload = None
    parameters, headers = edited.get("parameters"), edited.get("headers")
    return replace(
        request,
        parameters=parameters if isinstance(parameters, dict) else request.parameters,
        headers={k.lower(): str(v) for k, v in headers.items()} if isinstance(headers, dict) else request.headers,
        payload=payload,
        content=content,
        content_type=content_type if isinstance(content_type, str) and content_type else request.content_type,
        payload_error=None if payload is not None else request.payload_error,
    )


def response_instead(outcome: Outcome) -> Response | None:
    """The answer that a pre_process script gives in place of the service, if it does."""
    given = _source(outcome).get("response")
    return response_of(given) if given else None


def response_of(given: JSON) -> Response:
    """A map with ``content`` is an answer; everything else is a body with status 200."""
    if not isinstance(given, dict) or "content" not in given:
        return Response(content=given)
    return Response(
        status=status_of(given.get("status_code"), 200),
        content=given["content"],
        content_type=text_or_none(given.get("content_type")),
        headers=header_map(given.get("headers")),
    )


def answer_of(outcome: Outcome) -> Response:
    """What the script of a service answers: what it returned, else the response that it filled."""
    returned = returned_value(outcome)
    result: JSON = outcome.event if returned is None else returned
    if isinstance(result, dict) and result.get("response"):
        result = result["response"]
    return response_of(result)


def response_after(outcome: Outcome, response: Response) -> Response:
    """The answer with the edits of a post_process script: status, then content with its type, then headers merged."""
    returned = returned_value(outcome)
    edited: JSON
    if returned is None:
        edited = outcome.event.get("response")
    elif isinstance(returned, dict) and returned.get("response"):
        edited = returned["response"]
    elif isinstance(returned, dict) and ("content" in returned or "status_code" in returned):
        edited = returned
    else:
        edited = {"content": returned, "status_code": 200}
    if not isinstance(edited, dict) or not edited:
        return response
    changed = replace(response, status=status_of(edited.get("status_code"), response.status), encoded=None)
    if "content" in edited:
        content_type = text_or_none(edited.get("content_type"))
        changed = replace(changed, content=edited["content"], content_type=content_type)
    return replace(changed, headers={**response.headers, **header_map(edited.get("headers"))})


def event_after(stage: Stage, event: Mapping[str, JSON], outcome: Outcome) -> dict[str, JSON]:
    """The event as it is once the edits of a script have taken effect, for who wants to see them."""
    request, response = event.get("request"), event.get("response")
    after = {name: value for name, value in event.items() if name != "response"}
    match stage:
        case "pre_process":
            edited = _source(outcome).get("request")
            if isinstance(edited, dict) and isinstance(request, dict):
                after["request"] = {**request, **{name: edited[name] for name in _EDITED if name in edited}}
            response = _source(outcome).get("response") or None
        case "post_process":
            response = response_map(response_after(outcome, response_of(response)))
        case "service":
            response = response_map(answer_of(outcome))
        case _:
            return outcome.event
    return after if response is None else {**after, "response": response}


def _source(outcome: Outcome) -> Mapping[str, JSON]:
    """Where the edits are: the returned map if it names a request or a response itself, else the event."""
    returned = returned_value(outcome)
    if isinstance(returned, dict) and ("request" in returned or "response" in returned):
        return returned
    return outcome.event


def status_of(value: JSON, otherwise: int) -> int:
    try:
        return int(cast("int", value))
    except (TypeError, ValueError):
        return otherwise


def text_or_none(value: JSON) -> str | None:
    return value if isinstance(value, str) and value else None


def header_map(value: JSON) -> dict[str, str]:
    """Headers that can go out: no line breaks, no empty names."""
    if not isinstance(value, dict):
        return {}
    return {
        name.strip(): str(text).replace("\r", " ").replace("\n", " ")
        for name, text in value.items()
        if name.strip() and text is not None
    }
