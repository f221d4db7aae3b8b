"""What who holds a link does not see."""

from __future__ import annotations

from reverie.events.masks import MASK
from reverie.model import JSON, Response
from reverie.web.masks import discreet


def shown(**entry: JSON) -> JSON:
    content = discreet(Response(content=entry)).content
    assert not isinstance(content, bytes)
    return content


def test_what_sounds_like_a_secret_is_hidden_however_deep() -> None:
    request: JSON = {
        "method": "POST",
        "payload": {"email": "a@example.test", "newPassword": "rosebud", "cards": [{"api-key": "k", "size": 3}]},
        "parameters": {"session_token": "t", "limit": "3"},
        "headers": {"authorization": "Basic x", "x-my-token": "t", "accept": "*/*"},
    }

    assert shown(status="done", request=request, response=None) == {
        "status": "done",
        "request": {
            "method": "POST",
            "payload": {"email": "a@example.test", "newPassword": MASK, "cards": [{"api-key": MASK, "size": 3}]},
            "parameters": {"session_token": MASK, "limit": "3"},
            "headers": {"authorization": MASK, "x-my-token": MASK, "accept": "*/*"},
        },
        "response": None,
    }


def test_a_body_that_is_only_text_is_not_shown() -> None:
    entry = shown(request={"payload": None, "content": "password=rosebud"}, response={"content": "rosebud"})

    assert entry == {"request": {"payload": None, "content": MASK}, "response": {"content": MASK}}


def test_the_session_and_the_settings_of_a_job_are_left_out() -> None:
    entry = shown(status="done", environment={"session": {"user": {"email": "a@example.test"}}})

    assert entry == {"status": "done", "request": None, "response": None}
