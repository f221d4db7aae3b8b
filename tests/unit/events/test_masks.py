"""Secrets of an event are hidden, wherever they stand."""

from __future__ import annotations

import json

import pytest

from reverie.events.masks import MASK, masked_event
from reverie.model import JSON


def event(service: str = "db", **request: JSON) -> dict[str, JSON]:
    payload: JSON = {"name": "a", "cards": [{"card_number": "canary-1"}], "password": "canary-2"}
    base: dict[str, JSON] = {
        "service": service,
        "headers": {"authorization": "canary-3", "x-dreamfactory-api-key": "canary-4", "host": "h"},
        "parameters": {"api_key": "canary-5", "limit": "1"},
        "payload": payload,
        "content": json.dumps(payload),
        "content_type": "application/json",
    }
    return {"request": {**base, **request}, "response": {"status_code": 200, "content": {"session_token": "canary-6"}}}


@pytest.mark.parametrize("to_run", [True, False])
@pytest.mark.parametrize("service", ["db", "system", "user"])
def test_nothing_that_sounds_like_a_secret_is_left(service: str, *, to_run: bool) -> None:
    hidden = json.dumps(masked_event(event(service), to_run=to_run))

    assert "canary" not in hidden
    assert '"host": "h"' in hidden


def test_a_body_is_written_anew_for_a_script_that_will_see_it() -> None:
    hidden = masked_event(event(), to_run=True)["request"]

    assert isinstance(hidden, dict)
    assert json.loads(str(hidden["content"])) == hidden["payload"]
    assert hidden["payload"] == {"name": "a", "cards": [{"card_number": MASK}], "password": MASK}


def test_a_body_in_another_form_is_hidden_whole() -> None:
    hidden = masked_event(event(content="password=canary-2", content_type="text/csv"), to_run=True)["request"]

    assert isinstance(hidden, dict)
    assert hidden["content"] == MASK


def test_a_body_without_secrets_stays_as_it_came() -> None:
    text = '{ "name":  "a" }'

    hidden = masked_event(event(payload={"name": "a"}, content=text), to_run=True)["request"]

    assert isinstance(hidden, dict)
    assert hidden["content"] == text


def test_bodies_of_the_platforms_own_services_are_hidden_whole() -> None:
    hidden = masked_event(event("system"))

    assert hidden["response"] == {"status_code": 200, "content": MASK}


def test_what_is_too_deep_to_be_looked_through_is_hidden_whole() -> None:
    deep: JSON = "canary-7"
    for _ in range(3000):
        deep = [deep]

    hidden = masked_event(event(payload=deep), to_run=True)

    assert hidden["request"] == MASK or "canary-7" not in repr(hidden)
