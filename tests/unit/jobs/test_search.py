"""Words of a search become a filter."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest
from reverie.jobs.ledger import JobFilter
from reverie.jobs.search import Search, moment_of, parse_search
from reverie.model import JobStatus

NOW = 1_714_644_000.0  # 2024-05-02 10:00:00 UTC


def test_every_key_is_read() -> None:
    text = (
        "service:orders verb:post role:partner user:me@x.test app:shop script:a.b.queued queue:slow connection:redis "
        'status:failed,Done since:2h until:2024-05-02 error:"out of tea"'
    )

    assert parse_search(text, NOW) == Search(
        where=JobFilter(
            service="orders",
            verb="POST",
            queue="slow",
            connection="redis",
            statuses=(JobStatus.FAILED, JobStatus.DONE),
            after=NOW - 7200,
            before=NOW - 36000,
            text="out of tea",
        ),
        role="partner",
        user="me@x.test",
        app="shop",
        script="a.b.queued",
    )


def test_nothing_asked_for_is_everything() -> None:
    assert parse_search("  ", NOW) == Search(where=JobFilter())


def test_a_value_may_hold_colons_apostrophes_and_signs() -> None:
    assert parse_search('script:service:7 error:it\'s# error:"a: b"', NOW).where.text == "a: b"
    assert parse_search("script:service:7", NOW).script == "service:7"
    assert parse_search("error:it's#1\\n", NOW).where.text == "it's#1\\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tea", "write key:value, the keys are"),
        ("colour:red", "'colour:red' cannot be searched for"),
        ("queue: slow", "queue: has no value"),
        ("status:lost", "There is no status 'lost'; there are waiting"),
        ("since:yesterday", "'yesterday' is no time"),
        ("since:-2h", "is no time"),
        ('error:"open', "ends inside a quoted text"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_could_stand_there(text: str, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_search(text, NOW)
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30s", NOW - 30),
        ("1.5m", NOW - 90),
        ("1w", NOW - 7 * 86400),
        ("2024-05-02T10:00", NOW),
        ("2024-05-02 12:00:00+02:00", NOW),
    ],
)
def test_times_count_back_or_stand_in_iso_8601(text: str, moment: float) -> None:
    assert moment_of(text, NOW) == moment
