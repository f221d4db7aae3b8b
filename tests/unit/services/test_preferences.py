"""``Prefer`` and ``Idempotency-Key`` as clients write them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reverie.errors import BadRequest
from reverie.jobs.queue import Once
from reverie.model import Caller, Request
from reverie.services.preferences import once_of, preferences, seconds_to_wait

CALL = Request(
    method="POST",
    service="orders",
    resource="today",
    parameters={"fields": "id", "api_key": "k"},
    headers={"idempotency-key": "order 1"},
    content=b'{"qty":1}',
)
ME = Caller(user={"id": 5}, app_id=2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("respond-async", {"respond-async": ""}),
        ("Respond-Async, WAIT=10", {"respond-async": "", "wait": "10"}),
        ('wait="10"; of=some, wait=20', {"wait": "10"}),
        ('note="a, wait=3", wait=5', {"note": "a, wait=3", "wait": "5"}),
        ("wait = 7", {"wait": "7"}),
        ("", {}),
        (",,;=", {"": ""}),
    ],
)
def test_preferences_are_read_as_the_rfc_writes_them(text: str, found: dict[str, str]) -> None:
    assert {name: value for name, value in preferences({"prefer": text}).items() if name} == {
        name: value for name, value in found.items() if name
    }


@pytest.mark.parametrize(
    ("value", "seconds"), [("5", 5), ("60", 60), ("3600", 60), ("0", 0), ("-1", 0), ("1.5", 0), ("soon", 0), ("٣", 0)]
)
def test_waiting_is_whole_seconds_and_no_more_than_a_minute(value: str, seconds: int) -> None:
    assert seconds_to_wait({"wait": value}) == seconds
    assert seconds_to_wait({}) == 0


def key_of(request: Request, caller: Caller = ME) -> Once:
    once = once_of(request, caller)
    assert once is not None
    return once


def test_a_call_without_a_key_asks_for_nothing() -> None:
    assert once_of(replace(CALL, headers={}), ME) is None


@pytest.mark.parametrize("key", ["", "   ", "x" * 256, "tab\there", "ünicode"])
def test_a_key_that_is_empty_too_long_or_no_plain_text_is_refused(key: str) -> None:
    with pytest.raises(BadRequest, match="1 to 255"):
        once_of(replace(CALL, headers={"idempotency-key": key}), ME)


def test_the_same_call_has_the_same_digest_and_credentials_are_no_part_of_it() -> None:
    renewed = replace(CALL, parameters={"api_key": "another", "session_token": "t", "fields": "id"})

    assert key_of(CALL) == key_of(renewed)


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, method="PUT"),
        replace(CALL, resource="tomorrow"),
        replace(CALL, parameters={"fields": "*"}),
        replace(CALL, content=b'{"qty":2}'),
    ],
)
def test_another_call_has_another_digest_under_the_same_key(other: Request) -> None:
    assert key_of(other).key == key_of(CALL).key
    assert key_of(other).digest != key_of(CALL).digest


@pytest.mark.parametrize(
    "other", [Caller(user={"id": 6}, app_id=2), Caller(user={"id": 5}, app_id=3), Caller(app_id=2)]
)
def test_nobody_meets_the_key_of_another(other: Caller) -> None:
    assert key_of(CALL, other).key != key_of(CALL).key
    assert key_of(replace(CALL, service="stock")).key != key_of(CALL).key
